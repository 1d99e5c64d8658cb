"""pix2pix's generator (Isola et al. 2017, section 3.2 and appendix 6.1.1)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Generator, LabelEncoder, Settings
from mdtranslate.api.networks import CHANNELS, OUTPUTS, Output, painted

DEEPEST = 8
MOST = 8
"""Times the first convolution's channels that the inner ones have."""
SPREAD = 0.02
"""Standard deviation of the first weights (appendix 6.2)."""


class Statistics(nn.Module):
    """Normalisation by the picture at hand, with a scale and a shift for each channel.

    That is batch normalisation at the batch size of one, with which the paper trains and tests (section 3.3): there are
    no running statistics.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels).normal_(1.0, SPREAD))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1], self.weight, self.bias)


class _Level(nn.Module):
    """One halving, what lies below it, and the doubling back; its input is laid beside what comes up."""

    def __init__(self, given: int, wide: int, below: _Level | None, dropout: float) -> None:
        super().__init__()
        self.down = nn.Conv2d(given, wide, 4, stride=2, padding=1, bias=False)
        self.norm = None if below is None else Statistics(wide)  # A single pixel cannot be normalised.
        self.below = below
        inside = wide if below is None else 2 * wide
        self.up = nn.ConvTranspose2d(inside, given, 4, stride=2, padding=1, bias=False)
        self.after = Statistics(given)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.down(F.leaky_relu(x, 0.2))
        if self.below is not None and self.norm is not None:
            inner = self.below(self.norm(inner))
        return torch.cat([x, self.dropout(self.after(self.up(F.relu(inner))))], 1)


class UnetGenerator(Generator):
    """Halvings down to a pixel and back, each level laid beside its counterpart. Labels are not its concern.

    With the defaults it has 54,413,955 parameters at 256 pixels. Its noise is dropout in three inner levels, while it
    trains; a trained translator is given none, so that a picture has one translation.
    """

    name = "unet-generator"
    conditional = False
    stochastic = True

    class Config(Settings):
        channels: int = Field(64, ge=1, le=512, description="channels of the first convolution, doubled up to 8 times")
        depth: int | None = Field(
            None, ge=3, le=10, description=f"halvings; down to a pixel if left out, but {DEEPEST} at most"
        )
        dropout: float = Field(0.5, ge=0, lt=1, description="share of the inner levels' values that are dropped")
        output: Output = Field("picture", description=OUTPUTS)

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        depth = config.depth or min(DEEPEST, image_size.bit_length() - 1)
        if image_size % 2**depth:
            raise ValueError(f"depth {depth} needs an image_size that is a multiple of {2**depth}")
        self.multiple = 2**depth
        widths = [config.channels * min(2**level, MOST) for level in range(depth)]
        level: _Level | None = None
        for number in reversed(range(1, depth)):
            # The paper drops in the three levels above the innermost one, as far as they are of full width.
            drops = depth - 4 <= number < depth - 1 and widths[number - 1] == widths[-1]
            level = _Level(widths[number - 1], widths[number], level, config.dropout if drops else 0.0)
        self.down = nn.Conv2d(3, widths[0], 4, stride=2, padding=1, bias=False)
        self.levels = level
        self.up = nn.ConvTranspose2d(2 * widths[0], CHANNELS[config.output], 4, stride=2, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, SPREAD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        assert self.levels is not None, "there are three levels at least"
        return painted(self.config.output, image, self.up(F.relu(self.levels(self.down(image)))))
