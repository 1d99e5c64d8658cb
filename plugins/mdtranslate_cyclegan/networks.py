"""CycleGAN's networks (Zhu et al. 2017, section 4 and appendix 7.2). Neither knows of labels: banks hold several."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mdtranslate import Discriminator, Generator, LabelEncoder, Settings, Verdict
from mdtranslate.api.networks import CHANNELS, OUTPUTS, Output, painted
from mdtranslate.errors import RecipeError

SPREAD = 0.02
"""Standard deviation of the first weights (section 7.1 of the appendix)."""


class ResnetGenerator(Generator):
    """Down twice, residual blocks, up twice, over reflected borders and instance norms without weights.

    With 64 channels it has 11,378,179 parameters at 9 blocks, which the paper takes for 256 pixels, and 7,837,699 at 6,
    which it takes for 128.
    """

    name = "resnet-generator"
    conditional = False
    multiple = 4

    class Config(Settings):
        channels: int = Field(64, ge=1, le=512, description="channels of the first convolution, doubled twice")
        blocks: int = Field(9, ge=0, le=32, description="residual blocks in the middle")
        output: Output = Field("picture", description=OUTPUTS)

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        wide = config.channels
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, wide, 7), *_normed(wide)]
        for _ in range(2):
            layers += [nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1), *_normed(2 * wide)]
            wide *= 2
        layers += [_Block(wide) for _ in range(config.blocks)]
        for _ in range(2):
            up = nn.ConvTranspose2d(wide, wide // 2, 3, stride=2, padding=1, output_padding=1)
            layers += [up, *_normed(wide // 2)]
            wide //= 2
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(wide, CHANNELS[config.output], 7))
        self.apply(_begin)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        return painted(self.config.output, image, self.model(image))


class _Block(nn.Module):
    """Two convolutions around which the input is carried; no activation after the sum."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3), *_normed(wide)]
        self.main = nn.Sequential(*first, nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3), nn.InstanceNorm2d(wide))

    def forward(self, image: Tensor) -> Tensor:
        carried: Tensor = image + self.main(image)
        return carried


def _normed(wide: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(wide), nn.ReLU(inplace=True)]


class PatchGAN(Discriminator):
    """Scores overlapping patches, of 70 x 70 pixels with 3 layers (Isola et al. 2017, section 3.2).

    With the defaults it has the paper's 2,764,737 parameters; as pix2pix has it (`pairs`, `affine`), 2,768,705.
    """

    name = "patchgan"
    alone = True

    class Config(Settings):
        channels: int = Field(64, ge=1, le=512, description="channels of the first convolution, doubled up to 8 times")
        layers: int = Field(
            3, ge=1, le=6, description="convolutions that halve; patches have 16, 34, 70, 142 ... pixels"
        )
        pairs: bool = Field(
            False, description="it is shown the picture that was translated, too, beside the translation (pix2pix)"
        )
        affine: bool = Field(
            False,
            description="norms have a scale and a shift per channel, as the batch norms of pix2pix have, which trains "
            "on one picture at a time",
        )

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        if image_size // 2**config.layers < 4:
            raise ValueError(f"{config.layers} layers leave no patch of pictures of {image_size} pixels")
        self.needs_truth = config.pairs
        wide = config.channels
        layers: list[nn.Module] = [_convolution(6 if config.pairs else 3, wide), nn.LeakyReLU(0.2, inplace=True)]
        for number in range(1, config.layers + 1):
            now = config.channels * min(2**number, 8)
            stride = 1 if number == config.layers else 2
            convolution = _convolution(wide, now, stride, bias=not config.affine)
            norm = nn.InstanceNorm2d(now, affine=config.affine)
            layers += [convolution, norm, nn.LeakyReLU(0.2, inplace=True)]
            wide = now
        self.model = nn.Sequential(*layers, _convolution(wide, 1, 1))
        self.apply(_begin)

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        if self.config.pairs:
            if made_from is None:
                raise RecipeError(f"{self.name}: pairs=true needs pictures that come in pairs (data.targets=paired)")
            image = torch.cat([made_from, image], 1)
        return Verdict(self.model(image), None)


def _convolution(inputs: int, outputs: int, stride: int = 2, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=bias)


def _begin(layer: nn.Module) -> None:
    """The first weights, as the paper draws them."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, SPREAD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.InstanceNorm2d) and layer.affine:
        nn.init.normal_(layer.weight, 1.0, SPREAD)
        nn.init.zeros_(layer.bias)
