"""Helpers for tests of the image cache."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from mdtranslate.api import Dataset, Record
from mdtranslate.data.cache.store import CachedImages, cache_images

SIZE = 8


class Files(Dataset):
    """Images in files; counts what is loaded."""

    name = "files"

    def __init__(self) -> None:
        super().__init__(Dataset.Config())
        self.loaded: list[str] = []

    def records(self, split):
        raise NotImplementedError

    def load(self, record):
        self.loaded.append(record.key)
        return super().load(record)


def image_records(folder: Path, count: int) -> list[Record]:
    generator = np.random.default_rng(count)
    folder.mkdir(exist_ok=True)
    records = []
    for index in range(count):
        file = folder / f"{index}.png"
        Image.fromarray(generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(file)
        records.append(Record(f"key-{index}", file, {"Male": index % 2 == 0}))
    return records


def fill_cache(dataset: Dataset, records: list[Record], size: int = SIZE, **options) -> CachedImages:
    return cache_images(dataset, records, size, **{"instance": "faces", "purpose": "train", "workers": 0, **options})


def cache_contents(cache: Path) -> list[str]:
    return sorted(each.name for each in cache.iterdir() if each.suffix != ".lock") if cache.exists() else []


@contextmanager
def small_files() -> Iterator[None]:
    """Writing past 8000 bytes of a file fails, as on a full disk; no fixture, since pytest's own log is a file too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
