"""Pictures compared in the feature maps of a network."""

from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from mdtranslate import Choice, Features, Loss, Ramp, Terms, Translation


class Perceptual(Loss):
    """How far a picture is from what was made of it, in the first feature maps of a network.

    At each place of a map the vector of its channels is scaled to length 1; the squares of the differences are summed
    over channels, and that is averaged over the places of a map and over the maps. Johnson et al. 2016, section 3.2,
    average over channels, too, and do not scale; the scaling is that of Zhang et al. 2018, equation 1, who sum over
    maps and weigh each channel.
    """

    name = "perceptual"

    class Config(Loss.Config):
        weight: float | Ramp = Field(1.0, description="factor of the term: a number, or {start, end, steps}")
        network: Choice[Features] = Field(
            {"name": "timm", "model": "resnet18"},
            validate_default=True,
            description="what pictures are compared by, with a file of its weights; random ones if that is left out",
        )
        stages: int = Field(3, ge=1, description="feature maps that are compared, from the first")
        of: Literal["reconstruction", "translation"] = Field(
            "reconstruction", description="what is compared with the picture: a translation and back, or a translation"
        )

    def __init__(self, config, *, encoder, image_size):
        super().__init__(config, encoder=encoder, image_size=image_size)
        # In a tuple: its weights never change, so no optimizer and no checkpoint shall see them.
        self._network = (config.network.build(),)
        count = len(self._network[0].maps(torch.zeros(1, 3, image_size, image_size)))
        if config.stages > count:
            raise ValueError(f"stages={config.stages}: the network has {count} feature maps")

    def _apply(self, fn, recurse=True):
        self._network[0]._apply(fn)  # To the device, with the rest.
        return super()._apply(fn, recurse)

    def generator(self, t: Translation) -> Terms:
        made = t.reconstruction if self.config.of == "reconstruction" else t.fake
        pairs = zip(self._maps(made), self._maps(t.real), strict=True)
        terms = [(own - other.detach()).square().sum(1).mean((1, 2)) for own, other in pairs]
        return torch.stack(terms).mean(0)

    def _maps(self, pictures):
        return [F.normalize(each, dim=1) for each in self._network[0].maps(pictures)[: self.config.stages]]
