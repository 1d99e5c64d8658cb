"""Selects the target labels of each step, as the setting `data.targets` says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.config.schema import Data
from mdtranslate.data.sampling.sampler import ORDER, TURNS, Sampler
from mdtranslate.errors import RecipeError

Random = np.random.Generator
DomainKey = tuple[int, str, Value]
"""Dataset index, attribute name and value."""


class TargetSampler:
    """Samples target labels for any images: `permute`, `one-edit` and `other-domain`, and `data.cross_dataset`.

    Args:
        labels: Labels of all images, `(N, L)`.
        starts: Index of the first image of each dataset, and the number of all images.
        label_encoder: The label encoder.
        settings: The settings `data`.

    Raises:
        RecipeError: `data.targets=other-domain` and the label encoder cannot list its domains.
    """

    def __init__(self, labels: Tensor, starts: NDArray[np.int64], label_encoder: LabelEncoder, settings: Data) -> None:
        self.labels, self.starts, self.label_encoder, self.settings = labels, starts, label_encoder, settings
        self._rows = labels.numpy()
        self._all_known = bool(label_encoder.is_fully_known(labels).all())
        if settings.targets == "other-domain":
            try:
                self._domains = label_encoder.domains
            except ValueError as error:
                raise RecipeError(f"data.targets=other-domain: {error}") from None

    def __call__(self, indices: NDArray[np.int64], rng: Random) -> tuple[Tensor, Tensor]:
        """Samples target labels.

        Args:
            indices: Indices of the images, `(B,)`.
            rng: Random numbers of the step.

        Returns:
            Source and target labels, `(B, L)` each.
        """
        source = self._labels_of(indices)
        return source, self._cross_dataset(self._within_dataset(source, rng), rng)

    def _labels_of(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns labels of images, `(B, L)`, indexed by numpy, whose calls have less overhead than torch's."""
        return torch.from_numpy(self._rows[indices])

    def _within_dataset(self, source: Tensor, rng: Random) -> Tensor:
        """Samples targets from the dataset of each image."""
        if self.settings.targets == "permute":
            return self._permute(source, rng)
        datasets = self.label_encoder.dataset_index(source)
        draws = rng.random(len(source))
        if self.settings.targets == "other-domain":
            return self._other_domain(source, datasets, draws)
        rows = []
        for label, dataset, draw in zip(source, datasets.tolist(), draws, strict=True):
            known = self.label_encoder.decode(label)
            edits = self.label_encoder.edits(known, dataset)
            edit = edits[int(draw * len(edits))] if edits else {}
            rows.append(self.label_encoder.encode({**known, **edit}, dataset))
        return torch.stack(rows)

    def _cross_dataset(self, target: Tensor, rng: Random) -> Tensor:
        """Replaces a share of `data.cross_dataset` of the targets by labels of images of other datasets."""
        if not self.settings.cross_dataset:
            return target
        datasets, starts = self.label_encoder.dataset_index(target).numpy(), self.starts
        replaced = rng.random(len(target)) < self.settings.cross_dataset
        # The images of a dataset are contiguous: draw from as many images as the others have, and skip over its range.
        first, last = starts[datasets], starts[datasets + 1]
        drawn = rng.integers(0, len(self.labels) - (last - first))
        drawn += np.where(drawn >= first, last - first, 0)
        return torch.where(torch.from_numpy(replaced)[:, None], self._labels_of(drawn), target)

    def _permute(self, source: Tensor, rng: Random) -> Tensor:
        """Returns labels of other images of the same dataset.

        Attributes that are unknown in `source` stay unknown; those unknown in the other label keep the source's value.
        """
        if len(self.starts) == 2:
            target = torch.from_numpy(source.numpy()[rng.permutation(len(source))])
        else:  # From the whole dataset: a small one has too few images in a batch to exchange labels among.
            numbers, starts = self.label_encoder.dataset_index(source).numpy(), self.starts
            target = self._labels_of(rng.integers(starts[numbers], starts[numbers + 1]))
        if self._all_known:
            return target
        datasets = self.label_encoder.dataset_index(source)
        has_unknown = ~(self.label_encoder.is_fully_known(source) & self.label_encoder.is_fully_known(target))
        for row in torch.nonzero(has_unknown)[:, 0].tolist():
            source_values, target_values = map(self.label_encoder.decode, (source[row], target[row]))
            merged = {name: target_values.get(name, value) for name, value in source_values.items()}
            target[row] = self.label_encoder.encode(merged, int(datasets[row]))
        return target

    def _other_domain(self, source: Tensor, datasets: Tensor, draws: NDArray[np.float64]) -> Tensor:
        """Returns a domain of the same dataset other than the source; domains are ordered by dataset."""
        domain_datasets = self.label_encoder.dataset_index(self._domains)
        first = (domain_datasets[:, None] < datasets).sum(0)
        count = (domain_datasets[:, None] == datasets).sum(0)
        source_domain = self.label_encoder.domain_index(source)
        num_choices = (count - (source_domain >= 0).long()).clamp(min=1)  # A single domain is its own target.
        drawn = first + (torch.from_numpy(draws) * num_choices).long()
        skip = (source_domain >= 0) & (drawn >= source_domain) & (count > 1)
        return self._domains[drawn + skip]


