"""Lists, verifies and clears the entries of the image cache."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mdtranslate.data.cache.store import cache_root, lock, sweep
from mdtranslate.data.cache.workers import HASH_BYTES
from mdtranslate.data.cache.writer import left_out_digest
from mdtranslate.errors import StorageError


@dataclass(frozen=True)
class CacheEntryInfo:
    """Information about one entry of the cache.

    Attributes:
        path: Its folder.
        dataset: Name of the dataset plugin; "?" if the metadata cannot be read.
        instance: Name of the dataset in the recipe.
        purpose: What the images are for, such as `train`.
        count: Number of images.
        size: Side of the images in pixels.
        bytes: Size on the disk.
        created: When it was created.
        used: When it was last used.
    """

    path: Path
    dataset: str
    instance: str
    purpose: str
    count: int
    size: int
    bytes: int
    created: datetime
    used: datetime

    @property
    def finished(self) -> bool:
        """Whether the entry is complete; otherwise it is continued when it is needed."""
        return "." not in self.path.name


def list_cache_entries() -> list[CacheEntryInfo]:
    """Returns all entries of the cache, also unfinished ones; the most recently used first."""
    root = cache_root()
    folders = [folder for folder in root.iterdir() if folder.is_dir() and _is_entry(folder)] if root.is_dir() else []
    entries = []
    for folder in folders:
        with suppress(FileNotFoundError):  # Another process may be removing it.
            entries.append(_read_info(folder))
    return sorted(entries, key=lambda info: info.used, reverse=True)


def clear(entries: Iterable[CacheEntryInfo]) -> int:
    """Removes entries of the cache; processes that have opened one keep its images.

    Args:
        entries: The entries.

    Returns:
        Number of bytes that were freed.

    Raises:
        ValueError: An entry is not in the cache.
        StorageError: An entry cannot be removed.
    """
    root = cache_root()
    freed = 0
    for info in entries:
        if info.path.parent != root or not _is_entry(info.path):
            raise ValueError(f"{info.path} is not in {root}")
        try:
            key = info.path.name.partition(".")[0]
            with lock(root / key), suppress(FileNotFoundError):
                # Renamed first, so that nobody opens an entry that is half removed.
                removed = info.path.rename(root / f"{key}.tmp-{os.getpid()}")
                shutil.rmtree(removed)
                freed += info.bytes
        except OSError as error:
            raise StorageError(f"{info.path}: cannot be removed: {error.strerror or error}") from error
    if root.is_dir():
        sweep(root)
    return freed


def verify(info: CacheEntryInfo) -> list[int]:
    """Verifies the images of an entry.

    Args:
        info: The entry.

    Returns:
        Indices of images that have changed since they were cached; `[-1]` if the entry as a whole is damaged.
    """
    try:
        pixels = np.load(info.path / "pixels.npy", mmap_mode="r" if info.count else None)
        hashes = np.load(info.path / "hashes.npy")
        metadata = json.loads((info.path / "meta.json").read_text("utf-8"))
        is_listing_unchanged = left_out_digest(info.path) == metadata.get("left_out_digest")
    except (OSError, ValueError, EOFError, AttributeError):
        return [-1]
    if not is_listing_unchanged or len(pixels) != info.count or hashes.shape != (info.count, HASH_BYTES):
        return [-1]
    return [
        index
        for index, (image, expected) in enumerate(zip(pixels, hashes, strict=True))
        if blake2b(image.tobytes(), digest_size=HASH_BYTES).digest() != expected.tobytes()
    ]


def _is_entry(path: Path) -> bool:
    return "." not in path.name or path.suffix == ".part"


def _read_info(folder: Path) -> CacheEntryInfo:
    used = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    total = sum(file.stat().st_size for file in folder.iterdir())
    try:
        metadata_file = folder / "meta.json"
        metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
        dataset, instance, purpose = str(metadata["dataset"]), str(metadata["instance"]), str(metadata["purpose"])
        count, size = int(metadata["count"]), int(metadata["size"])
        created = datetime.fromisoformat(metadata["created"])
        used = datetime.fromtimestamp(metadata_file.stat().st_mtime, UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return CacheEntryInfo(folder, "?", "?", "?", 0, 0, total, used, used)
    return CacheEntryInfo(folder, dataset, instance, purpose, count, size, total, created, used)
