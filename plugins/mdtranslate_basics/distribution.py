"""Distance between the distributions of translated and real images: FID, KID, precision and recall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, Choice, EditBatch, Features, Metric, Settings, Value, format_value

CHUNK_SIZE: Final = 1_024
"""Rows of a distance matrix that are computed at once."""

KID_SEED: Final = 0
"""Random seed of KID's subsets."""


class Distribution(Metric):
    """Distance between translations to a value and the real test images with that value, in a network's features.

    - `hair=Blond_Hair/fid`: Fréchet distance between normal distributions (Heusel et al. 2017, equation 6).
    - `hair=Blond_Hair/kid`: unbiased squared maximum mean discrepancy with a cubic kernel, averaged over random subsets
      (Bińkowski et al. 2018, section 4).
    - `hair=Blond_Hair/precision`, `hair=Blond_Hair/recall`: share of translations within the neighbourhood of a real
      image, and of real images within the neighbourhood of a translation (Kynkäänniemi et al. 2019, equation 1).
    - `fid`, `kid`, `precision`, `recall`: means over values.

    With the features of `inception` these are the figures of papers. With another network its name is appended, such as
    `fid (classifier)`, and figures are only comparable for the same network. The features of all images are kept in
    memory as float32: 512 of the attribute classifier or 2048 of Inception per image.
    """

    name = "distribution"

    class Config(Settings):
        """The feature network, and settings of KID, precision and recall."""

        network: Choice[Features] | None = Field(
            None, description="feature network: its name and settings; the attribute classifier if left out"
        )
        kid_subsets: int = Field(100, ge=1, le=10_000, description="number of random subsets of KID")
        kid_subset_size: int = Field(
            1_000, ge=2, le=100_000, description="images per subset of KID; all images if there are fewer"
        )
        neighbours: int = Field(
            3,
            ge=1,
            le=100,
            description="k of precision and recall: an image's neighbourhood reaches to its k-th nearest neighbour",
        )

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Builds the network; see `Metric` for the arguments."""
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        self.network = classifier_features if config.network is None else config.network.build()
        self.real: list[Tensor] = []
        self.known: list[Mapping[str, Value]] = []
        self.fake: defaultdict[tuple[str, Value], list[Tensor]] = defaultdict(list)

    def update_real(self, real: Tensor, known: Sequence[Mapping[str, Value]], self_translation: Tensor) -> None:
        """Adds a batch of unedited images."""
        self.real.append(self._features(real))
        self.known += known

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images; joint edits are ignored."""
        if len(batch.edit) == 1:
            self.fake[next(iter(batch.edit.items()))].append(self._features(batch.fake))

    def compute(self) -> dict[str, float]:
        """Returns the figures so far by name."""
        figures: dict[str, float] = {}
        by_name: defaultdict[str, list[float]] = defaultdict(list)
        suffix = "" if self.network.display_name == "inception" else f" ({self.network.display_name})"
        for (attribute, value), (real, fake) in self._feature_sets().items():
            for name, figure in self._figures(real.double(), fake.double()):
                figures[f"{attribute}={format_value(value)}/{name}{suffix}"] = figure
                by_name[f"{name}{suffix}"].append(figure)
        return {**figures, **{name: fmean(values) for name, values in by_name.items()}}

    def metadata(self) -> dict[str, Any]:
        """Returns the network's fingerprint, image counts by edit, and how KID, precision and recall are computed."""
        sets = {f"{name}={format_value(value)}": features for (name, value), features in self._feature_sets().items()}
        return {
            "network": self.network.fingerprint,
            "counts": {
                edit: {"real": len(real), "fake": len(fake), **self._kid_subsets(len(real), len(fake))}
                for edit, (real, fake) in sets.items()
            },
            "kid_seed": KID_SEED,
            "neighbours": self.config.neighbours,
            "images": "8 bits, as they are saved, at the training size",
        }

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.to(images.device)(images)
        return features.detach().float().cpu()

    def _feature_sets(self) -> dict[tuple[str, Value], tuple[Tensor, Tensor]]:
        """Returns real and fake features of every target value."""
        real = torch.cat(self.real) if self.real else torch.zeros(0, 0)
        sets = {}
        for (name, value), fake in self.fake.items():
            rows = [row for row, known in enumerate(self.known) if name in known and known[name] == value]
            sets[name, value] = real[rows], torch.cat(fake)
        return sets

    def _figures(self, real: Tensor, fake: Tensor) -> list[tuple[str, float]]:
        """Returns the names and values of the figures that this number of images allows."""
        min_count = min(len(real), len(fake))
        if min_count < 2:
            return []
        figures = [("fid", frechet_distance(real, fake)), ("kid", self._kid(real, fake))]
        if min_count > self.config.neighbours:
            values = precision_and_recall(real, fake, self.config.neighbours)
            figures += zip(("precision", "recall"), values, strict=True)
        return figures

    def _kid(self, real: Tensor, fake: Tensor) -> float:
        """Averages the discrepancy over random subsets, always the same ones for the same counts."""
        subsets, generator = self._kid_subsets(len(real), len(fake)), torch.Generator().manual_seed(KID_SEED)

        def subset(features: Tensor) -> Tensor:
            return features[torch.randperm(len(features), generator=generator)[: subsets["kid_subset_size"]]]

        return fmean(mean_discrepancy(subset(real), subset(fake)) for _ in range(subsets["kid_subsets"]))

    def _kid_subsets(self, real: int, fake: int) -> dict[str, int]:
        """Returns number and size of KID's subsets: a single one if it would hold all images."""
        size = min(self.config.kid_subset_size, real, fake)
        return {"kid_subsets": 1 if size == real == fake else self.config.kid_subsets, "kid_subset_size": size}


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Computes the Fréchet distance of normal distributions with the means and covariances of features.

    Args:
        real: Features of shape `(N, F)`.
        fake: Features of shape `(M, F)`.

    Returns:
        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, equation 6).
    """
    means = [features.mean(0) for features in (real, fake)]
    roots = [_covariance_root(features) for features in (real, fake)]
    # With covariances A'A and B'B, the trace of the root of their product is the sum of singular values of A B'.
    root_trace = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    distance = (means[0] - means[1]).square().sum() + sum(root.square().sum() for root in roots) - 2 * root_trace
    return float(distance.clamp(min=0))


def _covariance_root(features: Tensor) -> Tensor:
    """Returns R with R'R the covariance of features `(N, F)`; R has at most F rows."""
    root: Tensor = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root


