"""How far translated pictures are, as a set, from real ones: FID, KID, precision and recall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, Choice, Edited, Features, Metric, Settings, Value
from mdtranslate.api import spell

PART: Final = 1_024  # Rows of a matrix of distances that are there at once.
SEED: Final = 0
"""Of KID's subsets: the same for every run."""


class Distribution(Metric):
    """Translations to a value against the real test pictures that have it, in a network's features.

    - `hair=Blond_Hair/fid`: Fréchet distance of two normal distributions with their means and covariances (Heusel et
      al. 2017, equation 6);
    - `hair=Blond_Hair/kid`: squared maximum mean discrepancy of a cubic kernel, unbiased, the mean over subsets
      (Bińkowski et al. 2018, section 4);
    - `.../precision`, `.../recall`: shares of translations within the reach of real pictures, and the other way round,
      by the distance of the third neighbour (Kynkäänniemi et al. 2019, equation 1);
    - the same without a value: the mean over values.

    With the features of `inception` these are what papers call so. With others the name says which: `fid (judge)`.
    Keeps every picture's features in memory, float32: 4 bytes times the features (512 of the judge, 2048 of Inception).
    """

    name = "distribution"

    class Config(Settings):
        network: Choice[Features] | None = Field(
            None, description="what pictures are compared by; the judge if left out"
        )
        subsets: int = Field(100, ge=1, le=10_000, description="subsets of KID")
        subset: int = Field(1_000, ge=2, le=100_000, description="pictures in each, or as many as there are")
        neighbour: int = Field(
            3, ge=1, le=100, description="whose distance is a picture's reach, for precision and recall"
        )

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], judge: Features) -> None:
        super().__init__(config, attributes=attributes, judge=judge)
        self.network = judge if config.network is None else config.network.build()
        self.real: list[Tensor] = []
        self.known: list[Mapping[str, Value]] = []
        self.fake: defaultdict[tuple[str, Value], list[Tensor]] = defaultdict(list)

    def see(self, real: Tensor, known: Sequence[Mapping[str, Value]], same: Tensor) -> None:
        self.real.append(self._features(real))
        self.known += known

    def update(self, batch: Edited) -> None:
        if len(batch.edit) == 1:
            self.fake[next(iter(batch.edit.items()))].append(self._features(batch.fake))

    def compute(self) -> dict[str, float]:
        found: dict[str, float] = {}
        means: defaultdict[str, list[float]] = defaultdict(list)
        end = "" if self.network.label == "inception" else f" ({self.network.label})"
        for (name, value), (real, fake) in self._sets().items():
            for figure, number in self._figures(real.double(), fake.double()):
                found[f"{name}={spell(value)}/{figure}{end}"] = number
                means[f"{figure}{end}"].append(number)
        return {**found, **{figure: fmean(numbers) for figure, numbers in means.items()}}

    def facts(self) -> dict[str, Any]:
        counts = {f"{name}={spell(value)}": each for (name, value), each in self._sets().items()}
        return {
            "network": self.network.identity,
            "counts": {
                edit: {"real": len(real), "fake": len(fake), **self._drawn(len(real), len(fake))}
                for edit, (real, fake) in counts.items()
            },
            "kid": {"seed": SEED},
            "neighbour": self.config.neighbour,
            "pictures": "8 bits, as they are shipped, at the size of the run",
        }

    def _features(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.network.to(pictures.device)(pictures)
        return features.detach().float().cpu()

    def _sets(self) -> dict[tuple[str, Value], tuple[Tensor, Tensor]]:
        """Real and made features of every value that was given."""
        real = torch.cat(self.real) if self.real else torch.zeros(0, 0)
        found = {}
        for (name, value), fake in self.fake.items():
            own = [place for place, known in enumerate(self.known) if name in known and known[name] == value]
            found[name, value] = real[own], torch.cat(fake)
        return found

    def _figures(self, real: Tensor, fake: Tensor) -> list[tuple[str, float]]:
        few = min(len(real), len(fake))
        if few < 2:
            return []
        found = [("fid", frechet(real, fake)), ("kid", self._kid(real, fake))]
        if few > self.config.neighbour:
            found += zip(("precision", "recall"), reach(real, fake, self.config.neighbour), strict=True)
        return found

    def _kid(self, real: Tensor, fake: Tensor) -> float:
        drawn, draw = self._drawn(len(real), len(fake)), torch.Generator().manual_seed(SEED)
        return fmean(
            discrepancy(*(each[torch.randperm(len(each), generator=draw)[: drawn["subset"]]] for each in (real, fake)))
            for _ in range(drawn["subsets"])
        )

    def _drawn(self, real: int, fake: int) -> dict[str, int]:
        """Subsets of KID, and the pictures in each: one, where each would be the whole."""
        size = min(self.config.subset, real, fake)
        return {"subsets": 1 if size == real == fake else self.config.subsets, "subset": size}


def frechet(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance of normal distributions with the means and covariances of features [N, F], [M, F]."""
    means, spreads = [each.mean(0) for each in (real, fake)], [_root(each) for each in (real, fake)]
    # The root of a product of covariances A A' and B B' has the trace that A' B has as the sum of singular values.
    common = torch.linalg.svdvals(spreads[0] @ spreads[1].T).sum()
    distance = (means[0] - means[1]).square().sum() + sum(each.square().sum() for each in spreads) - 2 * common
    return float(distance.clamp(min=0))


def _root(features: Tensor) -> Tensor:
    """What, transposed and times itself, is the covariance of features [N, F]: at most F rows."""
    root: Tensor = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root


def discrepancy(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy of features [N, F] and as many others, unbiased, of (x'y / F + 1)^3."""

    def kernel(one: Tensor, other: Tensor) -> Tensor:
        return (one @ other.T / one.shape[1] + 1) ** 3

    count = len(real)
    within = sum(each.sum() - each.diagonal().sum() for each in (kernel(real, real), kernel(fake, fake)))
    return float(within / (count * (count - 1)) - 2 * kernel(real, fake).mean())


def reach(real: Tensor, fake: Tensor, neighbour: int) -> tuple[float, float]:
    """Precision and recall of features [N, F], [M, F]: shares that lie within the reach of one of the other set."""
    # Each one's nearest is itself. In parts, since all distances of 12,000 images are a gigabyte.
    real_radii, fake_radii = (
        torch.cat([torch.cdist(part, each).kthvalue(neighbour + 1).values for part in torch.split(each, PART)])
        for each in (real, fake)
    )
    precision, recall = torch.zeros(len(fake), dtype=torch.bool), list[Tensor]()
    for part, radii in zip(torch.split(real, PART), torch.split(real_radii, PART), strict=True):
        between = torch.cdist(part, fake)
        precision |= (between <= radii[:, None]).any(0)
        recall.append((between <= fake_radii[None]).any(1))
    return float(precision.double().mean()), float(torch.cat(recall).double().mean())
