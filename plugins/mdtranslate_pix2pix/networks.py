"""pix2pix's generator (Isola et al. 2017, section 3.2 and appendix 6.1.1)."""

from __future__ import annotations

from typing import Any

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

MAX_DEFAULT_DEPTH = 8
MAX_WIDTH_FACTOR = 8
"""Largest number of channels of a level, as a multiple of those of the first convolution."""

INITIAL_STD = 0.02
"""Standard deviation of initial weights (Isola et al. 2017, appendix 6.2)."""


class InstanceBatchNorm(nn.Module):
    """Batch normalisation with a batch size of 1: instance normalisation with a scale and a shift per channel.

    The paper trains and tests with a batch size of 1 (section 3.3). There are no running statistics.
    """

    def __init__(self, channels: int) -> None:
        """Draws the initial scale as the paper does; the shift is 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels).normal_(1.0, INITIAL_STD))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises features `(B, C, H, W)`."""
        return F.group_norm(x, x.shape[1], self.weight, self.bias)


class _Level(nn.Module):
    """A level of the U-Net: downsampling, the level below, upsampling, and concatenation with the input."""

    def __init__(self, outer_channels: int, inner_channels: int, below: _Level | None, dropout: float) -> None:
        super().__init__()
        self.down = nn.Conv2d(outer_channels, inner_channels, 4, stride=2, padding=1, bias=False)
        self.norm = None if below is None else InstanceBatchNorm(inner_channels)  # A single pixel has no variance.
        self.below = below
        up_channels = inner_channels if below is None else 2 * inner_channels
        self.up = nn.ConvTranspose2d(up_channels, outer_channels, 4, stride=2, padding=1, bias=False)
        self.after = InstanceBatchNorm(outer_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.down(F.leaky_relu(x, 0.2))
        if self.below is not None and self.norm is not None:
            inner = self.below(self.norm(inner))
        return torch.cat([x, self.dropout(self.after(self.up(F.relu(inner))))], 1)


class UnetGenerator(Generator):
    """pix2pix's U-Net generator (Isola et al. 2017, appendix 6.1.1; Ronneberger et al. 2015).

    Strided convolutions down to a single pixel, and transposed convolutions back, with skip connections by
    concatenation. Height and width must be multiples of 2^depth. It ignores labels: use it as a member of a bank such
    as `per-pair`.

    With default settings it has 54,413,955 parameters at 256 × 256 pixels. Its noise is dropout in three inner levels,
    in training only: in evaluation mode the output is deterministic.
    """

    name = "unet-generator"
    is_conditional = False
    is_stochastic = True

    class Config(Settings):
        """Width, depth and dropout; the defaults are the paper's."""

        channels: int = Field(
            64, ge=1, le=512, description="channels of the first convolution, doubled by each further one up to 8 times"
        )
        depth: int | None = Field(
            None,
            ge=3,
            le=10,
            description="number of times the resolution is halved; down to a single pixel if left out, at most "
            f"{MAX_DEFAULT_DEPTH}",
        )
        dropout: float = Field(0.5, ge=0, lt=1, description="dropout probability in the inner levels")
        output: OutputMode = Field("image", description=OUTPUT_DESCRIPTION)

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Generator` for the arguments.

        Raises:
            ValueError: The image size is not a multiple of 2^depth.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        depth = config.depth or min(MAX_DEFAULT_DEPTH, image_size.bit_length() - 1)
        if image_size % 2**depth:
            raise ValueError(f"depth {depth} needs an image_size that is a multiple of {2**depth}")
        self.size_multiple = 2**depth
        widths = [config.channels * min(2**level, MAX_WIDTH_FACTOR) for level in range(depth)]
        below: _Level | None = None
        for level in reversed(range(1, depth)):
            # Dropout in the three levels above the innermost one, as far as they have full width.
            has_dropout = depth - 4 <= level < depth - 1 and widths[level - 1] == widths[-1]
            below = _Level(widths[level - 1], widths[level], below, config.dropout if has_dropout else 0.0)
        self.down = nn.Conv2d(3, widths[0], 4, stride=2, padding=1, bias=False)
        self.levels = below
        self.up = nn.ConvTranspose2d(2 * widths[0], OUTPUT_CHANNELS[config.output], 4, stride=2, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, INITIAL_STD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Translates images; labels are ignored. See `Generator.forward`."""
        assert self.levels is not None, "depth is at least 3"
        return compose_output(self.config.output, image, self.up(F.relu(self.levels(self.down(image)))))
