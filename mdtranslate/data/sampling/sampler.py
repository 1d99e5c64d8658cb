"""Selects the images of each step: concatenated permutations that depend on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder

ORDER, DRAWS, TURNS = 0, 1, 2
"""Purposes of random streams: the second word of their seed, after the seed of the run."""


class Sampler:
    """Samples from groups of images; the groups take turns, in an order that is drawn for each round.

    The epochs of each group are permutations, concatenated; batches may span several of them.

    Args:
        groups: Indices of the images of each group.
        seed: Seed of the run.
    """

    def __init__(self, groups: Sequence[NDArray[np.int64]], seed: int) -> None:
        self.groups, self.seed = groups, seed
        self._permutations: dict[tuple[int, ...], tuple[int, NDArray[np.int64]]] = {}

    def __call__(self, step: int, count: int) -> NDArray[np.int64]:
        """Returns the image indices of a step, `(count,)`.

        Args:
            step: The step, counted from 0.
            count: Number of images per step.
        """
        first, indices, num_groups = step * count, np.empty(count, np.int64), len(self.groups)
        if num_groups == 1:
            group, position = self.groups[0], 0
            while position < count:
                epoch, offset = divmod(first + position, len(group))
                chunk = self.permutation((ORDER,), epoch, len(group))[offset : offset + count - position]
                indices[position : position + len(chunk)] = group[chunk]
                position += len(chunk)
            return indices
        for position in range(count):
            group_round, turn = divmod(first + position, num_groups)
            number = int(self.permutation((TURNS,), group_round, num_groups)[turn])
            group = self.groups[number]
            epoch, offset = divmod(group_round, len(group))
            stream = (ORDER, number) if number else (ORDER,)
            indices[position] = group[self.permutation(stream, epoch, len(group))[offset]]
        return indices

    def permutation(self, stream: tuple[int, ...], epoch: int, count: int) -> NDArray[np.int64]:
        """Returns a permutation of `count` items that depends on the seed, stream and epoch.

        The last permutation of each stream is cached.

        Args:
            stream: Purpose of the stream (`ORDER` or `TURNS`), and possibly the index of the group.
            epoch: The epoch.
            count: Number of items.
        """
        if stream not in self._permutations or self._permutations[stream][0] != epoch:
            purpose, *rest = stream
            permutation = np.random.default_rng([self.seed, purpose, epoch, *rest]).permutation(count)
            self._permutations[stream] = epoch, permutation
        return self._permutations[stream][1]


def balance_groups(balance: str, labels: Tensor, label_encoder: LabelEncoder) -> list[NDArray[np.int64]]:
    """Groups images that should be sampled equally often.

    Args:
        balance: The setting `data.balance`: `none`, `dataset` or `domain`.
        labels: Labels of all images, `(N, L)`.
        label_encoder: The label encoder.

    Returns:
        Indices of the images of each group. With `domain`, those with unknown attributes form one
        group per dataset.

    Raises:
        ValueError: There are too many domains.
    """
    if balance == "none":
        return [np.arange(len(labels))]
    datasets = label_encoder.dataset_index(labels)
    group = datasets
    if balance == "domain":
        domains = label_encoder.domain_index(labels)
        group = torch.where(domains < 0, -1 - datasets, domains)
    # Sorting is faster than comparing each image with each group.
    _, counts = torch.unique(group, return_counts=True)
    return np.split(torch.argsort(group, stable=True).numpy(), counts.cumsum(0).numpy()[:-1])
