"""Metrics of image pairs: magnitude of edits, perceptual distance to the ground truth, and identity of faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Attribute, Choice, EditBatch, Features, Settings
from mdtranslate_basics.metrics import Means

GREY_LEVELS: Final = 127.5
"""Grey levels of 255 per unit of images in [-1, 1]."""


class EditMagnitude(Means):
    """How much of an image an edit changes.

    - `hair/change`: mean absolute difference in grey levels of 255.
    - `hair/changed`: share of pixels of which a colour channel changes by more than `threshold`.
    - `hair=Blond_Hair/change` and so on: the same by edit.
    """

    name = "edit-magnitude"

    class Config(Settings):
        """The threshold of changed pixels."""

        threshold: float = Field(
            8.0, ge=0, le=255, description="difference in grey levels of 255 above which a pixel counts as changed"
        )

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images."""
        difference = (batch.fake.float() - batch.real.float()).abs() * GREY_LEVELS
        for scope in batch.scopes:
            self.add(f"{scope}/change", difference.mean((1, 2, 3)))
            self.add(f"{scope}/changed", (difference.amax(1) > self.config.threshold).float().mean((1, 2)))


class PerceptualDistance(Means):
    """Distance of edited images to the ground truth in the feature maps of a network.

    Features are normalised to length 1 at each position; their squared differences are averaged over positions and
    maps. This is the distance of Zhang et al. 2018, equation 1, without its learned weights, so it is not LPIPS.

    - `hair/distance (classifier)`: with the name of the network.
    - `hair/distance (classifier) of the identity baseline`: the same for the unedited source image.
    - `hair=Blond_Hair/distance (classifier)` and so on: the same by edit.

    There are no figures for edits without ground truth.
    """

    name = "perceptual-distance"

    class Config(Settings):
        """The feature network."""

        network: Choice[Features] | None = Field(
            None, description="feature network: its name and settings; the attribute classifier if left out"
        )

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Builds the network; see `Metric` for the arguments."""
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        self.network = classifier_features if config.network is None else config.network.build()

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images, if it has ground truth."""
        if batch.truth is None:
            return
        network = self.network.to(batch.fake.device)
        truth, fake, source = (network.feature_maps(images) for images in (batch.truth, batch.fake, batch.real))
        for scope in batch.scopes:
            name = f"{scope}/distance ({self.network.display_name})"
            self.add(name, _distance(fake, truth))
            self.add(f"{name} of the identity baseline", _distance(source, truth))

    def metadata(self) -> dict[str, Any]:
        """Returns the fingerprint of the network."""
        return {"network": self.network.fingerprint}


class FaceIdentity(Means):
    """Whether a face remains recognisable as the same person, according to a face recognition network.

    `hair/identity`, and by edit `hair=Blond_Hair/identity`: cosine similarity of the network's features before and
    after the edit, in [-1, 1]. It is only meaningful with the weights of a face recognition network.
    """

    name = "face-identity"

    class Config(Settings):
        """The feature network."""

        network: Choice[Features] = Field(description="face recognition network with its weights: name and settings")

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Builds the network; see `Metric` for the arguments.

        Raises:
            ValueError: The network has random weights.
        """
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        self.network = config.network.build()
        if self.network.is_untrained:
            raise ValueError(
                f"network: {self.network.display_name} has random weights, which cannot recognise faces; set its "
                "weights"
            )

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images."""
        network = self.network.to(batch.fake.device)
        similarity = F.cosine_similarity(network(batch.fake), network(batch.real), dim=1)
        for scope in batch.scopes:
            self.add(f"{scope}/identity", similarity)

    def metadata(self) -> dict[str, Any]:
        """Returns the fingerprint of the network."""
        return {"network": self.network.fingerprint}


def _distance(maps: Sequence[Tensor], reference_maps: Sequence[Tensor]) -> Tensor:
    """Returns the distance of each image's feature maps, `(B,)`."""
    distances = [
        (F.normalize(features, dim=1) - F.normalize(reference, dim=1)).square().sum(1).mean((1, 2))
        for features, reference in zip(maps, reference_maps, strict=True)
    ]
    return torch.stack(distances).mean(0)
