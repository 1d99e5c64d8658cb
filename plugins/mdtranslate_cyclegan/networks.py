"""CycleGAN's networks (Zhu et al. 2017, section 4 and appendix 7.2). They ignore labels; a bank holds several."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mdtranslate import (
    OUTPUT_CHANNELS,
    OUTPUT_DESCRIPTION,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    LabelEncoder,
    OutputMode,
    Settings,
    compose_output,
)
from mdtranslate.errors import RecipeError

INITIAL_STD = 0.02
"""Standard deviation of initial weights (Zhu et al. 2017, appendix 7.1)."""


class ResnetGenerator(Generator):
    """CycleGAN's generator (Zhu et al. 2017, appendix 7.2; Johnson et al. 2016).

    Two strided convolutions, residual blocks, and two transposed convolutions, with reflection padding and instance
    normalisation without scale and shift. Height and width must be multiples of 4. It ignores labels: use it as a
    member of a bank such as `per-pair`.

    With 64 channels it has 11,378,179 parameters with 9 blocks, which the paper uses for 256 × 256 pixels, and
    7,837,699 with 6 blocks, for 128 × 128 pixels.
    """

    name = "resnet-generator"
    is_conditional = False
    size_multiple = 4

    class Config(Settings):
        """Width, depth and output; the defaults are the paper's for 256 × 256 pixels."""

        channels: int = Field(
            64, ge=1, le=512, description="channels of the first convolution, doubled by each strided convolution"
        )
        blocks: int = Field(9, ge=0, le=32, description="residual blocks at the lowest resolution")
        output: OutputMode = Field("image", description=OUTPUT_DESCRIPTION)

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Generator` for the arguments."""
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        channels = config.channels
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, channels, 7), *_norm_and_activation(channels)]
        for _ in range(2):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
                *_norm_and_activation(2 * channels),
            ]
            channels *= 2
        layers += [_ResidualBlock(channels) for _ in range(config.blocks)]
        for _ in range(2):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1),
                *_norm_and_activation(channels // 2),
            ]
            channels //= 2
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels, OUTPUT_CHANNELS[config.output], 7)]
        self.model = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Translates images; labels are ignored. See `Generator.forward`."""
        return compose_output(self.config.output, image, self.model(image))


class _ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with instance normalisation and a skip connection; no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            *_norm_and_activation(channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.main(x)
        return result


def _norm_and_activation(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


class PatchGAN(Discriminator):
    """The PatchGAN discriminator of pix2pix and CycleGAN (Isola et al. 2017, section 3.2 and appendix 6.1.2).

    Its score map `(B, 1, h, w)` has one score per overlapping patch, of 70 × 70 pixels with 3 layers; there are no
    logits. It ignores labels: use it as a member of the bank `per-value`.

    With default settings it has CycleGAN's 2,764,737 parameters; with `condition_on_source` and `affine`, pix2pix's
    2,768,705.
    """

    name = "patchgan"
    is_batch_independent = True

    class Config(Settings):
        """Width, depth and input."""

        channels: int = Field(
            64, ge=1, le=512, description="channels of the first convolution, doubled by each further one up to 8 times"
        )
        layers: int = Field(
            3, ge=1, le=6, description="strided convolutions; patches have 16, 34, 70, 142, ... pixels per side"
        )
        condition_on_source: bool = Field(
            False,
            description="also score how the image fits its source image (pix2pix); needs data.targets=paired",
        )
        affine: bool = Field(
            False,
            description="normalise with a scale and a shift per channel, as pix2pix does with batch normalisation and "
            "a batch size of 1",
        )

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Discriminator` for the arguments.

        Raises:
            ValueError: The images are too small for this number of layers.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        if image_size // 2**config.layers < 4:
            raise ValueError(f"layers={config.layers} needs an image_size of at least {4 * 2**config.layers}")
        self.requires_truth = config.condition_on_source
        channels = config.channels
        layers: list[nn.Module] = [
            _conv(6 if config.condition_on_source else 3, channels),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for layer in range(1, config.layers + 1):
            out_channels = config.channels * min(2**layer, 8)
            stride = 1 if layer == config.layers else 2
            layers += [
                _conv(channels, out_channels, stride, bias=not config.affine),
                nn.InstanceNorm2d(out_channels, affine=config.affine),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = out_channels
        self.model = nn.Sequential(*layers, _conv(channels, 1, 1))
        self.apply(_initialise)

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Scores the patches of images; see `Discriminator.forward`.

        Raises:
            RecipeError: `condition_on_source` is set, but there are no source images.
        """
        if self.config.condition_on_source:
            if source_image is None:
                raise RecipeError(f"{self.name}: condition_on_source=true needs source images (data.targets=paired)")
            image = torch.cat([source_image, image], 1)
        return DiscriminatorOutput(self.model(image), None)


def _conv(in_channels: int, out_channels: int, stride: int = 2, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 4, stride=stride, padding=1, bias=bias)


def _initialise(layer: nn.Module) -> None:
    """Draws the initial weights as in the paper."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, INITIAL_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.InstanceNorm2d) and layer.affine:
        nn.init.normal_(layer.weight, 1.0, INITIAL_STD)
        nn.init.zeros_(layer.bias)
