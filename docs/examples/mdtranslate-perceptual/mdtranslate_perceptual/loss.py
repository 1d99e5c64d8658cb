"""A loss that compares images by the feature maps of a network."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Choice, Features, Loss, Ramp, Terms, Translation


class Perceptual(Loss):
    """Distance of the source image and its reconstruction, or translation, in the first feature maps of a network.

    At each position of a map, the vector of channels is normalised to length 1. Squared differences are summed over
    channels, and averaged over positions and maps. Johnson et al. 2016, section 3.2, also average over channels, and
    do not normalise; the normalisation is that of Zhang et al. 2018, equation 1, who sum over maps and weight channels.
    """

    name = "perceptual"

    class Config(Loss.Config):
        weight: float | Ramp = Field(1.0, description="factor of the term: a number, or {start, end, steps}")
        network: Choice[Features] = Field(
            {"name": "timm", "model": "resnet18"},
            validate_default=True,
            description="feature network, with a file of its weights; random weights without a file",
        )
        num_maps: int = Field(3, ge=1, description="number of feature maps to compare, from the first")
        image: Literal["reconstruction", "translation"] = Field(
            "reconstruction", description="image to compare with the source image"
        )

    def __init__(self, config, *, label_encoder, image_size):
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        # A tuple hides the frozen network from optimizers and checkpoints.
        self._network = (config.network.build(),)
        available = len(self._network[0].feature_maps(torch.zeros(1, 3, image_size, image_size)))
        if config.num_maps > available:
            raise ValueError(f"num_maps={config.num_maps}: the network has {available} feature maps")

    def _apply(self, fn, recurse=True):
        self._network[0]._apply(fn)  # Moves the hidden network to the device, too.
        return super()._apply(fn, recurse)

    def generator(self, t: Translation) -> Terms:
        image = t.reconstruction if self.config.image == "reconstruction" else t.fake
        pairs = zip(self._feature_maps(image), self._feature_maps(t.real), strict=True)
        terms = [(features - target.detach()).square().sum(1).mean((1, 2)) for features, target in pairs]
        return torch.stack(terms).mean(0)

    def _feature_maps(self, image: Tensor) -> list[Tensor]:
        maps = self._network[0].feature_maps(image)[: self.config.num_maps]
        return [F.normalize(feature_map, dim=1) for feature_map in maps]
