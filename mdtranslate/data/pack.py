"""Prepared pictures in one file under the user's cache directory, made once and then memory-mapped.

What lies there::

    packed/KEY/pixels.npy      uint8 [N, S, S, 3]
               hashes.npy      uint8 [N, 16], BLAKE2b of each picture
               meta.json       what `mdtranslate data list` shows
    packed/KEY.lock            held while KEY is written or removed
    packed/KEY.tmp-PID         being written

KEY stands for all that the pixels depend on, and labels are not among it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from filelock import FileLock, Timeout

from mdtranslate.data.fill import HASH, Target, fill
from mdtranslate.data.prepare import Preparation
from mdtranslate.errors import DataError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mdtranslate.interfaces import Dataset, Record

FORMAT = 1
"""Goes up whenever decoding, preparing or the files change: older caches are then left alone."""


@dataclass(frozen=True, eq=False)
class Packed:
    """The prepared pictures of one list of records, in its order."""

    pixels: NDArray[np.uint8]
    """[N, S, S, 3], read-only and memory-mapped. N may be 0."""
    keys: list[str]
    """The records' keys, [N]."""
    hashes: NDArray[np.uint8]
    """[N, 16]: the BLAKE2b digest of each picture."""
    key: str
    """The cache key, hex."""
    path: Path
    """The directory."""

    @property
    def digest(self) -> str:
        """One hex digest of all pictures in their order: equal digests, equal data."""
        return blake2b(self.hashes.tobytes(), digest_size=HASH).hexdigest()


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
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """The pictures of `records` at `size` x `size`, from the cache, which is filled first where it has to be.

    `instance` and `what` ("train") are for `data list` alone. `workers` processes fill the cache: None is one per
    core, 0 is this process, which also does it for few records or a dataset that no plugin registers. `progress` gets
    the number of pictures done and of all. Of several processes that want the same pictures, one packs and the others
    wait.

    Raises `DataError` for a picture that is missing or cannot be read, `StorageError` where the cache cannot be
    written. Whatever happens, no half-written entry stays.
    """
    key = _key(dataset, records, size)
    root = cache_root()
    path = root / key
    keys = [record.key for record in records]
    if found := _open(path, keys, size):
        return found
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # This is a worker of ours that imports a script again. Its parent holds the lock and waits for it.
        raise RuntimeError("workers import your script again: put what it does under `if __name__ == '__main__':`")
    needed = len(records) * (size * size * 3 + HASH)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with lock(path):
            if found := _open(path, keys, size):
                return found
            sweep(root, key)
            if (free := shutil.disk_usage(root).free) < needed:
                raise StorageError(f"{root}: {instance} ({what}) needs {needed:,} bytes, and {free:,} are free")
            temporary = root / f"{key}.tmp-{os.getpid()}"
            temporary.mkdir()
            try:
                _write(temporary, dataset, records, size, workers, progress)
                _describe(temporary, dataset, instance, what, len(records), size, needed)
                if path.exists():  # damaged, or it would have been opened
                    shutil.rmtree(path)
                temporary.rename(path)
                _sync(root)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    except OSError as error:
        raise StorageError(
            f"{root}: {needed:,} bytes for {instance} ({what}) cannot be written: {error.strerror or error}"
        ) from error
    packed = _open(path, keys, size)
    if packed is None:
        raise StorageError(f"{path}: cannot be read back")
    return packed


def _key(dataset: Dataset, records: Sequence[Record], size: int) -> str:
    digest = blake2b(digest_size=HASH)

    def add(*fields: Any) -> None:
        digest.update(json.dumps(fields).encode() + b"\n")

    add(FORMAT, dataset.name, dataset.version, astuple(dataset.crop), size)
    for record in records:
        if record.image is None:
            add(record.key)
            continue
        try:
            status = record.image.stat()
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{record.image}: {reason.lower()} (record {record.key!r} of {dataset.name})") from error
        add(record.key, status.st_size, status.st_mtime_ns)
    return digest.hexdigest()


def _open(path: Path, keys: list[str], size: int) -> Packed | None:
    """The entry at `path`; None where there is none, or a damaged one."""
    try:
        pixels = np.load(path / "pixels.npy", mmap_mode="r" if keys else None)
        hashes = np.load(path / "hashes.npy")
    except (OSError, ValueError, EOFError):
        return None
    if pixels.shape != (len(keys), size, size, 3) or hashes.shape != (len(keys), HASH):
        return None
    if pixels.dtype != np.uint8 or hashes.dtype != np.uint8:
        return None
    with suppress(OSError):
        os.utime(path / "meta.json")  # says when it was last used
    pixels.flags.writeable = False
    return Packed(pixels, keys, hashes, path.name, path)


def _write(
    directory: Path,
    dataset: Dataset,
    records: Sequence[Record],
    size: int,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes the pictures of `records`, and their hashes, into `directory`."""
    count = len(records)
    with (directory / "pixels.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        target = Target(directory / "pixels.npy", file.tell(), Preparation(dataset.crop, size))
    hashes = bytearray()
    with closing(fill(dataset, records, target, workers)) as parts:
        for part in parts:
            hashes += part
            if progress:
                progress(len(hashes) // HASH, count)
    np.save(directory / "hashes.npy", np.frombuffer(hashes, np.uint8).reshape(count, HASH))


def _describe(directory: Path, dataset: Dataset, instance: str, what: str, count: int, size: int, total: int) -> None:
    """Writes meta.json, and brings all of `directory` to the disk."""
    meta = {
        "format": FORMAT,
        "dataset": dataset.name,
        "version": dataset.version,
        "crop": asdict(dataset.crop),
        "instance": instance,
        "what": what,
        "count": count,
        "size": size,
        "bytes": total,
        "created": datetime.now(UTC).isoformat(),
    }
    (directory / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    for each in (*directory.iterdir(), directory):
        _sync(each)


def lock(path: Path) -> FileLock:
    """Of an entry: who holds it is the only one to write or remove it."""
    return FileLock(path.with_name(f"{path.name}.lock"))


def sweep(root: Path, held: str | None = None) -> None:
    """Removes what killed processes left. Who holds the lock of a key is the only one to write it."""
    for leftover in root.glob("*.tmp-*"):
        key = leftover.name.partition(".")[0]
        if key == held:
            shutil.rmtree(leftover, ignore_errors=True)
            continue
        with suppress(Timeout), lock(root / key).acquire(timeout=0):
            shutil.rmtree(leftover, ignore_errors=True)


def _sync(path: Path) -> None:
    """Brings a file, or the names in a directory, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
