"""The image cache: preprocessed images under the user's cache directory, written once and then memory-mapped.

Files::

    images/KEY/pixels.npy      uint8 [N, S, S, 3]
               hashes.npy      uint8 [N, 16], BLAKE2b of each image
               meta.json       what `mdtranslate data list` shows
               left_out.json   the unreadable images, if there are any
    images/KEY.lock            held while KEY is written or removed
    images/KEY.part            unfinished

KEY is a digest of everything that the pixels depend on; labels are not part of it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from mdtranslate.data.cache.workers import HASH_BYTES, is_readable
from mdtranslate.data.cache.writer import (
    FORMAT,
    SKIP_HINT,
    check_unreadable,
    compact,
    has_progress,
    write_entry,
    write_metadata,
)
from mdtranslate.data.missing_files import describe_missing
from mdtranslate.data.records import Records
from mdtranslate.errors import DataError, StorageError
from mdtranslate.utils.files import cache_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mdtranslate.api import Dataset, Record

T = TypeVar("T")

RETRIED_IMAGES = 16
"""Number of left-out images that are tried again when an entry is opened."""

UNFINISHED_LIFETIME = 7 * 24 * 3600.0
"""Seconds after which an unfinished entry is removed."""

CACHE_HINT = "set XDG_CACHE_HOME to use another folder for the cache"


@dataclass(frozen=True, eq=False)
class CachedImages:
    """The readable images of a list of records, in its order.

    Attributes:
        pixels: Images, uint8 of shape `(N, S, S, 3)`, read-only and memory-mapped. N may be 0.
        hashes: BLAKE2b digest of each image, uint8 of shape `(N, 16)`.
        left_out: Indices of the records whose image cannot be read, and why.
        key: The cache key, in hex.
        path: Folder of the entry.
    """

    pixels: NDArray[np.uint8]
    hashes: NDArray[np.uint8]
    left_out: Mapping[int, str]
    key: str
    path: Path

    @property
    def digest(self) -> str:
        """Digest of all images in their order, in hex."""
        return blake2b(self.hashes.tobytes(), digest_size=HASH_BYTES).hexdigest()

    def select_readable(self, items: Sequence[T]) -> Sequence[T]:
        """Drops the items of unreadable images.

        Args:
            items: One item for each record that was asked for.

        Returns:
            One item for each image in `pixels`.
        """
        if not self.left_out:
            return items
        sequence_type: Any = Records if isinstance(items, Records) else list
        readable: Sequence[T] = sequence_type(item for index, item in enumerate(items) if index not in self.left_out)
        return readable


def cache_root() -> Path:
    """Returns the folder of the image cache, which need not exist; XDG_CACHE_HOME sets it on every platform."""
    return cache_folder() / "images"


def cache_images(
    dataset: Dataset,
    records: Sequence[Record],
    size: int,
    *,
    instance: str,
    purpose: str,
    workers: int | None = None,
    max_unreadable: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> CachedImages:
    """Returns the images of records from the cache, which is filled first if necessary.

    If several processes ask for the same images, one fills the cache and the others wait. An interrupted entry is
    continued the next time; only a full disk removes it.

    Args:
        dataset: The dataset.
        records: Its records.
        size: Side of the images in pixels.
        instance: Name of the dataset in the recipe, for `mdtranslate data list`.
        purpose: What the images are for, such as `train`; likewise.
        workers: Number of worker processes that fill the cache; None for one per core, 0 for this process. This process
            also does it if there are few records, or if no plugin registers the dataset.
        max_unreadable: Share of the images that may be unreadable and are then left out.
        progress: Receives the number of cached images and of all images.

    Raises:
        DataError: Images are missing or cannot be read.
        StorageError: The cache cannot be written.
    """
    key = _key(dataset, records, size, max_unreadable)
    root = cache_root()
    path = root / key
    if cached := _open_current(path, dataset, records, size, max_unreadable):
        return cached
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker imports the user's script again, and its parent holds the lock and waits for the worker.
        raise RuntimeError("workers import your script again: put what it does under `if __name__ == '__main__':`")
    needed = len(records) * (size * size * 3 + HASH_BYTES)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with lock(path):
            if cached := _open_current(path, dataset, records, size, max_unreadable):
                return cached
            sweep(root)
            temporary = unfinished_path(path)
            if (free := shutil.disk_usage(root).free + _disk_usage(temporary)) < needed:
                raise StorageError(
                    f"{root}: {instance} ({purpose}) needs {needed:,} bytes, and {free:,} are free; {CACHE_HINT}"
                )
            temporary.mkdir(exist_ok=True)
            try:
                write_metadata(temporary, dataset, instance, purpose, len(records), size)
                if left_out := write_entry(temporary, dataset, records, size, workers, max_unreadable, progress):
                    compact(temporary, left_out, len(records))
                write_metadata(temporary, dataset, instance, purpose, len(records) - len(left_out), size)
                for file in (*temporary.iterdir(), temporary):
                    _sync(file)
                if path.exists():  # Damaged, otherwise it would have been opened.
                    shutil.rmtree(path)
                temporary.rename(path)
                _sync(root)
            except BaseException as error:
                if isinstance(error, OSError) or not has_progress(temporary):
                    shutil.rmtree(temporary, ignore_errors=True)
                raise
    except OSError as error:
        reason = f"{needed:,} bytes for {instance} ({purpose}) cannot be written: {error.strerror or error}"
        raise StorageError(f"{root}: {reason}; {CACHE_HINT}") from error
    cached = _open(path, len(records), size)
    if cached is None:
        raise StorageError(f"{path}: was written, but cannot be read")
    return cached


def is_cached(dataset: Dataset, records: Sequence[Record], size: int, max_unreadable: float = 0.0) -> bool:
    """Returns whether all images of records are cached; arguments and errors are those of `cache_images`."""
    return _open(cache_root() / _key(dataset, records, size, max_unreadable), len(records), size) is not None


def _key(dataset: Dataset, records: Sequence[Record], size: int, max_unreadable: float) -> str:
    """Returns the cache key; raises `DataError` if a file is missing, unless unreadable images are left out."""
    digest = blake2b(digest_size=HASH_BYTES)

    def add(*fields: Any) -> None:
        digest.update(json.dumps(fields).encode() + b"\n")

    add(FORMAT, dataset.name, dataset.version, astuple(dataset.crop), size)
    if dataset.value_range is not None:
        add("range", *dataset.value_range)
    for record_key, file in Records.from_sequence(records).files():
        if file is None:
            add(record_key)
            continue
        try:
            status = os.stat(file)  # noqa: PTH116  Creating a Path would take as long again.
        except (OSError, ValueError) as error:  # ValueError: the name is not a valid file name.
            if max_unreadable:
                add(record_key, "missing")
                continue
            raise _missing_file_error(dataset, records, record_key, file, error) from error
        # The inode distinguishes folders whose files have the same names, sizes and times.
        add(record_key, status.st_size, status.st_mtime_ns, status.st_ino)
    return digest.hexdigest()


def _missing_file_error(
    dataset: Dataset, records: Sequence[Record], record_key: str, file: str, error: Exception
) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)
    all_files = (path for _, path in Records.from_sequence(records).files() if path is not None)
    message = f"{file}: {reason.lower()} (record {record_key!r} of {dataset.name})"
    notes = (f"{note.message}; {note.remedy}" for note in dataset.notes())
    return DataError("; ".join([message, describe_missing(all_files), SKIP_HINT, *notes]))


def _open_current(
    path: Path, dataset: Dataset, records: Sequence[Record], size: int, max_unreadable: float
) -> CachedImages | None:
    """Opens an entry; returns None if it is missing, damaged, or leaves out images that are readable now.

    Raises:
        DataError: It leaves out more images than allowed.
    """
    cached = _open(path, len(records), size)
    if cached is None or not cached.left_out:
        return cached
    if any(is_readable(dataset, records[index]) for index in islice(cached.left_out, RETRIED_IMAGES)):
        return None  # A temporary failure of the machine, or the file was repaired without a new modification time.
    check_unreadable(cached.left_out, len(records), max_unreadable)
    return cached


def _open(path: Path, count: int, size: int) -> CachedImages | None:
    """Opens an entry of `count` records; returns None if it is missing or damaged."""
    try:
        listing_file = path / "left_out.json"
        listing = json.loads(listing_file.read_text("utf-8")) if listing_file.exists() else {}
        left_out = {int(index): str(reason) for index, reason in listing.items()}
        num_readable = count - len(left_out)
        pixels = np.load(path / "pixels.npy", mmap_mode="r" if num_readable else None)
        hashes = np.load(path / "hashes.npy")
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    if pixels.shape != (num_readable, size, size, 3) or hashes.shape != (num_readable, HASH_BYTES):
        return None
    if pixels.dtype != np.uint8 or hashes.dtype != np.uint8:
        return None
    with suppress(OSError):
        os.utime(path / "meta.json")  # Records the time of the last use.
    pixels.flags.writeable = False
    return CachedImages(pixels, hashes, left_out, path.name, path)


def unfinished_path(path: Path) -> Path:
    """Returns the folder in which an entry is written."""
    return path.with_name(f"{path.name}.part")


def lock(path: Path) -> FileLock:
    """Returns the lock of an entry, which must be held to write or remove it."""
    return FileLock(path.with_name(f"{path.name}.lock"))


def sweep(root: Path) -> None:
    """Removes unfinished entries that are a week old, and entries whose removal was interrupted, unless locked."""
    for folder in (*root.glob("*.part"), *root.glob("*.tmp-*")):
        with suppress(OSError, Timeout), lock(root / folder.name.partition(".")[0]).acquire(timeout=0):
            journal = folder / "hashes.npy"
            used = (journal if journal.exists() else folder).stat().st_mtime
            if folder.suffix != ".part" or time.time() - used > UNFINISHED_LIFETIME:
                shutil.rmtree(folder, ignore_errors=True)


def _disk_usage(folder: Path) -> int:
    """Returns the disk space that the files of a folder use, which is less than their lengths if they are sparse."""
    files = list(folder.iterdir()) if folder.exists() else []
    return sum(getattr(file.stat(), "st_blocks", 0) * 512 for file in files)


def _sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
