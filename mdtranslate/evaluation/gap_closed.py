"""Gap closed: how far edited images go from the unedited ones to real images of the target value.

The mathematics, on features of any network; docs/measures.md defines the measure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mdtranslate.api import Features, Value
from mdtranslate.config.choice import Choice
from mdtranslate.config.registry import UnknownNameError, registry
from mdtranslate.errors import PluginError

NETWORK: Final = "efficientnet-lite0"
"""The feature network of the measure, if its weights are installed."""

SCALE: Final = 1_000.0
"""Factor of the discrepancies that are reported."""

CHUNK_SIZE: Final = 1_024
"""Rows of a kernel matrix that are computed at once."""

MIN_IMAGES: Final = 10
"""Effective number of images that each set needs."""

BOOTSTRAP_SAMPLES, BOOTSTRAP_SEED = 200, 0
CONFIDENCE: Final = 0.9


class NotMeasurable(Exception):
    """The gap of an edit cannot be measured; the message says why."""


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of real images, and what is known about each.

    Attributes:
        features: Features, `(N, F)`.
        known: Known attribute values of each image.
    """

    features: Tensor
    known: Sequence[Mapping[str, Value]]


@dataclass(frozen=True)
class GapClosed:
    """How far the edits of some sources go.

    Attributes:
        value: 1: as good as real images; 0: as good as no edit.
        low: Lower end of the 90 % bootstrap interval over sources.
        high: Its upper end.
        discrepancy: Squared maximum mean discrepancy between edits and reference, times 1,000.
    """

    value: float
    low: float
    high: float
    discrepancy: float


class GapMeasure:
    """The gap between the sources of one edit and real images of its target value.

    Attributes:
        positions: Positions, among the sources given, of those that are compared: those with other labels that both
            reference and floor have.
        sources: Squared maximum mean discrepancy between these sources and the reference, times 1,000.
        floor: That of real test images of the value.
        counts: Numbers of images of each set, and effective numbers of those that are weighted.
    """

    def __init__(
        self,
        name: str,
        value: Value,
        rows: Sequence[int],
        test: LabelledFeatures,
        reference: LabelledFeatures,
        labelled: Sequence[str],
    ) -> None:
        """Weights the real images and measures the gap.

        Args:
            name: The edited attribute.
            value: Its target value.
            rows: Indices of the sources among the test images.
            test: Features of all unedited test images.
            reference: Features of real training images.
            labelled: The attributes that a run labels. Reference and floor have the sources' distribution of all of
                them but the edited one; an unknown value counts as a value of its own.

        Raises:
            NotMeasurable: There are too few images, or the gap is not larger than its uncertainty.
        """
        others = [other for other in labelled if other != name]
        target_rows = {
            "training": [row for row, known in enumerate(reference.known) if name in known and known[name] == value],
            "test": [row for row, known in enumerate(test.known) if name in known and known[name] == value],
        }
        for split, selected in target_rows.items():
            if not selected:
                raise NotMeasurable(f"no real {split} image is known to have the value")
        if not rows:
            raise NotMeasurable("no test image is known to have another value")
        reference_labels = _labels(reference.known, target_rows["training"], others)
        floor_labels = _labels(test.known, target_rows["test"], others)
        source_labels = _labels(test.known, rows, others)
        covered = {*reference_labels} & {*floor_labels}
        self.positions = [position for position, labels in enumerate(source_labels) if labels in covered]
        if 2 * len(self.positions) < len(rows):
            count = f"{len(self.positions)} of {len(rows)}"
            raise NotMeasurable(f"only {count} sources have other labels that real images of the value have, too")
        source_labels = [source_labels[position] for position in self.positions]
        self._reference_weights = _matching_weights(reference_labels, source_labels)
        floor_weights = _matching_weights(floor_labels, source_labels)
        self.counts: dict[str, float] = {
            "sources": len(self.positions),
            "sources without counterpart": len(rows) - len(self.positions),
            "reference": len(reference_labels),
            "effective reference": _effective_number(self._reference_weights),
            "floor": len(floor_labels),
            "effective floor": _effective_number(floor_weights),
        }
        for key in ("sources", "effective reference", "effective floor"):
            if self.counts[key] < MIN_IMAGES:
                raise NotMeasurable(f"too few images: {key} {self.counts[key]:.3g}, at least {MIN_IMAGES} are needed")
        self._reference = reference.features[target_rows["training"]].double()
        within_reference = _within(self._reference, self._reference_weights[:, None])
        self._within_reference = float(within_reference)
        self._samples = _bootstrap(torch.full((len(self.positions),), 1 / len(self.positions), dtype=torch.float64))
        source_rows = [rows[position] for position in self.positions]
        self._sources = self._discrepancies(test.features[source_rows], self._samples)
        floor = self._discrepancies(test.features[target_rows["test"]], _bootstrap(floor_weights))
        self.sources, self.floor = float(self._sources[0]), float(floor[0])
        low, high = _interval(self._sources - floor)
        if self.sources - self.floor <= (high - low) / 2:
            raise NotMeasurable(
                f"the gap between sources ({self.sources:.3g}) and real images ({self.floor:.3g}) is not larger than "
                f"its uncertainty ({(high - low) / 2:.2g})"
            )

    def measure(self, edits: Tensor) -> GapClosed:
        """Measures how much of the gap edits close.

        Args:
            edits: Features of the edited sources, `(N, F)`, one for each of `rows`.
        """
        discrepancies = self._discrepancies(edits[self.positions], self._samples)
        values = (self._sources - discrepancies) / (self._sources - self.floor)
        return GapClosed(float(values[0]), *_interval(values), float(discrepancies[0]))

    def _discrepancies(self, features: Tensor, weights: Tensor) -> Tensor:
        """Returns the discrepancy between weighted images and the reference, for each column of weights `(N, W)`."""
        features = features.double()
        between = weights.T @ _between(features, self._reference, self._reference_weights)
        return (_within(features, weights) + self._within_reference - 2 * between) * SCALE


