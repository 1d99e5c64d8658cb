"""What lies in the cache is listed, verified and cleared."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from packing import Files, left_in, packed, pictures

from mdtranslate.data.cache.admin import clear, list_packed, verify
from mdtranslate.data.cache.store import cache_root


def test_verify_finds_what_changed_on_the_disk(tmp_path, cache):
    entry = packed(Files(), pictures(tmp_path / "in", 5))
    (info,) = list_packed()
    assert verify(info) == []
    file = entry.path / "pixels.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert verify(info) == [4]
    (entry.path / "hashes.npy").write_bytes(b"")
    assert verify(info) == [-1]


def test_verify_finds_that_the_list_of_left_out_pictures_changed(tmp_path, cache):
    records = pictures(tmp_path / "in", 40)
    records[3].image.write_bytes(b"no picture")
    entry = packed(Files(), records, most=0.05)
    (info,) = list_packed()
    assert verify(info) == []
    listed = entry.path / "left_out.json"
    listed.write_text(listed.read_text().replace('"3"', '"4"'))  # Each label from here on is of another picture.
    assert verify(info) == [-1]


def test_list_and_clear(tmp_path, cache):
    assert list_packed() == []
    records = pictures(tmp_path / "in", 5)
    old = packed(Files(), records)
    new = packed(Files(), records, size=16, what="val")
    for entry, when in ((old, 1_000_000_000), (new, 1_100_000_000)):
        os.utime(entry.path / "meta.json", (when, when))
    newest, oldest = list_packed()
    assert (newest.path, newest.dataset, newest.instance, newest.what) == (new.path, "files", "faces", "val")
    assert (newest.count, newest.size) == (5, 16)
    assert newest.bytes == sum(file.stat().st_size for file in new.path.iterdir()) > 5 * 16 * 16 * 3
    assert abs(newest.created.timestamp() - time.time()) < 600
    packed(Files(), records)
    assert [info.path for info in list_packed()] == [old.path, new.path], "the last used comes first"

    assert clear([oldest]) == oldest.bytes
    assert clear([oldest]) == 0
    assert [info.path for info in list_packed()] == [new.path]
    assert left_in(cache) == [new.key]
    assert old.pixels[0].any(), "an open entry keeps its pictures"
    dataset = Files()
    assert packed(dataset, records).digest == old.digest
    assert len(dataset.loaded) == 5


def test_an_entry_that_cannot_be_understood_is_listed_and_cleared(tmp_path, cache):
    entry = packed(Files(), pictures(tmp_path / "in", 5))
    (entry.path / "meta.json").write_text("{")
    (info,) = list_packed()
    assert (info.path, info.dataset, info.count) == (entry.path, "?", 0)
    assert clear([info]) == info.bytes > 0
    assert left_in(cache) == []


@pytest.mark.parametrize("place", ["../../precious", "..", "entry/../../../precious", "{key}.lock"])
def test_clear_removes_nothing_else(tmp_path, cache, place):
    entry = packed(Files(), pictures(tmp_path / "in", 1))
    (info,) = list_packed()
    precious = tmp_path / "cache" / "precious"
    precious.mkdir()
    with pytest.raises(ValueError, match="is not in"):
        clear([replace(info, path=cache / place.format(key=entry.key))])
    assert precious.exists()
    assert left_in(cache) == [entry.key]


def test_cache_root(monkeypatch, tmp_path, cache):
    assert cache_root() == cache
    for unusable in ("", "relative"):  # as the XDG specification says
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_root().is_absolute()
        assert cache_root().parts[-2:] == ("mdtranslate", "packed")
