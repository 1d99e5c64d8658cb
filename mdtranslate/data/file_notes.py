"""Notes on problems in a sample of a dataset's images; runs print them, and `mdtranslate doctor` lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdtranslate.api.dataset import Dataset, Note, Record
from mdtranslate.errors import DataError
from mdtranslate.utils.grey_range import describe_range
from mdtranslate.utils.image_files import count_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_SIZE: Final = 64
"""Number of images that are checked, spread over the dataset."""

MULTI_FRAME_SUFFIXES: Final = frozenset({".avif", ".gif", ".heic", ".heif", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes of files that can hold several pages or frames."""


def file_notes(
    dataset: Dataset, records: Sequence[Record], pixels: NDArray[np.uint8], name: str, max_files: int = SAMPLE_SIZE
) -> Iterator[Note]:
    """Yields notes on a dataset's images, one of each kind.

    Args:
        dataset: The dataset.
        records: Records of its train split.
        pixels: Their images, uint8 of shape `(N, S, S, 3)`.
        name: The dataset's name in the recipe.
        max_files: Number of files that are opened at most.
    """
    indices = sorted({int(index) for index in np.linspace(0, len(records) - 1, min(max_files, len(records)))})
    files = list(dict.fromkeys(file for index in indices if (file := records[index].image) is not None))
    key = f"datasets.{name}.range" if isinstance(dataset.config, Dataset.FileConfig) else None
    if (problem := describe_range(pixels[indices], files[:SAMPLE_SIZE], dataset.value_range, key)) is not None:
        yield Note("little-range", *problem, tuple(map(str, files[:SAMPLE_SIZE])))
    frame_counts = {
        file: count
        for file in files
        if file.suffix.lower() in MULTI_FRAME_SUFFIXES and (count := _count_frames(file)) > 1
    }
    if frame_counts:
        first, count = next(iter(frame_counts.items()))
        yield Note(
            "several-pages",
            f"{len(frame_counts)} of {len(files)} checked files have several pages or frames, such as {first} "
            f"with {count}; only the first is used",
            "if all of them should be used, save each page as a file",
            tuple(map(str, frame_counts)),
        )


def _count_frames(file: Path) -> int:
    try:
        return count_frames(file)
    except DataError:  # Reported as unreadable elsewhere.
        return 1
