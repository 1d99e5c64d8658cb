"""Realism during training: how much of the gap to real images edits of held-out images close.

The same measure as in evaluations, on fewer images, so that it takes little of the training time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import Features, LabelEncoder, Split, Value, format_value
from mdtranslate.data.batches import normalise, to_device, to_pixels
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.errors import PluginError
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes
from mdtranslate.evaluation.gap_closed import GapMeasure, LabelledFeatures, NotMeasurable, realism_network
from mdtranslate.evaluation.reference_images import sample_reference
from mdtranslate.inference.translator import Translator

REFERENCE_IMAGES: Final = 1_000
"""Training images of each dataset that edits are compared with."""

TEST_IMAGES: Final = 512
"""Held-out images of each dataset, of which sources and floor are taken."""

EDITED_IMAGES: Final = 252
"""Edited images of one measurement, of all edits together,"""
MIN_SOURCES, MAX_SOURCES = 24, 64
"""and of one edit."""

BATCH_SIZE: Final = 32
SEED: Final = 0


@dataclass(frozen=True, eq=False)
class _Edit:
    """An edit of N held-out images, and the gap that it should close.

    Attributes:
        name: The edit, such as `hair=Blond_Hair`.
        pixels: The images, uint8 of shape `(N, S, S, 3)`.
        source: Their source labels, `(N, L)`.
        target: Their target labels, `(N, L)`.
        gap: The gap.
    """

    name: str
    pixels: NDArray[np.uint8]
    source: Tensor
    target: Tensor
    gap: GapMeasure


class RealismMonitor:
    """Measures the gap closed by edits of held-out images, always the same ones."""

    def __init__(
        self,
        sources: Sequence[RecipeDataset],
        label_encoder: LabelEncoder,
        classified: ClassifiedAttributes,
        size: int,
        device: torch.device,
        progress: Progress,
    ) -> None:
        """Initialises the monitor; images are read when they are first needed.

        Args:
            sources: The datasets of a run. Those without a val split are left out.
            label_encoder: Encodes labels.
            classified: Names of all attributes.
            size: Height and width of the images in pixels.
            device: Where to compute features.
            progress: Receives the progress of caching.
        """
        self.sources, self.label_encoder, self.classified = sources, label_encoder, classified
        self.size, self.device, self.progress = size, device, progress

    @torch.inference_mode()
    def measure(self, translator: Translator) -> dict[str, float]:
        """Returns the gap closed by edit; edits that cannot be measured are missing."""
        return {edit.name: round(edit.gap.measure(self._edited(translator, edit)).value, 5) for edit in self.edits}

    @cached_property
    def edits(self) -> list[_Edit]:
        """The edits that can be measured; none without the weights of the feature network."""
        return [] if self._network is None else list(self._prepare_edits())

    @cached_property
    def _network(self) -> Features | None:
        try:
            return realism_network().to(self.device)
        except PluginError:
            return None

    def _prepare_edits(self) -> Iterator[_Edit]:
        datasets = [dataset for dataset in self.sources if dataset.records_or_empty(Split.VAL)]
        values = [
            value for dataset in datasets for attribute in dataset.attributes for value in attribute.allowed_values
        ]
        num_sources = min(max(EDITED_IMAGES // max(len(values), 1), MIN_SOURCES), MAX_SOURCES)
        for dataset in datasets:
            names = self.classified.names[dataset.index]
            labelled = [names[attribute.name] for attribute in dataset.attributes]
            pixels, indices, reference_known = sample_reference(
                dataset, self.classified, self.size, REFERENCE_IMAGES, self.progress
            )
            reference = LabelledFeatures(self._features(pixels, indices), reference_known)
            records, cached = dataset.preview_images(self.size, self.progress)
            rng = np.random.default_rng(SEED)
            indices = sorted(rng.permutation(len(records))[:TEST_IMAGES].tolist())
            records = [records[index] for index in indices]
            known = [self.classified.values_of(record, dataset) for record in records]
            test = LabelledFeatures(self._features(cached.pixels, indices), known)
            for attribute in dataset.attributes:
                for value in (value for value in attribute.allowed_values if value is not None):
                    name = names[attribute.name]
                    rows = [row for row, values in enumerate(known) if name in values and values[name] != value]
                    rows = sorted(rng.permutation(rows)[:num_sources].tolist())
                    try:
                        gap = GapMeasure(name, value, rows, test, reference, labelled)
                    except NotMeasurable:
                        continue
                    labels = [dataset.attribute_values(records[row]) for row in rows]
                    yield _Edit(
                        f"{name}={format_value(value)}",
                        cached.pixels[[indices[row] for row in rows]],
                        self._encode(labels, dataset),
                        self._encode([{**values, attribute.name: value} for values in labels], dataset),
                        gap,
                    )

    def _encode(self, labels: Sequence[Mapping[str, Value]], dataset: RecipeDataset) -> Tensor:
        return torch.stack([self.label_encoder.encode(values, dataset.index) for values in labels])

    def _features(self, pixels: NDArray[np.uint8], indices: Sequence[int]) -> Tensor:
        """Returns features of cached images, `(N, F)`, on the CPU."""
        batches = [indices[start : start + BATCH_SIZE] for start in range(0, len(indices), BATCH_SIZE)]
        return torch.cat(
            [self._network_features(normalise(to_device(pixels[batch], self.device))) for batch in batches]
        )

    def _edited(self, translator: Translator, edit: _Edit) -> Tensor:
        """Returns features of edited images, `(N, F)`, on the CPU."""
        features = []
        for start in range(0, len(edit.pixels), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            real = normalise(torch.from_numpy(edit.pixels[rows]))
            # As 8-bit images, as translations are shipped.
            fake = to_pixels(translator.translate(real, edit.source[rows], edit.target[rows]))
            features.append(self._network_features(normalise(to_device(fake, self.device))))
        return torch.cat(features)

    def _network_features(self, images: Tensor) -> Tensor:
        assert self._network is not None
        features: Tensor = self._network(images)
        return features.float().cpu()
