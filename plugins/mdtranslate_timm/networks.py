"""Feature networks and discriminators that are made of timm's networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import (
    Discriminator,
    DiscriminatorOutput,
    Features,
    LabelEncoder,
    Settings,
    create_timm_network,
    describe_weights,
)

RANDOM_WEIGHTS_SEED = 0
"""Random seed of feature networks without a file of weights, so that all runs are measured by the same network."""


class NetworkSettings(Settings):
    """Settings that name a network and its weights."""

    model: str = Field(description="name of the network in timm; timm.list_models() lists all")
    weights: Path | None = Field(
        None, description="file of weights, a state_dict that torch.save wrote; random weights if left out"
    )


class TimmFeatures(Features):
    """Any network of timm, with weights of a file, or with fixed random weights.

    Its features `(B, F)` are those before the classifier. Images are normalised with the mean and standard deviation of
    the network's original training images.
    """

    name = "timm"

    class Config(NetworkSettings):
        """The network, its weights and its input size."""

        input_size: int | None = Field(
            None,
            ge=16,
            le=2048,
            description="height and width that images are resized to (bilinear, antialiased); if left out, the "
            "network's input size if it has a fixed one, otherwise no resizing",
        )

    def __init__(self, config: Any) -> None:
        """Builds the network and loads its weights; see `Features`."""
        super().__init__(config)
        self.network = create_timm_network(config.model, config.weights, RANDOM_WEIGHTS_SEED, config.input_size)
        model_config = self.network.default_cfg
        self.normalize = _Normalize(model_config)
        fixed_size = model_config["input_size"][-1] if model_config.get("fixed_input_size") else None
        self.input_size = config.input_size or fixed_size
        self.display_name = config.model
        self.fingerprint = f"timm {config.model}, {describe_weights(config.weights)}"
        self.is_untrained = config.weights is None
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, so that the features of an image do not depend on the batch."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Computes features `(B, F)` of images `(B, 3, H, W)` in [-1, 1]."""
        maps = self.network.forward_features(self._preprocess(image))
        features: Tensor = self.network.forward_head(maps, pre_logits=True)
        return features.flatten(1)

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        """Computes the network's intermediate feature maps `(B, C, h, w)`, from early to late."""
        maps: list[Tensor] = self.network.forward_intermediates(self._preprocess(image), intermediates_only=True)
        return maps

    def _preprocess(self, image: Tensor) -> Tensor:
        if self.input_size is not None and image.shape[2:] != (self.input_size, self.input_size):
            image = F.interpolate(image, (self.input_size, self.input_size), mode="bilinear", antialias=True)
        normalized: Tensor = self.normalize(image.float())
        return normalized


class _Normalize(nn.Module):
    """Normalises images in [-1, 1] to the mean and standard deviation that a network's weights expect."""

    def __init__(self, model_config: Mapping[str, Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(model_config["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(model_config["std"])[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        assert isinstance(self.mean, Tensor) and isinstance(self.std, Tensor)
        return (image.add(1).div(2) - self.mean) / self.std


class TimmDiscriminator(Discriminator):
    """A discriminator whose trunk is the first stages of a network of timm.

    A 3 × 3 convolution computes the score map `(B, 1, h, w)` from the last feature map, and a linear layer the domain
    logits `(B, K)` from its mean over positions. It ignores labels.
    """

    name = "timm-discriminator"

    class Config(NetworkSettings):
        """The network, its weights and how much of it is used."""

        stages: int = Field(
            4, ge=1, le=8, description="number of stages of the network to use, each with half the resolution"
        )

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Builds the trunk and loads its weights; see `Discriminator` for the arguments.

        Raises:
            ValueError: The network has fewer stages.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        # Later stages are not built: they would be saved but never trained.
        stages = {"features_only": True, "out_indices": tuple(range(config.stages))}
        try:
            self.trunk = create_timm_network(config.model, config.weights, None, image_size, **stages)
        except IndexError:
            raise ValueError(f"stages={config.stages}: {config.model} has fewer stages") from None
        self.normalize = _Normalize(self.trunk.default_cfg)
        _disable_inplace_activations(self.trunk)
        channels = self.trunk.feature_info.channels()[-1]
        self.score = nn.Conv2d(channels, 1, 3, padding=1)
        self.logits = nn.Linear(channels, label_encoder.num_logits)

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Scores and classifies images; see `Discriminator.forward`."""
        features = self.trunk(self.normalize(image))[-1]
        return DiscriminatorOutput(self.score(features), self.logits(features.mean((2, 3))))


def _disable_inplace_activations(network: nn.Module) -> None:
    """Switches off in-place activations: they overwrite inputs that the double backward of penalties needs."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
