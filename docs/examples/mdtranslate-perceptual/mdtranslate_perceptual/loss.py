"""Pictures compared in the feature maps of a network of timm."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from mdtranslate import Loss, Ramp, Terms, Translation
from mdtranslate.pretrained import timm_network

SEED = 0


class Perceptual(Loss):
    """Mean squared difference of feature maps, each scaled to length 1 at every place.

    After Johnson et al. 2016, section 3.2, with the scaling of Zhang et al. 2018, equation 1.
    """

    name = "perceptual"

    class Config(Loss.Config):
        weight: float | Ramp = Field(1.0, description="factor of the term: a number, or {start, end, steps}")
        model: str = Field("resnet18", description="timm's name of the network")
        weights: Path | None = Field(None, description="file of its weights, a state_dict; random ones if left out")
        stages: int = Field(3, ge=1, le=5, description="feature maps that are compared, from the first")
        of: Literal["reconstruction", "translation"] = Field(
            "reconstruction", description="what is compared with the picture: a translation and back, or a translation"
        )

    def __init__(self, config, *, encoder, image_size):
        super().__init__(config, encoder=encoder, image_size=image_size)
        stages = tuple(range(config.stages))
        network = timm_network(config.model, config.weights, SEED, features_only=True, out_indices=stages)
        # In a tuple: its weights never change, so no optimizer and no checkpoint shall see them.
        self._network = (network.requires_grad_(False).eval(),)
        mean, deviation = (torch.tensor(network.default_cfg[name])[:, None, None] for name in ("mean", "std"))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def _apply(self, fn, recurse=True):
        self._network[0]._apply(fn)  # To the device, with the rest.
        return super()._apply(fn, recurse)

    def generator(self, t: Translation) -> Terms:
        made = t.reconstruction if self.config.of == "reconstruction" else t.fake
        pairs = zip(self._maps(made), self._maps(t.real), strict=True)
        terms = [(own - other.detach()).square().sum(1).mean((1, 2)) for own, other in pairs]
        return torch.stack(terms).mean(0)

    def _maps(self, pictures):
        prepared = (pictures.add(1).div(2) - self.mean) / self.deviation
        return [F.normalize(each, dim=1) for each in self._network[0](prepared)]
