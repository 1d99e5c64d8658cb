"""A cache entry that was interrupted is gone on with."""

from __future__ import annotations

import os
import time

import pytest
from packing import SIZE, Files, left_in, packed, pictures

from mdtranslate.data.cache.admin import clear, list_packed
from mdtranslate.errors import DataError, PluginError


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ZeroDivisionError("a\nb"), DataError, "^dataset 'files' cannot load record 'key-40': ZeroDivisionError: a b;"),
        (OSError(28, "No space left"), DataError, "cannot load record 'key-40': OSError"),
        (DataError("as it is"), DataError, "^as it is; data.unreadable=skip leaves out such pictures$"),
        (PluginError("as it is"), PluginError, "^as it is$"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (SystemExit(3), SystemExit, "3"),
    ],
)
def test_what_failed_midway_is_gone_on_with(tmp_path, cache, raised, expected, message):
    class Failing(Files):
        def load(self, record):
            if record.key == "key-40":
                assert len(left_in(cache)) == 1, "nothing was being written"
                raise raised
            return super().load(record)

    records = pictures(tmp_path / "in", 45)
    with pytest.raises(expected, match=message):
        packed(Failing(), records)
    (name,) = left_in(cache)
    (info,) = list_packed()
    assert name.endswith(".part") and not info.finished and info.count == 45
    dataset, seen = Files(), []
    result = packed(dataset, records, progress=lambda done, total: seen.append(done))
    assert dataset.loaded == [record.key for record in records[32:]]
    assert seen == [45]
    assert left_in(cache) == [result.key]
    clear(list_packed())
    assert packed(Files(), records).digest == result.digest


def test_what_failed_at_once_leaves_nothing(tmp_path, cache):
    class Failing(Files):
        def load(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(Failing(), pictures(tmp_path / "in", 3))
    assert left_in(cache) == []


def test_going_on_trusts_no_picture_that_is_not_as_its_hash_says(tmp_path, cache):
    def stop(done, total):
        if done == 96:
            raise KeyboardInterrupt

    records = pictures(tmp_path / "in", 100)
    with pytest.raises(KeyboardInterrupt):
        packed(Files(), records, progress=stop)
    file = cache / left_in(cache)[0] / "pixels.npy"
    content = bytearray(file.read_bytes())
    content[128 + 40 * SIZE * SIZE * 3] ^= 1  # A page of the second chunk that a crash kept from the disk.
    file.write_bytes(content)
    dataset = Files()
    result = packed(dataset, records)
    assert dataset.loaded == [record.key for record in (*records[32:64], *records[96:])]
    clear(list_packed())
    assert packed(Files(), records).digest == result.digest


def test_an_unfinished_entry_is_cleared_and_swept_when_it_is_old(tmp_path, cache):
    def stop(done, total):
        raise KeyboardInterrupt

    records = pictures(tmp_path / "in", 40)
    for age in (0, 6, 8):
        with pytest.raises(KeyboardInterrupt):
            packed(Files(), records, progress=stop)
        part = cache / left_in(cache)[0]
        when = time.time() - age * 24 * 3600
        os.utime(part / "hashes.npy", (when, when))
        other = packed(Files(), records[:3])
        assert part.exists() == (age < 7)
        clear(list_packed())
        assert left_in(cache) == [] and other.key not in left_in(cache)
