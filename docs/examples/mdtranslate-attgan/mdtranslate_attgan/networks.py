"""AttGAN's networks (He et al. 2019, section IV-A and table I)."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mdtranslate import Discriminator, Generator, Settings, Verdict

MOST = 16
"""Times the first layer's channels that the deepest one has."""


def halving(given: int, wide: int) -> nn.Sequential:
    """Half the size, by each picture's own statistics."""
    return nn.Sequential(
        nn.Conv2d(given, wide, 4, stride=2, padding=1), nn.InstanceNorm2d(wide, affine=True), nn.LeakyReLU(0.2)
    )


def deep_enough(image_size: int, layers: int) -> None:
    """Raises `ValueError` where halvings do not come out even, or leave one pixel, which cannot be normalised."""
    if image_size % 2**layers or image_size < 2 ** (layers + 1):
        raise ValueError(f"layers={layers} needs an image_size that is a multiple of {2**layers}, and not {2**layers}")


class AttGANGenerator(Generator):
    """Halvings to a latent, the label laid beside it, doublings back; early layers are laid beside late ones.

    With the defaults, at 128 pixels, it has the layers of the released code: halvings to 64, 128, 256, 512 and 1,024
    channels, doublings to 1,024, 512, 256, 128 and 3 (the paper's table I), one shortcut, and the label at two depths
    (`injections=0`: in the latent alone, as the first release had it). Its normalisation differs, which is of each
    picture here and of batches there.
    """

    name = "attgan-generator"

    class Config(Settings):
        channels: int = Field(64, ge=4, le=512, description="channels of the first layer, doubled up to 16 times")
        layers: int = Field(5, ge=2, le=8, description="halvings")
        shortcuts: int = Field(1, ge=0, le=7, description="layers that are laid beside their counterparts")
        injections: int = Field(1, ge=0, le=7, description="doublings beside the first that are told the label, too")
        label: Literal["target", "difference"] = Field(
            "target", description="what it is told: the target's label, or target minus source (STGAN, section 3.2)"
        )

    def __init__(self, config, *, encoder, image_size):
        super().__init__(config, encoder=encoder, image_size=image_size)
        deep_enough(image_size, config.layers)
        if max(config.shortcuts, config.injections) >= config.layers:
            raise ValueError(f"shortcuts and injections are fewer than layers={config.layers}")
        self.multiple = 2**config.layers
        widths = [3] + [config.channels * min(2**level, MOST) for level in range(config.layers)]
        self.down = nn.ModuleList(halving(*pair) for pair in pairwise(widths))
        self.up = nn.ModuleList()
        given = widths[-1]
        for level in range(config.layers):
            told = encoder.size if level <= config.injections else 0
            beside = widths[-level - 1] if 0 < level <= config.shortcuts else 0
            last = level == config.layers - 1
            wide = 3 if last else widths[-level - 1]
            layer = [nn.ConvTranspose2d(given + beside + told, wide, 4, stride=2, padding=1)]
            layer += [nn.Tanh()] if last else [nn.InstanceNorm2d(wide, affine=True), nn.ReLU()]
            self.up.append(nn.Sequential(*layer))
            given = wide

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        told = self.encoder.condition(target)
        # Labels of -0.5 and 0.5, as in the code that came with the paper; a difference is 0 where nothing is to change.
        told = told - self.encoder.condition(source) if self.config.label == "difference" else told - 0.5
        hidden, early = image, []
        for layer in self.down:
            hidden = layer(hidden)
            early.append(hidden)
        for level, layer in enumerate(self.up):
            parts = [hidden]
            if 0 < level <= self.config.shortcuts:
                parts.append(early[-level - 1])
            if level <= self.config.injections:
                parts.append(told[:, :, None, None].expand(-1, -1, *hidden.shape[2:]).to(hidden.dtype))
            hidden = layer(torch.cat(parts, 1))
        return hidden


class AttGANDiscriminator(Discriminator):
    """Halvings, then for the score and for the attributes two layers each that see the whole picture.

    Between those two nothing is normalised, as in the released code.
    """

    name = "attgan-discriminator"
    alone = True

    class Config(Settings):
        channels: int = Field(64, ge=4, le=512, description="channels of the first layer, doubled up to 16 times")
        layers: int = Field(5, ge=2, le=8, description="halvings")
        hidden: int = Field(1024, ge=8, le=4096, description="width of the layer before the score and the logits")

    def __init__(self, config, *, encoder, image_size):
        super().__init__(config, encoder=encoder, image_size=image_size)
        deep_enough(image_size, config.layers)
        widths = [3] + [config.channels * min(2**level, MOST) for level in range(config.layers)]
        self.down = nn.Sequential(*(halving(*pair) for pair in pairwise(widths)))
        seen = widths[-1] * (image_size // 2**config.layers) ** 2
        self.score, self.logits = (
            nn.Sequential(
                nn.Flatten(), nn.Linear(seen, config.hidden), nn.LeakyReLU(0.2), nn.Linear(config.hidden, count)
            )
            for count in (1, encoder.classes)
        )

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        hidden = self.down(image)
        return Verdict(self.score(hidden)[:, 0], self.logits(hidden))