def realism_network() -> Features:
    """Builds the network by whose features realism is measured.

    Raises:
        PluginError: Its weights are not installed, and how to install them.
        CheckpointError: They are damaged.
    """
    try:
        component = registry().component("features", NETWORK)
    except UnknownNameError as error:
        raise PluginError(str(error)) from None
    network = Choice(component, component.Config.model_validate({})).build()
    assert isinstance(network, Features)
    return network


def _labels(
    known: Sequence[Mapping[str, Value]], rows: Sequence[int], names: Sequence[str]
) -> list[tuple[tuple[str, Value], ...]]:
    """Returns the known values of some attributes of each image; unknown ones are missing."""
    return [tuple((name, known[row][name]) for name in names if name in known[row]) for row in rows]


def _matching_weights(labels: Sequence[object], wanted: Sequence[object]) -> Tensor:
    """Returns weights of images, `(N,)`, with which their labels have the distribution of others; their sum is 1."""
    available, shares = Counter(labels), Counter(wanted)
    weights = [shares[label] / len(wanted) / available[label] for label in labels]
    return torch.tensor(weights, dtype=torch.float64)


def _effective_number(weights: Tensor) -> float:
    """Returns the number of equally weighted images whose mean varies as much as with these weights (Kish 1965)."""
    return float(weights.sum().square() / weights.square().sum())


def _bootstrap(weights: Tensor) -> Tensor:
    """Returns weights `(N, W)`: the given ones, then those of random samples with replacement; columns sum to 1."""
    count, generator = len(weights), torch.Generator().manual_seed(BOOTSTRAP_SEED)
    drawn = torch.randint(count, (BOOTSTRAP_SAMPLES, count), generator=generator)
    counts = torch.zeros(BOOTSTRAP_SAMPLES, count, dtype=torch.float64)
    counts.scatter_add_(1, drawn, torch.ones((), dtype=torch.float64).expand(drawn.shape))
    samples = counts * weights
    return torch.cat([weights[None], samples / samples.sum(1, keepdim=True)]).T.contiguous()


def _interval(values: Tensor) -> tuple[float, float]:
    """Returns the bootstrap interval of values whose first is that of all images."""
    ends = torch.tensor([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], dtype=values.dtype)
    low, high = values[1:].quantile(ends).tolist()
    return low, high


def _kernel_rows(features: Tensor, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields slices of rows and these rows of the kernel matrix (x'y / F + 1)^3; all of it may not fit in memory."""
    for start in range(0, len(features), CHUNK_SIZE):
        rows = slice(start, start + CHUNK_SIZE)
        yield rows, (features[rows] @ others.T / features.shape[1] + 1) ** 3


def _within(features: Tensor, weights: Tensor) -> Tensor:
    """Returns the mean kernel over pairs of different images, for each column of weights `(N, W)`."""
    total = torch.zeros(weights.shape[1], dtype=torch.float64)
    for rows, kernel in _kernel_rows(features, features):
        kernel.diagonal(rows.start).zero_()
        total += (weights[rows] * (kernel @ weights)).sum(0)
    return total / (1 - weights.square().sum(0))


def _between(features: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Returns the mean kernel of each image with other, weighted images, `(N,)`."""
    return torch.cat([kernel @ weights for _, kernel in _kernel_rows(features, others)])
