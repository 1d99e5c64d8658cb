"""StarGAN's networks (Choi et al. 2018, section 4.2 and appendix, tables 4 and 5)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Discriminator, Generator, LabelEncoder, Settings, Verdict


class InstanceNorm(nn.Module):
    """Instance normalisation with the statistics of the picture at hand, in training and after it, and ReLU behind.

    The published generator keeps running statistics but is never switched to them; with them its pictures are wrong.
    Group normalisation with a channel a group is the same function and runs faster on processors.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1], self.weight, self.bias)


class Residual(nn.Module):
    """Two 3 × 3 convolutions around which the input is carried."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.main(x)
        return x + residual


class StarGANGenerator(Generator):
    """Down twice, residual blocks, up twice; the target's condition enters as constant planes beside the picture.

    With the defaults at 5 channels of condition it has the paper's 8,430,528 parameters.
    """

    name = "stargan-generator"
    multiple = 4

    class Config(Settings):
        channels: int = Field(64, ge=4, le=512, description="channels of the first convolution; doubled at each halving")
        blocks: int = Field(6, ge=0, le=32, description="residual blocks in the middle")

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        wide = config.channels
        # Zero padding, not reflection: the border is the only thing by which instance normalisation lets a
        # constant plane through.
        layers: list[nn.Module] = [nn.Conv2d(3 + encoder.size, wide, 7, padding=3, bias=False), *_activated(wide)]
        for _ in range(2):
            layers += [nn.Conv2d(wide, wide * 2, 4, stride=2, padding=1, bias=False), *_activated(wide * 2)]
            wide *= 2
        layers += [Residual(wide) for _ in range(config.blocks)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(wide, wide // 2, 4, stride=2, padding=1, bias=False), *_activated(wide // 2)]
            wide //= 2
        layers += [nn.Conv2d(wide, 3, 7, padding=3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        condition = self.encoder.condition(target)
        planes = condition[:, :, None, None].expand(-1, -1, *image.shape[2:])
        out: Tensor = self.main(torch.cat([image, planes], 1))
        return out


class StarGANDiscriminator(Discriminator):
    """Halvings down to a few pixels, then a map of scores (PatchGAN) and the domain's logits.

    With the defaults at 128 pixels and 5 classes it has the paper's 44,762,048 parameters.
    """

    name = "stargan-discriminator"

    class Config(Settings):
        channels: int = Field(64, ge=4, le=512, description="channels of the first convolution; doubled at each halving")
        layers: int = Field(6, ge=1, le=9, description="convolutions, each of which halves the picture")

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        left = image_size // 2**config.layers
        if left * 2**config.layers != image_size:
            raise ValueError(f"{config.layers} layers need an image_size that is a multiple of {2**config.layers}")
        wide = config.channels
        layers: list[nn.Module] = [nn.Conv2d(3, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
        for _ in range(config.layers - 1):
            layers += [nn.Conv2d(wide, wide * 2, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            wide *= 2
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(wide, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(wide, encoder.classes, left, bias=False)

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        features = self.main(image)
        return Verdict(self.conv1(features), self.conv2(features).flatten(1))


def _activated(channels: int) -> list[nn.Module]:
    return [InstanceNorm(channels), nn.ReLU(inplace=True)]
