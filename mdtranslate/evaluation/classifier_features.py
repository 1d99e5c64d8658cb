"""Features of the attribute classifier, by which metrics compare images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mdtranslate.api import Features, Settings
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier


class ClassifierFeatures(Features):
    """Penultimate features of the attribute classifier, trained on the very data that is evaluated.

    Distances in them compare methods on the same data; they are not comparable with Inception's.
    """

    name = display_name = "classifier"

    def __init__(self, classifier: AttributeClassifier) -> None:
        """Takes the features of a trained classifier, whose network is one of timm's."""
        super().__init__(Settings())
        self.network = classifier.network
        self.fingerprint = f"classifier {classifier.metadata['key']}"

    def forward(self, image: Tensor) -> Tensor:
        network: Any = self.network
        features: Tensor = network.forward_head(network.forward_features(image), pre_logits=True)
        return features

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        network: Any = self.network
        maps: list[Tensor] = network.forward_intermediates(image, intermediates_only=True)
        return maps


class PlaceholderFeatures(Features):
    """Takes the classifier's place while metrics are built only to check their settings."""

    name = display_name = "classifier"
    fingerprint = "untrained classifier"

    def forward(self, image: Tensor) -> Tensor:
        return image.new_zeros(len(image), 1)

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image.new_zeros(len(image), 1, 1, 1)]
