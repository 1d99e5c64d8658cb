"""Realism of edits: how far they go from the unedited images to real images of the target value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from statistics import fmean
from typing import Any, Final

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import (
    Attribute,
    Choice,
    EditBatch,
    Features,
    GapMeasure,
    LabelledFeatures,
    Metric,
    NotMeasurable,
    Settings,
    Value,
    format_value,
    realism_network,
)
from mdtranslate.errors import PluginError

CHUNK_SIZE: Final = 1_024
"""Edited images whose distances are computed at once."""

Scope = tuple[str, Value]


class GapClosedMetric(Metric):
    """Share of the gap between unedited images and real images of the target value that edits close.

    - `hair=Blond_Hair/gap closed (efficientnet-lite0)`: 1: as good as real images; 0: as good as no edit; below 0:
      farther from real images than no edit. Its 90 % bootstrap interval over images is from `gap closed low` to
      `gap closed high`.
    - `hair=Blond_Hair/identity gap closed (...)`: the same of translations to the images' own labels.
    - `hair=Blond_Hair/own (...)`: share of edits whose nearest unedited test image is their own source.
    - `hair/...` and without a prefix: means over edits.

    `GapMeasure` computes it. Distances are those of a feature network, whose name is part of every figure. The
    features of all images are kept in memory as float32: 1,280 of EfficientNet-lite0 per image.
    """

    name = "gap-closed"

    class Config(Settings):
        """The feature network."""

        network: Choice[Features] | None = Field(
            None,
            description="feature network: its name and settings; if left out, efficientnet-lite0, or the attribute "
            "classifier if its weights are not installed",
        )

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Builds the network; see `Metric` for the arguments."""
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        self.hint: str | None = None
        if config.network is not None:
            self.network = config.network.build()
        else:
            try:
                self.network = realism_network()
            except PluginError as error:
                self.network, self.hint = classifier_features, str(error)
        self.labelled: tuple[str, ...] = ()
        self.reference: list[Tensor] = []
        self.reference_known: list[Mapping[str, Value]] = []
        self.test: list[Tensor] = []
        self.test_known: list[Mapping[str, Value]] = []
        self.self_translations: list[Tensor] = []
        self.rows: dict[bytes, int] = {}
        self.edits: defaultdict[Scope, list[Tensor]] = defaultdict(list)
        self.sources: defaultdict[Scope, list[int]] = defaultdict(list)
        self._results: tuple[dict[str, float], dict[str, Any]] | None = None

    def update_reference(self, real: Tensor, known: Sequence[Mapping[str, Value]], labelled: Sequence[str]) -> None:
        """Adds a batch of training images."""
        self._results = None
        self.labelled = tuple(labelled)
        self.reference.append(self._features(real))
        self.reference_known += known

    def update_real(self, real: Tensor, known: Sequence[Mapping[str, Value]], self_translation: Tensor) -> None:
        """Adds a batch of unedited test images."""
        self._results = None
        for row, digest in enumerate(_digests(real), start=len(self.test_known)):
            self.rows.setdefault(digest, row)
        self.test.append(self._features(real))
        self.test_known += known
        self.self_translations.append(self._features(self_translation))

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images; joint edits are ignored."""
        if len(batch.edit) > 1:
            return
        self._results = None
        (scope,) = batch.edit.items()
        self.sources[scope] += [self.rows[digest] for digest in _digests(batch.real)]
        self.edits[scope].append(self._features(batch.fake))

    def compute(self) -> dict[str, float]:
        """Returns the figures so far by name."""
        return self._measure()[0]

    def metadata(self) -> dict[str, Any]:
        """Returns the network, discrepancies and image counts by edit, and why other edits could not be measured."""
        hint = {} if self.hint is None else {"hint": self.hint}
        return {"network": self.network.fingerprint, **hint, **self._measure()[1]}

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.to(images.device)(images)
        return features.detach().float().cpu()

    def _measure(self) -> tuple[dict[str, float], dict[str, Any]]:
        """Returns all figures, and the metadata of edits."""
        if self._results is not None:
            return self._results
        test, reference = (
            LabelledFeatures(torch.cat(features) if features else torch.zeros(0, 0), known)
            for features, known in ((self.test, self.test_known), (self.reference, self.reference_known))
        )
        figures: dict[str, float] = {}
        by_scope: defaultdict[str, list[float]] = defaultdict(list)
        measured: dict[str, Any] = {}
        not_measured: dict[str, str] = {}
        for (attribute, value), batches in self.edits.items():
            edit, edits, rows = f"{attribute}={format_value(value)}", torch.cat(batches), self.sources[attribute, value]
            by_name = {"own": nearest_source_share(edits, test.features, rows)}
            try:
                if not self.reference:
                    raise NotMeasurable("no training images were given")
                gap = GapMeasure(attribute, value, rows, test, reference, self.labelled)
            except NotMeasurable as error:
                not_measured[edit] = str(error)
            else:
                edited, identity = gap.measure(edits), gap.measure(torch.cat(self.self_translations)[rows])
                by_name |= {"gap closed": edited.value, "gap closed low": edited.low, "gap closed high": edited.high}
                by_name["identity gap closed"] = identity.value
                measured[edit] = {
                    "discrepancy": {
                        "sources": gap.sources,
                        "edits": edited.discrepancy,
                        "floor": gap.floor,
                        "identity": identity.discrepancy,
                    },
                    "counts": gap.counts,
                }
            for name, figure in by_name.items():
                full_name = f"{name} ({self.network.display_name})"
                figures[f"{edit}/{full_name}"] = figure
                if not name.endswith((" low", " high")):  # The mean of intervals is not the interval of a mean.
                    by_scope[f"{attribute}/{full_name}"].append(figure)
                    by_scope[full_name].append(figure)
        figures |= {name: fmean(values) for name, values in by_scope.items()}
        self._results = figures, {"edits": measured, "not measured": not_measured}
        return self._results


def nearest_source_share(edits: Tensor, test: Tensor, rows: Sequence[int]) -> float:
    """Returns the share of edits whose nearest unedited image is their own source.

    Args:
        edits: Features of edited images, `(N, F)`.
        test: Features of unedited images, `(M, F)`.
        rows: Index of the source of each edit in `test`.
    """
    test = test.double()
    squares, is_nearest = test.square().sum(1), list[Tensor]()
    for start in range(0, len(edits), CHUNK_SIZE):
        chunk, sources = edits[start : start + CHUNK_SIZE].double(), torch.tensor(rows[start : start + CHUNK_SIZE])
        # Squared distances, less the square of the edit, which is the same for all.
        distances = squares - 2 * chunk @ test.T
        to_source = distances.gather(1, sources[:, None])[:, 0]
        is_nearest.append(to_source <= distances.amin(1) + 1e-9 * squares[sources])  # Equal images are equally near.
    return float(torch.cat(is_nearest).double().mean())


def _digests(images: Tensor) -> Iterator[bytes]:
    """Yields a digest of each image, by which edits find the features of their sources."""
    for image in images.detach().cpu():
        yield blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
