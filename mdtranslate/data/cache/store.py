"""Prepared pictures in one file under the user's cache directory, made once and then memory-mapped.

What lies there::

    packed/KEY/pixels.npy      uint8 [N, S, S, 3]
               hashes.npy      uint8 [N, 16], BLAKE2b of each picture
               meta.json       what `mdtranslate data list` shows
               left_out.json   where some are: the pictures that cannot be read
    packed/KEY.lock            held while KEY is written or removed
    packed/KEY.part            not finished yet

KEY stands for all that the pixels depend on, and labels are not among it.
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
import platformdirs
from filelock import FileLock, Timeout

from mdtranslate.data.cache.workers import HASH, readable
from mdtranslate.data.cache.writer import FORMAT, INSTEAD, begun, check_left_out, close_ranks, describe, write
from mdtranslate.data.missing_files import describe_missing
from mdtranslate.data.records import Records
from mdtranslate.errors import DataError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mdtranslate.api import Dataset, Record

T = TypeVar("T")

TRIED = 16
"""Pictures that were left out of an entry, and are tried again when it is opened."""

UNUSED = 7 * 24 * 3600.0
"""Seconds after which an entry that nobody went on with is removed."""


@dataclass(frozen=True, eq=False)
class Packed:
    """The prepared pictures of one list of records, in its order, but for those that cannot be read."""

    pixels: NDArray[np.uint8]
    """[N, S, S, 3], read-only and memory-mapped. N may be 0."""
    hashes: NDArray[np.uint8]
    """[N, 16]: the BLAKE2b digest of each picture."""
    left_out: Mapping[int, str]
    """Places, among the records that were asked for, of those whose picture cannot be read, and why."""
    key: str
    """The cache key, hex."""
    path: Path
    """The directory."""

    @property
    def digest(self) -> str:
        """One hex digest of all pictures in their order: equal digests, equal data."""
        return blake2b(self.hashes.tobytes(), digest_size=HASH).hexdigest()

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Of what there is one of for each record that was asked for: those whose picture is there."""
        if not self.left_out:
            return items
        kind: Any = Records if isinstance(items, Records) else list
        there: Sequence[T] = kind(item for place, item in enumerate(items) if place not in self.left_out)
        return there


ELSEWHERE = "set XDG_CACHE_HOME to use another folder for the cache"


