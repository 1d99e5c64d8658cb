"""Listing, verifying and clearing the image cache."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from caching import Files, cache_contents, fill_cache, image_records

from mdtranslate.data.cache.admin import clear, list_cache_entries, verify
from mdtranslate.data.cache.store import cache_root


def test_verify_finds_changed_images(tmp_path, cache):
    entry = fill_cache(Files(), image_records(tmp_path / "in", 5))
    (info,) = list_cache_entries()
    assert verify(info) == []
    file = entry.path / "pixels.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert verify(info) == [4]
    (entry.path / "hashes.npy").write_bytes(b"")
    assert verify(info) == [-1]


def test_verify_finds_changed_list_of_left_out_images(tmp_path, cache):
    records = image_records(tmp_path / "in", 40)
    records[3].image.write_bytes(b"no image")
    entry = fill_cache(Files(), records, max_unreadable=0.05)
    (info,) = list_cache_entries()
    assert verify(info) == []
    listed = entry.path / "left_out.json"
    listed.write_text(listed.read_text().replace('"3"', '"4"'))  # Each label from here on is of another image.
    assert verify(info) == [-1]


def test_list_and_clear(tmp_path, cache):
    assert list_cache_entries() == []
    records = image_records(tmp_path / "in", 5)
    old = fill_cache(Files(), records)
    new = fill_cache(Files(), records, size=16, purpose="val")
    for entry, when in ((old, 1_000_000_000), (new, 1_100_000_000)):
        os.utime(entry.path / "meta.json", (when, when))
    newest, oldest = list_cache_entries()
    assert (newest.path, newest.dataset, newest.instance, newest.purpose) == (new.path, "files", "faces", "val")
    assert (newest.count, newest.size) == (5, 16)
    assert newest.bytes == sum(file.stat().st_size for file in new.path.iterdir()) > 5 * 16 * 16 * 3
    assert abs(newest.created.timestamp() - time.time()) < 600
    fill_cache(Files(), records)
    assert [info.path for info in list_cache_entries()] == [old.path, new.path], "the last used comes first"

    assert clear([oldest]) == oldest.bytes
    assert clear([oldest]) == 0
    assert [info.path for info in list_cache_entries()] == [new.path]
    assert cache_contents(cache) == [new.key]
    assert old.pixels[0].any(), "an open entry keeps its images"
    dataset = Files()
    assert fill_cache(dataset, records).digest == old.digest
    assert len(dataset.loaded) == 5


def test_entry_without_metadata_is_listed_and_cleared(tmp_path, cache):
    entry = fill_cache(Files(), image_records(tmp_path / "in", 5))
    (entry.path / "meta.json").write_text("{")
    (info,) = list_cache_entries()
    assert (info.path, info.dataset, info.count) == (entry.path, "?", 0)
    assert clear([info]) == info.bytes > 0
    assert cache_contents(cache) == []


@pytest.mark.parametrize("place", ["../../precious", "..", "entry/../../../precious", "{key}.lock"])
def test_clear_removes_nothing_else(tmp_path, cache, place):
    entry = fill_cache(Files(), image_records(tmp_path / "in", 1))
    (info,) = list_cache_entries()
    precious = tmp_path / "cache" / "precious"
    precious.mkdir()
    with pytest.raises(ValueError, match="is not in"):
        clear([replace(info, path=cache / place.format(key=entry.key))])
    assert precious.exists()
    assert cache_contents(cache) == [entry.key]


def test_cache_root(monkeypatch, tmp_path, cache):
    assert cache_root() == cache
    for unusable in ("", "relative"):  # as the XDG specification says
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_root().is_absolute()
        assert cache_root().parts[-2:] == ("mdtranslate", "images")
