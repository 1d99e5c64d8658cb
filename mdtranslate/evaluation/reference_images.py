"""A sample of real training images, with which metrics and validation compare edited images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mdtranslate.api import Record, Split, Value
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes

SEED: Final = 0  # Independent of the run's seed, so that all runs on the same images are compared with the same ones.


def sample_reference(
    dataset: RecipeDataset, classified: ClassifiedAttributes, size: int, count: int, progress: Progress
) -> tuple[NDArray[np.uint8], list[int], list[Mapping[str, Value]]]:
    """Draws a sample of the train split, the same one every time.

    Args:
        dataset: The dataset.
        classified: Names of all attributes.
        size: Height and width of the images in pixels.
        count: Number of images at most.
        progress: Receives the progress of caching. If the train split is not cached at this size, only the sample is.

    Returns:
        Cached images, uint8 of shape `(N, S, S, 3)`, the indices of the sample among them, in rising order, and what
        is known about each image of the sample, by classified names.

    Raises:
        mdtranslate.errors.DataError: The train split has no images, or they cannot be read.
        mdtranslate.errors.StorageError: The cache cannot be written.
    """
    records: Sequence[Record] = dataset.records(Split.TRAIN)
    if not dataset.is_cached(records, size):
        records = [records[index] for index in _sample(len(records), count)]
    cached = dataset.cache_images(records, size, "train", progress)
    records = cached.select_readable(records)
    indices = _sample(len(records), count)
    return cached.pixels, indices, [classified.values_of(records[index], dataset) for index in indices]


def _sample(total: int, count: int) -> list[int]:
    """Returns `count` different indices below `total` in rising order; all if there are not more."""
    if total <= count:
        return list(range(total))
    indices: list[int] = sorted(np.random.default_rng(SEED).choice(total, count, replace=False).tolist())
    return indices