def mean_discrepancy(real: Tensor, fake: Tensor) -> float:
    """Computes the unbiased squared maximum mean discrepancy with the kernel (x'y / F + 1)^3.

    Args:
        real: Features of shape `(N, F)`.
        fake: Features of shape `(N, F)`.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    count = len(real)
    within = sum(matrix.sum() - matrix.diagonal().sum() for matrix in (kernel(real, real), kernel(fake, fake)))
    return float(within / (count * (count - 1)) - 2 * kernel(real, fake).mean())


def precision_and_recall(real: Tensor, fake: Tensor, neighbours: int) -> tuple[float, float]:
    """Computes improved precision and recall (Kynkäänniemi et al. 2019, equation 1).

    Args:
        real: Features of shape `(N, F)`.
        fake: Features of shape `(M, F)`.
        neighbours: k; the neighbourhood of a sample reaches to its k-th nearest neighbour in its set.

    Returns:
        Share of fake samples within a neighbourhood of `real`, and of real samples within a neighbourhood of `fake`.
    """
    # In chunks: all distances of 12,000 images take a gigabyte. The nearest neighbour of a sample is itself.
    real_radii, fake_radii = (
        torch.cat(
            [
                torch.cdist(chunk, features).kthvalue(neighbours + 1).values
                for chunk in torch.split(features, CHUNK_SIZE)
            ]
        )
        for features in (real, fake)
    )
    is_precise, is_recalled = torch.zeros(len(fake), dtype=torch.bool), list[Tensor]()
    for chunk, radii in zip(torch.split(real, CHUNK_SIZE), torch.split(real_radii, CHUNK_SIZE), strict=True):
        distances = torch.cdist(chunk, fake)
        is_precise |= (distances <= radii[:, None]).any(0)
        is_recalled.append((distances <= fake_radii[None]).any(1))
    return float(is_precise.double().mean()), float(torch.cat(is_recalled).double().mean())
