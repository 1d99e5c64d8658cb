"""A generator that learns an edit in fewer steps than StarGAN's, for small budgets and small networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Generator, LabelEncoder, Settings
from mdtranslate.api.networks import CHANNELS, OUTPUTS, Output, painted
from mdtranslate_stargan.networks import InstanceNorm, Residual

NEGATIVE_SLOPE = 0.2
INITIAL_MASK = -1.0
"""The mask's first bias, before the sigmoid: an untrained generator replaces 27 % of each pixel."""


class ConditionalUNet(Generator):
    """A U-Net with residual blocks at its lowest resolution and instance norms that are conditioned on the label.

    Nothing is convolved at full resolution: the first convolution halves the image, and the last one doubles its input.
    It differs from `stargan-generator` in four ways more:

    - Feature maps are enlarged by repeating pixels and then convolved (Odena et al. 2016, "Deconvolution and
      Checkerboard Artifacts"). Transposed convolutions leave a grid of dots until late in training.
    - Features on the way down are added to those of the same size on the way up, so that edges need not pass through
      the lowest resolution (Ronneberger et al. 2015, figure 1, where they are concatenated).
    - The label scales and shifts each normalised channel (Dumoulin et al. 2017, equation 5). By default it is the
      target minus the source label, which is zero where nothing changes (STGAN, Liu et al. 2019, section 3.2).
    - A mask blends the output with the input (GANimation, Pumarola et al. 2018, equation 1). The last convolution
      starts at zero, so that an untrained generator returns the input, a little greyer.

    With `label="none"` it ignores labels. That is for the members of a bank such as `per-pair`, each of which makes
    one kind of edit.
    """

    name = "conditional-unet"

    class Config(Settings):
        channels: int = Field(
            32, ge=1, le=512, description="channels after the first halving; doubled at each of the others"
        )
        depth: int = Field(2, ge=1, le=6, description="how many times the resolution is halved")
        blocks: int = Field(2, ge=0, le=32, description="residual blocks at the lowest resolution")
        label: Literal["target", "difference", "none"] = Field(
            "difference",
            description="what the norms are conditioned on: the target label, target minus source label, or nothing "
            "(for members of a bank)",
        )
        output: Output = Field("blend", description=OUTPUTS)

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.multiple = 2**config.depth
        if image_size % self.multiple or image_size < 2 * self.multiple:  # One pixel cannot be normalised.
            raise ValueError(
                f"depth={config.depth} needs an image_size that is a multiple of {self.multiple}, at least "
                f"{2 * self.multiple}"
            )
        self.conditional = config.label != "none"
        condition = encoder.size if self.conditional else 0
        widths = [config.channels * 2**level for level in range(config.depth)]
        self.first = nn.Conv2d(3, widths[0], 4, stride=2, padding=1)
        self.down = nn.ModuleList(
            _Layer(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False), condition)
            for inputs, outputs in pairwise(widths)
        )
        self.middle = nn.ModuleList(Residual(widths[-1], condition) for _ in range(config.blocks))
        self.up = nn.ModuleList(
            _Layer(UpsamplingConv2d(inputs, outputs), condition) for inputs, outputs in pairwise(reversed(widths))
        )
        self.last = UpsamplingConv2d(widths[0], CHANNELS[config.output], bias=True)
        if config.output != "picture":  # Which has to come out of this layer, where the others start at the input.
            self._start_at_the_input()

    def _start_at_the_input(self) -> None:
        """The last convolution gives 0 for every input at first; the mask, `INITIAL_MASK`."""
        assert self.last.bias is not None
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        nn.init.constant_(self.last.bias[3:], INITIAL_MASK)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        condition = self.encoder.condition(target)
        if self.config.label == "difference":
            condition = condition - self.encoder.condition(source)
        x = F.leaky_relu(self.first(image), NEGATIVE_SLOPE)
        skips = []
        for layer in self.down:
            skips.append(x)
            x = layer(x, condition)
        for layer in self.middle:
            x = layer(x, condition)
        for layer in self.up:
            x = layer(x, condition) + skips.pop()
        return painted(self.config.output, image, self.last(x))


class _Layer(nn.Module):
    """A convolution that changes the resolution, then normalisation and activation."""

    def __init__(self, convolution: nn.Conv2d, condition: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = InstanceNorm(convolution.out_channels, condition)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x), condition), NEGATIVE_SLOPE)


class UpsamplingConv2d(nn.Conv2d):
    """Repeats each pixel twice in both directions, then convolves by 3 x 3: [B, C, H, W] to [B, C', 2H, 2W].

    Computed on the small map, by a kernel of 2 x 2 for each of the four pixels that a pixel becomes: the same result
    with fewer than half of the multiplications.
    """

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        # For even and odd pixels, which of the 3 taps on the large map meet which of 2 pixels of the small map.
        even, odd = [[1.0, 0, 0], [0, 1, 1]], [[1.0, 1, 0], [0, 0, 1]]
        self.register_buffer("taps", torch.tensor([even, odd]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        kernels = torch.einsum("pyh,qxw,oihw->pqoiyx", self.taps, self.taps, self.weight).flatten(0, 2)
        bias = None if self.bias is None else self.bias.repeat(4)
        maps = F.conv2d(x, kernels, bias, padding=1).view(count, 2, 2, -1, height + 1, width + 1)
        rows = [torch.stack([maps[:, p, q, :, p : p + height, q : q + width] for q in (0, 1)], dim=-1) for p in (0, 1)]
        return torch.stack(rows, dim=3).reshape(count, -1, 2 * height, 2 * width)
