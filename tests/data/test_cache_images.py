"""The image cache: filled once, keyed by everything that matters, and resumable."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from caching import SIZE, Files, cache_contents, fill_cache, image_records, small_files
from PIL import Image

from mdtranslate.api import Crop, Dataset, Record
from mdtranslate.data.cache import writer as entry
from mdtranslate.data.cache.admin import list_cache_entries, verify
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.errors import DataError, StorageError


def test_images_hashes_and_metadata(tmp_path, cache):
    dataset, records, seen = Files(), image_records(tmp_path / "in", 70), []
    result = fill_cache(dataset, records, progress=lambda done, total: seen.append((done, total)))
    expected = np.stack([CropAndResize(Crop(), SIZE)(Dataset.load(dataset, record)) for record in records])
    assert isinstance(result.pixels, np.memmap)
    assert result.pixels.dtype == np.uint8
    assert np.array_equal(result.pixels, expected)
    assert not result.left_out
    hashes = [blake2b(each.tobytes(), digest_size=16).digest() for each in expected]
    assert [bytes(each) for each in result.hashes] == hashes
    assert result.digest == blake2b(b"".join(hashes), digest_size=16).hexdigest()
    with pytest.raises(ValueError, match="read-only"):
        result.pixels[0] = 0
    assert result.path == cache / result.key
    assert cache_contents(cache) == [result.key]
    assert seen == [(32, 70), (64, 70), (70, 70)]
    meta = json.loads((result.path / "meta.json").read_text())
    assert (meta["dataset"], meta["instance"], meta["purpose"], meta["count"], meta["size"], meta["crop"]) == (
        *("files", "faces", "train", 70, SIZE),
        {"side": 1.0, "x": 0.5, "y": 0.5},
    )


def test_cached_images_are_not_loaded_again(tmp_path, cache):
    records = image_records(tmp_path / "in", 5)
    first = fill_cache(Files(), records)
    dataset, seen = Files(), []
    second = fill_cache(
        dataset, records, progress=lambda done, total: seen.append(done), instance="other", purpose="val"
    )
    assert not dataset.loaded
    assert not seen
    assert second.key == first.key
    assert second.digest == first.digest
    assert np.array_equal(second.pixels, first.pixels)


def test_labels_and_file_locations_do_not_change_the_key(tmp_path):
    records = image_records(tmp_path / "in", 5)
    fill_cache(Files(), records)
    (tmp_path / "in").rename(tmp_path / "moved")
    moved = [
        Record(record.key, tmp_path / "moved" / record.image.name, {"Young": True, "Male": None}) for record in records
    ]
    dataset = Files()
    fill_cache(dataset, moved)
    assert not dataset.loaded


def touched(records: list[Record]) -> None:
    status = records[2].image.stat()
    os.utime(records[2].image, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def longer(records: list[Record]) -> None:
    status = records[2].image.stat()
    with records[2].image.open("ab") as file:
        file.write(b"\0")
    os.utime(records[2].image, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [touched, longer])
def test_changed_file_is_cached_again(tmp_path, change):
    records = image_records(tmp_path / "in", 5)
    before = fill_cache(Files(), records)
    change(records)
    dataset = Files()
    after = fill_cache(dataset, records)
    assert len(dataset.loaded) == 5
    assert after.key != before.key
    assert after.digest == before.digest, "the pixels are the same, and so is their identity"


def test_version_crop_size_name_keys_and_order_change_the_key(tmp_path):
    records = image_records(tmp_path / "in", 5)

    class Renamed(Files):
        name = "renamed"

    newer, cut = Files(), Files()
    newer.version, cut.crop = "2", Crop(0.9)
    results = [
        fill_cache(Files(), records),
        fill_cache(newer, records),
        fill_cache(cut, records),
        fill_cache(Renamed(), records),
        fill_cache(Files(), records, size=9),
        fill_cache(Files(), records[::-1]),
        fill_cache(Files(), records[:4]),
        fill_cache(Files(), [replace(records[0], key="new"), *records[1:]]),
    ]
    assert len({result.key for result in results}) == len(results)
    assert np.array_equal(results[2].pixels[0], CropAndResize(Crop(0.9), SIZE)(Files().load(records[0])))
    assert np.array_equal(results[5].pixels, results[0].pixels[::-1])
    assert len(list_cache_entries()) == len(results)


def test_records_without_a_file(tmp_path):
    class Drawn(Files):
        def load(self, record):
            self.loaded.append(record.key)
            return np.full((5, 5, 3), int(record.key), np.uint8)

    records = [Record("3"), Record("200")]
    result = fill_cache(Drawn(), records)
    assert result.pixels[:, 0, 0, 0].tolist() == [3, 200]
    dataset = Drawn()
    fill_cache(dataset, records)
    assert not dataset.loaded


def test_no_records(tmp_path):
    for _ in range(2):
        result = fill_cache(Files(), [])
        assert result.pixels.shape == (0, SIZE, SIZE, 3)
        assert result.hashes.shape == (0, 16)
        assert len(result.digest) == 32


def test_missing_or_unreadable_image_is_named(tmp_path, cache):
    records = image_records(tmp_path / "in", 5)
    records[3].image.write_bytes(records[3].image.read_bytes()[:100])
    with pytest.raises(DataError, match=r"^.*in/3\.png: cannot be decoded: .*; data.unreadable=skip"):
        fill_cache(Files(), records)
    records[4].image.unlink()
    message = r"^.*in/4\.png: no such file or directory \(record 'key-4' of files\); 1 of 5 files are missing; data"
    with pytest.raises(DataError, match=message):
        fill_cache(Files(), records)


def test_unreadable_images_are_left_out_and_listed(tmp_path, cache):
    records = image_records(tmp_path / "in", 70)
    whole = fill_cache(Files(), records)
    records[3].image.write_bytes(records[3].image.read_bytes()[:100])
    records[69].image.unlink()
    for _ in range(2):  # The second time from the cache.
        result = fill_cache(Files(), records, max_unreadable=0.05)
        assert list(result.left_out) == [3, 69]
        assert "3.png: cannot be decoded" in result.left_out[3] and "69.png: no such file" in result.left_out[69]
        kept = [n for n in range(70) if n not in (3, 69)]
        assert np.array_equal(result.pixels, whole.pixels[kept]) and np.array_equal(result.hashes, whole.hashes[kept])
        assert result.select_readable(records) == [records[n] for n in kept]
    assert verify(next(each for each in list_cache_entries() if each.path == result.path)) == []
    records[69].image.write_bytes(records[5].image.read_bytes())
    with pytest.raises(DataError, match=r"3\.png: cannot be decoded: .*; data.unreadable=skip"):
        fill_cache(Files(), records)
    assert len(fill_cache(Files(), records, max_unreadable=0.05).pixels) == 69
    with pytest.raises(DataError, match=r"3\.png: cannot be decoded: .*; data.unreadable=skip"):
        fill_cache(Files(), records)  # Now from the cache.


def test_kill_during_compact_loses_only_moved_images(tmp_path, cache, monkeypatch):
    records, header = image_records(tmp_path / "in", 70), entry._header
    whole = fill_cache(Files(), records).pixels.copy()
    records[40].image.write_bytes(b"no image")

    def killed(shape):
        if shape[0] == 69:
            raise KeyboardInterrupt
        return header(shape)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(entry, "_header", killed)
        fill_cache(Files(), records, max_unreadable=0.05)
    dataset = Files()
    assert np.array_equal(fill_cache(dataset, records, max_unreadable=0.05).pixels, np.delete(whole, 40, 0))
    assert "key-0" not in dataset.loaded and "key-69" in dataset.loaded


def test_temporarily_unreadable_image_is_retried(tmp_path, cache):
    class Troubled(Files):
        def load(self, record):
            if record.key == "key-7":
                raise OSError(24, "Too many open files")
            return super().load(record)

    records = image_records(tmp_path / "in", 40)
    assert list(fill_cache(Troubled(), records, max_unreadable=0.05).left_out) == [7]
    assert list(fill_cache(Troubled(), records, max_unreadable=0.05).left_out) == [7]
    assert fill_cache(Files(), records).pixels.shape[0] == 40


def test_too_many_unreadable_images_are_refused(tmp_path, cache):
    records = image_records(tmp_path / "in", 70)
    for record in records[10:14]:
        record.image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^4 of 70 images cannot be read, .*10\.png"):
        fill_cache(Files(), records, max_unreadable=0.05)
    assert len(fill_cache(Files(), records[:13] + records[14:], max_unreadable=0.05).left_out) == 3
    with pytest.raises(DataError, match=r"^1 of 1 images cannot be read"):
        fill_cache(Files(), records[10:11], max_unreadable=0.05)


def test_folders_with_equal_names_sizes_and_times_are_distinguished(tmp_path, cache):
    records = [image_records(tmp_path / name, 2) for name in ("one", "other")]
    for number, own in enumerate(records):
        for record in own:
            Image.new("RGB", (9, 9), (100 * number, 0, 0)).save(record.image, "BMP")
            os.utime(record.image, ns=(10**18, 10**18))
    first, second = (fill_cache(Files(), own) for own in records)
    assert first.pixels[0, 0, 0, 0] == 0 and second.pixels[0, 0, 0, 0] == 100


@pytest.mark.parametrize(
    ("wrong", "actual"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((3, 4, 4), np.uint8), r"uint8 \[3, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \[0, 4, 3\]"),
        (None, "NoneType"),
    ],
)
def test_load_must_return_images(wrong, actual, cache):
    class Wrong(Files):
        def load(self, record):
            return wrong

    with pytest.raises(DataError, match=rf"'files', record 'a': load\(\) returned {actual}, not uint8 \[H, W, 3\]$"):
        fill_cache(Wrong(), [Record("a")])
    assert cache_contents(cache) == []


def truncated(entry: Path) -> None:
    os.truncate(entry / "pixels.npy", 200)


def without_hashes(entry: Path) -> None:
    (entry / "hashes.npy").unlink()


def garbled(entry: Path) -> None:
    (entry / "pixels.npy").write_bytes(b"garbage" * 1000)


@pytest.mark.parametrize("damage", [truncated, without_hashes, garbled])
def test_damaged_entry_is_cached_again(tmp_path, cache, damage):
    records = image_records(tmp_path / "in", 5)
    before = fill_cache(Files(), records)
    digest = before.digest
    damage(before.path)
    dataset = Files()
    assert fill_cache(dataset, records).digest == digest
    assert len(dataset.loaded) == 5
    assert cache_contents(cache) == [before.key]


def test_too_small_disk_is_refused_before_starting(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
    dataset = Files()
    with pytest.raises(
        StorageError, match=r"images: faces \(train\) needs 1,040 bytes, and 999 are free; set XDG_CACHE_HOME"
    ):
        fill_cache(dataset, image_records(tmp_path / "in", 5))
    assert not dataset.loaded
    assert cache_contents(cache) == []


def test_full_disk_leaves_nothing(tmp_path, cache):
    records = image_records(tmp_path / "in", 45)
    message = r"9,360 bytes for faces \(train\) cannot be written: File too large; set XDG_CACHE_HOME"
    with small_files(), pytest.raises(StorageError, match=message):
        fill_cache(Files(), records)
    assert cache_contents(cache) == []


def test_unwritable_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        StorageError, match=r"file/mdtranslate/images: .* cannot be written: Not a directory; set XDG_CACHE_HOME"
    ):
        fill_cache(Files(), image_records(tmp_path / "in", 1))
