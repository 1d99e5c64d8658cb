"""What a sample of a dataset's images and files shows that nobody would notice: a run says it, the doctor lists it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdtranslate.api.dataset import Dataset, Note, Record
from mdtranslate.errors import DataError
from mdtranslate.utils.grey_range import describe_range
from mdtranslate.utils.image_files import frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE: Final = 64
"""Images and files that are looked at, from all over the dataset."""

SEVERAL: Final = frozenset({".avif", ".gif", ".heic", ".heif", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes of files that can hold several pages or frames."""


def file_notes(
    dataset: Dataset, records: Sequence[Record], pixels: NDArray[np.uint8], name: str, most: int = SAMPLE
) -> Iterator[Note]:
    """What is wrong with a dataset's images, one note of each kind.

    Args:
        dataset: Whose images they are.
        records: Of its train split.
        pixels: Their images, uint8 [N, S, S, 3].
        name: The dataset's, in the recipe.
        most: Files that are opened, at most.
    """
    places = sorted({int(place) for place in np.linspace(0, len(records) - 1, min(most, len(records)))})
    files = list(dict.fromkeys(file for place in places if (file := records[place].image) is not None))
    key = f"datasets.{name}.range" if isinstance(dataset.config, Dataset.FileConfig) else None
    if (trouble := describe_range(pixels[places], files[:SAMPLE], dataset.value_range, key)) is not None:
        yield Note("little-range", *trouble, tuple(map(str, files[:SAMPLE])))
    counts = {file: count for file in files if file.suffix.lower() in SEVERAL and (count := _frames(file)) > 1}
    if counts:
        first, count = next(iter(counts.items()))
        yield Note(
            "several-pages",
            f"{len(counts)} of {len(files)} files that were looked at have several pages or frames, such as {first} "
            f"with {count}; only the first is used",
            "save each page as a file of its own where all are meant",
            tuple(map(str, counts)),
        )


def _frames(file: Path) -> int:
    try:
        return frames(file)
    except DataError:  # It is among the unreadable.
        return 1
