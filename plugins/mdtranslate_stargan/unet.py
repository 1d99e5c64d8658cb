"""A conditional U-Net generator that learns edits in fewer steps than StarGAN's, for small budgets and networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import (
    OUTPUT_CHANNELS,
    OUTPUT_DESCRIPTION,
    Generator,
    LabelEncoder,
    OutputMode,
    Settings,
    compose_output,
)
from mdtranslate_stargan.networks import ConditionalSequential, InstanceNorm, ResidualBlock
from mdtranslate_stargan.palette import PaletteOutput

LEAKY_RELU_NEGATIVE = 0.2
"""Factor of negative values in leaky ReLUs."""

INITIAL_MASK_BIAS = -1.0
"""Initial bias of the mask before the sigmoid: an untrained generator replaces 27 % of each pixel."""


class ConditionalUNet(Generator):
    """A U-Net with residual blocks and conditional instance normalisation.

    No convolution runs at full resolution: the first one halves the image, the last one doubles its input. There are
    four further differences to `stargan-generator`:

    - Upsampling repeats pixels and then convolves (Odena et al. 2016, "Deconvolution and Checkerboard Artifacts").
      Transposed convolutions leave a checkerboard pattern until late in training.
    - Encoder features are added to decoder features of the same resolution, so that edges need not pass through the
      lowest resolution (Ronneberger et al. 2015, figure 1, where they are concatenated).
    - The condition scales and shifts each normalised channel (Dumoulin et al. 2017, equation 5). By default it is the
      target minus the source label, which is zero for attributes that stay (STGAN, Liu et al. 2019, section 3.2).
    - A mask blends the output with the input (GANimation, Pumarola et al. 2018, equation 1). The last convolution
      starts at zero, so that an untrained generator returns the input with less contrast. With `palette` the output
      can also take colours that are the same for a whole image, see `PaletteOutput`.

    With `label="none"` it ignores labels: for members of a bank such as `per-pair`, each of which makes one kind of
    edit. Height and width must be multiples of 2^depth.
    """

    name = "conditional-unet"

    class Config(Settings):
        """Width, depth, condition and output."""

        channels: int = Field(
            32, ge=1, le=512, description="channels at half resolution, doubled at each lower resolution"
        )
        depth: int = Field(2, ge=1, le=6, description="number of times the resolution is halved")
        max_channels: int | None = Field(None, ge=1, le=4096, description="upper limit of channels; none if left out")
        blocks: int = Field(2, ge=0, le=32, description="residual blocks at the lowest resolution")
        decoder_blocks: int = Field(
            0, ge=0, le=32, description="residual blocks after each upsampling except the last, for shapes and textures"
        )
        label: Literal["target", "difference", "none"] = Field(
            "difference",
            description="condition of the normalisations: the target label, target minus source label, or none (for "
            "members of a bank)",
        )
        output: OutputMode = Field("blend", description=OUTPUT_DESCRIPTION)
        palette: int = Field(
            0,
            ge=0,
            le=64,
            description="plain colours, chosen for each image, that the output blend can also mix in, for drawings",
        )

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Generator` for the arguments.

        Raises:
            ValueError: The image size is not a multiple of 2^depth, or too small.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.size_multiple = 2**config.depth
        if image_size % self.size_multiple or image_size < 2 * self.size_multiple:  # A single pixel has no variance.
            raise ValueError(
                f"depth={config.depth} needs an image_size that is a multiple of {self.size_multiple}, at least "
                f"{2 * self.size_multiple}"
            )
        self.is_conditional = config.label != "none"
        condition_size = label_encoder.condition_size if self.is_conditional else 0
        limit = config.max_channels or config.channels * 2**config.depth
        widths = [min(config.channels * 2**level, limit) for level in range(config.depth)]
        self.first = nn.Conv2d(3, widths[0], 4, stride=2, padding=1)
        self.down = nn.ModuleList(
            _ConvNormActivation(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False), condition_size)
            for inputs, outputs in pairwise(widths)
        )
        self.middle = nn.ModuleList(ResidualBlock(widths[-1], condition_size) for _ in range(config.blocks))
        self.up = nn.ModuleList(
            _ConvNormActivation(UpsamplingConv2d(inputs, outputs), condition_size)
            for inputs, outputs in pairwise(reversed(widths))
        )
        self.decoder_blocks = nn.ModuleList(
            ConditionalSequential(*(ResidualBlock(width, condition_size) for _ in range(config.decoder_blocks)))
            for width in reversed(widths[:-1])
        )
        if config.palette and config.output != "blend":
            raise ValueError(f"palette={config.palette} needs output=blend, not {config.output}")
        self.palette = PaletteOutput(widths[-1], config.palette, self.size_multiple) if config.palette else None
        out_channels = self.palette.input_channels if self.palette else OUTPUT_CHANNELS[config.output]
        self.last = UpsamplingConv2d(widths[0], out_channels, bias=True)
        if self.palette:
            self.palette.initialise(self.last)
        elif config.output != "image":  # Output mode `image` would start at a constant image.
            self._start_at_identity()

    def _start_at_identity(self) -> None:
        """Initialises the last convolution to 0, and the bias of the mask to `INITIAL_MASK_BIAS`."""
        assert self.last.bias is not None
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        nn.init.constant_(self.last.bias[3:], INITIAL_MASK_BIAS)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Translates images; see `Generator.forward`."""
        condition = self.label_encoder.condition(target)
        if self.config.label == "difference":
            condition = condition - self.label_encoder.condition(source)
        x = F.leaky_relu(self.first(image), LEAKY_RELU_NEGATIVE)
        skips = []
        for layer in self.down:
            skips.append(x)
            x = layer(x, condition)
        for layer in self.middle:
            x = layer(x, condition)
        colors = self.palette.colors(x, image) if self.palette else None
        for layer, blocks in zip(self.up, self.decoder_blocks, strict=True):
            x = blocks(layer(x, condition) + skips.pop(), condition)
        raw = self.last(x)
        if self.palette:
            mixed: Tensor = self.palette(image, raw, colors)
            return mixed
        return compose_output(self.config.output, image, raw)


