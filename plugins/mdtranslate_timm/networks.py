"""Feature networks and discriminators whose layers are timm's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Discriminator, Features, LabelEncoder, Settings, Verdict
from mdtranslate.inference.timm_factory import origin, timm_network

SEED = 0
"""Of weights where no file has them: every run is measured by the same ones."""


class Network(Settings):
    """Which network, and where its weights are."""

    model: str = Field(description="timm's name of the network: timm.list_models() has all")
    weights: Path | None = Field(
        None, description="file of its weights, as torch.save writes a state_dict; random ones if left out"
    )


class TimmFeatures(Features):
    """Any network of timm, with weights of a file or with random ones, which are the same each time.

    Pictures are normalised as its weights want them. Its features are those before its classifier.
    """

    name = "timm"

    class Config(Network):
        size: int | None = Field(
            None,
            ge=16,
            le=2048,
            description="side to which pictures are scaled first (bilinear, antialiased); if left out, that for which "
            "a network is made where there is one, else the pictures' own",
        )

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.network = timm_network(config.model, config.weights, SEED, config.size)
        self.normal = _Normal(self.network.default_cfg)
        meant = self.network.default_cfg
        self.size = config.size or (meant["input_size"][-1] if meant.get("fixed_input_size") else None)
        self.label = config.model
        self.identity = f"timm {config.model}, {origin(config.weights)}"
        self.untrained = config.weights is None
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Always in evaluation mode: what pictures are measured by does not depend on who else is in a batch."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.network.forward_head(
            self.network.forward_features(self._prepared(image)), pre_logits=True
        )
        return features.flatten(1)

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        maps: list[Tensor] = self.network.forward_intermediates(self._prepared(image), intermediates_only=True)
        return maps

    def _prepared(self, image: Tensor) -> Tensor:
        if self.size is not None and image.shape[2:] != (self.size, self.size):
            image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        prepared: Tensor = self.normal(image.float())
        return prepared


class _Normal(nn.Module):
    """Pictures in [-1, 1] with the mean and deviation of those that a network's weights were trained on."""

    def __init__(self, meant: Mapping[str, Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(meant["mean"])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(meant["std"])[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        assert isinstance(self.mean, Tensor) and isinstance(self.deviation, Tensor)
        return (image.add(1).div(2) - self.mean) / self.deviation


class TimmDiscriminator(Discriminator):
    """The first stages of a network of timm, then a map of scores and the domain's logits."""

    name = "timm-discriminator"

    class Config(Network):
        stages: int = Field(4, ge=1, le=8, description="feature maps that it has, each half as large as the one before")

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        # Only those stages that are asked for: the rest would be kept, saved and never learn.
        stages = {"features_only": True, "out_indices": tuple(range(config.stages))}
        try:
            self.trunk = timm_network(config.model, config.weights, None, image_size, **stages)
        except IndexError:
            raise ValueError(f"stages={config.stages}: {config.model} has not so many") from None
        self.normal = _Normal(self.trunk.default_cfg)
        _unchanged(self.trunk)
        wide = self.trunk.feature_info.channels()[-1]
        self.score = nn.Conv2d(wide, 1, 3, padding=1)
        self.logits = nn.Linear(wide, encoder.classes)

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        features = self.trunk(self.normal(image))[-1]
        return Verdict(self.score(features), self.logits(features.mean((2, 3))))


def _unchanged(network: nn.Module) -> None:
    """Activations that write over their input leave nothing to a second derivative, which penalties take."""
    for each in network.modules():
        if getattr(each, "inplace", False):
            each.inplace = False  # type: ignore[assignment]
