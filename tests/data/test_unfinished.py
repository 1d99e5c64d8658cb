"""Interrupted cache entries are continued."""

from __future__ import annotations

import os
import time

import pytest
from caching import SIZE, Files, cache_contents, fill_cache, image_records

from mdtranslate.data.cache.admin import clear, list_cache_entries
from mdtranslate.errors import DataError, PluginError


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ZeroDivisionError("a\nb"), DataError, "^dataset 'files' cannot load record 'key-40': ZeroDivisionError: a b;"),
        (OSError(28, "No space left"), DataError, "cannot load record 'key-40': OSError"),
        (DataError("as it is"), DataError, "^as it is; data.unreadable=skip"),
        (PluginError("as it is"), PluginError, "^as it is$"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (SystemExit(3), SystemExit, "3"),
    ],
)
def test_failed_entry_is_continued(tmp_path, cache, raised, expected, message):
    class Failing(Files):
        def load(self, record):
            if record.key == "key-40":
                assert len(cache_contents(cache)) == 1, "nothing was being written"
                raise raised
            return super().load(record)

    records = image_records(tmp_path / "in", 45)
    with pytest.raises(expected, match=message):
        fill_cache(Failing(), records)
    (name,) = cache_contents(cache)
    (info,) = list_cache_entries()
    assert name.endswith(".part") and not info.finished and info.count == 45
    dataset, seen = Files(), []
    result = fill_cache(dataset, records, progress=lambda done, total: seen.append(done))
    assert dataset.loaded == [record.key for record in records[32:]]
    assert seen == [45]
    assert cache_contents(cache) == [result.key]
    clear(list_cache_entries())
    assert fill_cache(Files(), records).digest == result.digest


def test_failure_at_the_first_image_leaves_nothing(tmp_path, cache):
    class Failing(Files):
        def load(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_cache(Failing(), image_records(tmp_path / "in", 3))
    assert cache_contents(cache) == []


def test_images_that_differ_from_their_hash_are_written_again(tmp_path, cache):
    def stop(done, total):
        if done == 96:
            raise KeyboardInterrupt

    records = image_records(tmp_path / "in", 100)
    with pytest.raises(KeyboardInterrupt):
        fill_cache(Files(), records, progress=stop)
    file = cache / cache_contents(cache)[0] / "pixels.npy"
    content = bytearray(file.read_bytes())
    content[128 + 40 * SIZE * SIZE * 3] ^= 1  # A page of the second chunk that a crash kept from the disk.
    file.write_bytes(content)
    dataset = Files()
    result = fill_cache(dataset, records)
    assert dataset.loaded == [record.key for record in (*records[32:64], *records[96:])]
    clear(list_cache_entries())
    assert fill_cache(Files(), records).digest == result.digest


def test_unfinished_entry_is_cleared_and_swept_when_old(tmp_path, cache):
    def stop(done, total):
        raise KeyboardInterrupt

    records = image_records(tmp_path / "in", 40)
    for age in (0, 6, 8):
        with pytest.raises(KeyboardInterrupt):
            fill_cache(Files(), records, progress=stop)
        part = cache / cache_contents(cache)[0]
        when = time.time() - age * 24 * 3600
        os.utime(part / "hashes.npy", (when, when))
        other = fill_cache(Files(), records[:3])
        assert part.exists() == (age < 7)
        clear(list_cache_entries())
        assert cache_contents(cache) == [] and other.key not in cache_contents(cache)