class _ConvNormActivation(nn.Module):
    """A convolution, conditional instance normalisation and leaky ReLU."""

    def __init__(self, convolution: nn.Conv2d, condition_size: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = InstanceNorm(convolution.out_channels, condition_size)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x), condition), LEAKY_RELU_NEGATIVE)


class UpsamplingConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, followed by a 3 × 3 convolution with padding 1.

    It is computed at the low resolution, with one 2 × 2 kernel for each of the four output pixels of an input pixel:
    the same result with fewer than half of the multiplications.
    """

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = False) -> None:
        """Initialises the 3 × 3 kernel as `nn.Conv2d` does."""
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)
        # For even and odd output pixels: which of the 3 taps fall on which of 2 neighbouring input pixels.
        even, odd = [[1.0, 0, 0], [0, 1, 1]], [[1.0, 1, 0], [0, 0, 1]]
        self.register_buffer("taps", torch.tensor([even, odd]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Upsamples features `(B, C, H, W)` to `(B, C', 2H, 2W)`."""
        count, _, height, width = x.shape
        kernels = torch.einsum("pyh,qxw,oihw->pqoiyx", self.taps, self.taps, self.weight).flatten(0, 2)
        bias = None if self.bias is None else self.bias.repeat(4)
        maps = F.conv2d(x, kernels, bias, padding=1).view(count, 2, 2, -1, height + 1, width + 1)
        rows = [torch.stack([maps[:, p, q, :, p : p + height, q : q + width] for q in (0, 1)], dim=-1) for p in (0, 1)]
        return torch.stack(rows, dim=3).reshape(count, -1, 2 * height, 2 * width)
