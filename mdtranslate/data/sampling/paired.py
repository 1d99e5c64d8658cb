"""Ground truth of translations, for training on pairs (`data.targets=paired`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder, Record
from mdtranslate.data.cache.store import CachedImages
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.data.records import Records
from mdtranslate.errors import DataError


@dataclass(frozen=True, eq=False)
class PairedTargets:
    """Target images of a run's source images, grouped by source image.

    Attributes:
        cached: Target images per dataset.
        labels: Their labels, `(M, L)`, of all datasets.
        starts: Target images of source image n are at `starts[n]` to `starts[n + 1]`; `(N + 1,)`.
    """

    cached: list[CachedImages]
    labels: Tensor
    starts: NDArray[np.int64]

    def draw(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draws one target image for each source image.

        Args:
            indices: Indices of the source images, `(B,)`.
            rng: Random numbers of the step.

        Returns:
            Indices of the target images, `(B,)`.
        """
        drawn: NDArray[np.int64] = rng.integers(self.starts[indices], self.starts[indices + 1])
        return drawn


def find_paired_targets(
    records_by_dataset: Sequence[tuple[RecipeDataset, Sequence[Record]]],
    label_encoder: LabelEncoder,
    size: int,
    progress: Progress,
) -> PairedTargets:
    """Finds the target images of all single edits for which the datasets have one, and caches them.

    Args:
        records_by_dataset: Each dataset with the records of its source images.
        label_encoder: The label encoder.
        size: Side of the images in pixels.
        progress: Receives the progress of caching.

    Raises:
        DataError: No dataset has any target image.
    """
    all_cached, labels, counts = list[CachedImages](), list[Tensor](), list[int]()
    for dataset, records in records_by_dataset:
        targets, source_indices = Records(), list[int]()
        for index, record in enumerate(records):
            for edit in label_encoder.edits(dataset.attribute_values(record), dataset.index):
                if (target := dataset.dataset.counterfactual(record, edit)) is not None:
                    targets.append(target)
                    source_indices.append(index)
        cached = dataset.cache_images(targets, size, "train, edited", progress)
        all_cached.append(cached)
        labels.append(dataset.encode_labels(cached.select_readable(targets), label_encoder))
        readable_sources = np.asarray(cached.select_readable(source_indices), np.int64)
        counts += np.bincount(readable_sources, minlength=len(records)).tolist()
    if not any(map(len, labels)):
        names = " and ".join(dataset.name for dataset, _ in records_by_dataset)
        raise DataError(f"data.targets=paired: {names} has no ground truth of any edit; choose another data.targets")
    return PairedTargets(all_cached, torch.cat(labels), np.cumsum([0, *counts]))
