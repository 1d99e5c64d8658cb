"""What lies in the cache of packed pictures: listed, verified, cleared."""

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
from mdtranslate.data.cache.workers import HASH
from mdtranslate.data.cache.writer import listed
from mdtranslate.errors import StorageError


@dataclass(frozen=True)
class PackedInfo:
    """One entry of the cache. `dataset` is "?" where its description cannot be read."""

    path: Path
    dataset: str
    instance: str
    what: str
    count: int
    size: int
    bytes: int
    created: datetime
    used: datetime

    @property
    def finished(self) -> bool:
        """Whether all of it is there. What is not is gone on with when it is needed."""
        return "." not in self.path.name


def list_packed() -> list[PackedInfo]:
    """Every entry of the cache, the last used first; those that are not finished, too."""
    root = cache_root()
    entries = [entry for entry in root.iterdir() if entry.is_dir() and _is_entry(entry)] if root.is_dir() else []
    found = []
    for entry in entries:
        with suppress(FileNotFoundError):  # Another process removes it just now.
            found.append(_info(entry))
    return sorted(found, key=lambda info: info.used, reverse=True)


def clear(selected: Iterable[PackedInfo]) -> int:
    """Removes entries of the cache and gives the bytes freed. Who has an entry open keeps its pictures."""
    root = cache_root()
    freed = 0
    for info in selected:
        if info.path.parent != root or not _is_entry(info.path):
            raise ValueError(f"{info.path} is not in {root}")
        try:
            key = info.path.name.partition(".")[0]
            with lock(root / key), suppress(FileNotFoundError):
                # Renamed first, so that nobody opens an entry of which half is gone.
                doomed = info.path.rename(root / f"{key}.tmp-{os.getpid()}")
                shutil.rmtree(doomed)
                freed += info.bytes
        except OSError as error:
            raise StorageError(f"{info.path}: cannot be removed: {error.strerror or error}") from error
    if root.is_dir():
        sweep(root)
    return freed


def verify(info: PackedInfo) -> list[int]:
    """The places of the pictures that are no longer those that were packed; [-1] where the entry is no longer whole."""
    try:
        pixels = np.load(info.path / "pixels.npy", mmap_mode="r" if info.count else None)
        hashes = np.load(info.path / "hashes.npy")
        same = listed(info.path) == json.loads((info.path / "meta.json").read_text("utf-8")).get("left_out")
    except (OSError, ValueError, EOFError, AttributeError):
        return [-1]
    if not same or len(pixels) != info.count or hashes.shape != (info.count, HASH):
        return [-1]
    return [
        place
        for place, (picture, expected) in enumerate(zip(pixels, hashes, strict=True))
        if blake2b(picture.tobytes(), digest_size=HASH).digest() != expected.tobytes()
    ]


def _is_entry(path: Path) -> bool:
    return "." not in path.name or path.suffix == ".part"


def _info(entry: Path) -> PackedInfo:
    used = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
    total = sum(file.stat().st_size for file in entry.iterdir())
    try:
        described = entry / "meta.json"
        meta = json.loads(described.read_text(encoding="utf-8"))
        dataset, instance, what = str(meta["dataset"]), str(meta["instance"]), str(meta["what"])
        count, size = int(meta["count"]), int(meta["size"])
        created = datetime.fromisoformat(meta["created"])
        used = datetime.fromtimestamp(described.stat().st_mtime, UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return PackedInfo(entry, "?", "?", "?", 0, 0, total, used, used)
    return PackedInfo(entry, dataset, instance, what, count, size, total, created, used)