def cache_root() -> Path:
    """The directory of all packed pictures; it need not exist. `XDG_CACHE_HOME` moves it on every platform."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = chosen / "mdtranslate" if chosen.is_absolute() else platformdirs.user_cache_path("mdtranslate", False)
    return base / "packed"


def pack(
    dataset: Dataset,
    records: Sequence[Record],
    size: int,
    *,
    instance: str,
    what: str,
    workers: int | None = None,
    most: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """The pictures of `records` at `size` x `size`, from the cache, which is filled first where it has to be.

    `instance` and `what` ("train") are for `data list` alone. `workers` processes fill the cache: None is one per
    core, 0 is this process, which also does it for few records or a dataset that no plugin registers. `most` is
    the share of pictures that may be left out since they cannot be read. `progress` gets the number of pictures done
    and of all. Of several processes that want the same pictures, one packs and the others wait. Whatever stops it, it
    goes on where it was; only a full disk leaves nothing.

    Raises `DataError` for a picture that is missing or cannot be read, or for too many of them, `StorageError` where
    the cache cannot be written.
    """
    key = _key(dataset, records, size, most)
    root = cache_root()
    path = root / key
    if found := _current(path, dataset, records, size, most):
        return found
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # This is a worker of ours that imports a script again. Its parent holds the lock and waits for it.
        raise RuntimeError("workers import your script again: put what it does under `if __name__ == '__main__':`")
    needed = len(records) * (size * size * 3 + HASH)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with lock(path):
            if found := _current(path, dataset, records, size, most):
                return found
            sweep(root)
            part = unfinished(path)
            if (free := shutil.disk_usage(root).free + _size(part)) < needed:
                raise StorageError(
                    f"{root}: {instance} ({what}) needs {needed:,} bytes, and {free:,} are free; {ELSEWHERE}"
                )
            part.mkdir(exist_ok=True)
            try:
                describe(part, dataset, instance, what, len(records), size)
                if left_out := write(part, dataset, records, size, workers, most, progress):
                    close_ranks(part, left_out, len(records))
                describe(part, dataset, instance, what, len(records) - len(left_out), size)
                for each in (*part.iterdir(), part):
                    _sync(each)
                if path.exists():  # damaged, or it would have been opened
                    shutil.rmtree(path)
                part.rename(path)
                _sync(root)
            except BaseException as error:
                if isinstance(error, OSError) or not begun(part):
                    shutil.rmtree(part, ignore_errors=True)
                raise
    except OSError as error:
        reason = f"{needed:,} bytes for {instance} ({what}) cannot be written: {error.strerror or error}"
        raise StorageError(f"{root}: {reason}; {ELSEWHERE}") from error
    packed = _open(path, len(records), size)
    if packed is None:
        raise StorageError(f"{path}: cannot be read back")
    return packed


def is_packed(dataset: Dataset, records: Sequence[Record], size: int, most: float = 0.0) -> bool:
    """Whether `pack` would find everything in the cache. Raises as `pack` does."""
    return _open(cache_root() / _key(dataset, records, size, most), len(records), size) is not None


def _key(dataset: Dataset, records: Sequence[Record], size: int, most: float) -> str:
    digest = blake2b(digest_size=HASH)

    def add(*fields: Any) -> None:
        digest.update(json.dumps(fields).encode() + b"\n")

    add(FORMAT, dataset.name, dataset.version, astuple(dataset.crop), size)
    if dataset.value_range is not None:
        add("range", *dataset.value_range)
    for name, file in Records.of(records).files():
        if file is None:
            add(name)
            continue
        try:
            status = os.stat(file)  # noqa: PTH116  A path as an object costs as much again.
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have.
            if most:
                add(name, "missing")
                continue
            reason = getattr(error, "strerror", None) or str(error)
            counted = describe_missing(str(own) for _, own in Records.of(records).files() if own is not None)
            what = f"{file}: {reason.lower()} (record {name!r} of {dataset.name})"
            raise DataError(
                "; ".join([what, counted, INSTEAD, *(f"{note.what}; {note.cure}" for note in dataset.notes())])
            ) from error
        # The inode tells two folders apart whose files have the same names, sizes and times.
        add(name, status.st_size, status.st_mtime_ns, status.st_ino)
    return digest.hexdigest()


def _current(path: Path, dataset: Dataset, records: Sequence[Record], size: int, most: float) -> Packed | None:
    """The entry of `records` at `path`; None where there is none, a damaged one, or one that left out what can be read.

    Raises `DataError` where more pictures were left out than is wanted.
    """
    found = _open(path, len(records), size)
    if found is None or not found.left_out:
        return found
    if any(readable(dataset, records[place]) for place in islice(found.left_out, TRIED)):
        return None  # It was the machine's trouble, or was mended without the file's time being changed.
    check_left_out(found.left_out, len(records), most)
    return found


def _open(path: Path, count: int, size: int) -> Packed | None:
    """The entry of `count` records at `path`; None where there is none, or a damaged one."""
    try:
        listed = path / "left_out.json"
        left_out = json.loads(listed.read_text("utf-8")) if listed.exists() else {}
        left_out = {int(place): str(reason) for place, reason in left_out.items()}
        there = count - len(left_out)
        pixels = np.load(path / "pixels.npy", mmap_mode="r" if there else None)
        hashes = np.load(path / "hashes.npy")
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    if pixels.shape != (there, size, size, 3) or hashes.shape != (there, HASH):
        return None
    if pixels.dtype != np.uint8 or hashes.dtype != np.uint8:
        return None
    with suppress(OSError):
        os.utime(path / "meta.json")  # says when it was last used
    pixels.flags.writeable = False
    return Packed(pixels, hashes, left_out, path.name, path)


def unfinished(path: Path) -> Path:
    """Where an entry lies while it is packed."""
    return path.with_name(f"{path.name}.part")


def lock(path: Path) -> FileLock:
    """Of an entry: who holds it is the only one to write or remove it."""
    return FileLock(path.with_name(f"{path.name}.lock"))


def sweep(root: Path) -> None:
    """Removes what nobody finished for a week, and what was being removed. Who holds a lock works on that entry."""
    for leftover in (*root.glob("*.part"), *root.glob("*.tmp-*")):
        with suppress(OSError, Timeout), lock(root / leftover.name.partition(".")[0]).acquire(timeout=0):
            journal = leftover / "hashes.npy"
            used = (journal if journal.exists() else leftover).stat().st_mtime
            if leftover.suffix != ".part" or time.time() - used > UNUSED:
                shutil.rmtree(leftover, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes that its files take on the disk, which are fewer than their lengths as long as they have holes."""
    files = list(folder.iterdir()) if folder.exists() else []
    return sum(getattr(file.stat(), "st_blocks", 0) * 512 for file in files)


def _sync(path: Path) -> None:
    """Brings a file, or the names in a directory, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