class DomainPairSampler:
    """Samples images and targets for `data.targets=domain-pairs`: in each step, two values of one attribute.

    Half of the images of a step have one value and are translated to the other, and vice versa, as methods for two
    domains are trained (CycleGAN, DIAT). The pairs of values of all attributes take turns. All other attributes are
    unknown in the labels.

    Args:
        labels: Labels of all images, `(N, L)`.
        label_encoder: The label encoder.
        seed: Seed of the run.

    Raises:
        RecipeError: No attribute has images of two values.
    """

    def __init__(self, labels: Tensor, label_encoder: LabelEncoder, seed: int) -> None:
        unique_labels, inverse = torch.unique(labels, dim=0, return_inverse=True)
        datasets = label_encoder.dataset_index(unique_labels).tolist()
        label_indices: dict[DomainKey, list[int]] = {}  # Indices of the unique labels with this value.
        for index, (label, dataset) in enumerate(zip(unique_labels, datasets, strict=True)):
            for name, value in label_encoder.decode(label).items():
                label_indices.setdefault((dataset, name, value), []).append(index)
        self.image_indices: dict[DomainKey, NDArray[np.int64]] = {}
        for key, indices in label_indices.items():
            has_value = np.zeros(len(unique_labels), np.bool_)
            has_value[indices] = True
            self.image_indices[key] = np.flatnonzero(has_value[inverse.numpy()])
        self.labels = {key: label_encoder.encode({key[1]: key[2]}, key[0]) for key in label_indices}
        keys = self._ordered_keys(label_encoder)
        self.pairs = [pair for pair in combinations(keys, 2) if pair[0][:2] == pair[1][:2]]
        if not self.pairs:
            raise RecipeError("data.targets=domain-pairs: no attribute has images of two values to translate between")
        self.pair_sampler, self.seed = Sampler([np.arange(len(self.pairs))], seed), seed

    def _ordered_keys(self, label_encoder: LabelEncoder) -> Iterator[DomainKey]:
        """Yields the values that some image has, in the order of the label encoder."""
        for dataset, attributes in enumerate(label_encoder.attributes):
            for attribute in attributes:
                keys = ((dataset, attribute.name, value) for value in attribute.allowed_values)
                yield from (key for key in keys if key in self.image_indices)

    def __call__(self, step: int, count: int) -> tuple[NDArray[np.int64], Tensor, Tensor]:
        """Samples a step.

        Args:
            step: The step, counted from 0.
            count: Number of images, even.

        Returns:
            Indices of the images, `(count,)`, and their source and target labels, `(count, L)` each.
        """
        pair_round, turn = divmod(step, len(self.pairs))
        pair = self.pairs[int(self.pair_sampler.permutation((TURNS,), pair_round, len(self.pairs))[turn])]
        rng = np.random.default_rng([self.seed, ORDER, step])
        # Both halves are drawn independently, as the released code of CycleGAN does: images are not paired.
        half = count // 2
        indices = [images[rng.integers(len(images), size=half)] for images in map(self.image_indices.__getitem__, pair)]
        source = torch.stack([self.labels[key] for key in pair]).repeat_interleave(half, 0)
        return np.concatenate(indices), source, source.flip(0)
