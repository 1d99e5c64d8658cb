"""StarGAN's networks (Choi et al. 2018, section 4.2 and appendix, tables 4 and 5)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Discriminator, Generator, LabelEncoder, Settings, Verdict
from mdtranslate.api.networks import CHANNELS, OUTPUTS, Output, painted


class InstanceNorm(nn.Module):
    """Instance normalisation with the statistics of the picture at hand, in training and after it.

    The published generator keeps running statistics but is never switched to them; with them its pictures are wrong.
    Group normalisation with a channel a group is the same function and runs faster on processors.

    With `condition` channels, a condition scales and shifts each channel (Dumoulin et al. 2017, equation 5).
    """

    def __init__(self, channels: int, condition: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.modulate = nn.Linear(condition, 2 * channels, bias=False) if condition else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        if self.modulate is None:
            return F.group_norm(x, x.shape[1], self.weight, self.bias)
        scale, shift = self.modulate(condition).chunk(2, 1)
        weight: Tensor = self.weight + scale
        bias: Tensor = self.bias + shift
        if (
            torch.compiler.is_exporting()
        ):  # A graph for any number of pictures has no number of groups that depends on it.
            return F.group_norm(x, x.shape[1]) * weight[:, :, None, None] + bias[:, :, None, None]
        # A batch of B pictures is one picture with B times the channels: so each is scaled and shifted in the same op.
        weight, bias = weight.flatten(), bias.flatten()
        return F.group_norm(x.reshape(1, -1, *x.shape[2:]), len(weight), weight, bias).view_as(x)


class Conditioned(nn.Sequential):
    """Layers in a row, of which normalisations and residual blocks are also given the condition."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, condition) if isinstance(layer, InstanceNorm | Residual) else layer(x)
        return x


class Residual(nn.Module):
    """Two 3 × 3 convolutions around which the input is carried."""

    def __init__(self, channels: int, condition: int = 0) -> None:
        super().__init__()
        self.main = Conditioned(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm(channels, condition),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm(channels, condition),
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        residual: Tensor = self.main(x, condition)
        return x + residual


class StarGANGenerator(Generator):
    """Down twice, residual blocks, up twice; the target's condition enters as constant planes beside the picture.

    With the defaults at 5 channels of condition it has the paper's 8,430,528 parameters.
    """

    name = "stargan-generator"
    multiple = 4

    class Config(Settings):
        channels: int = Field(
            64, ge=4, le=512, description="channels of the first convolution; doubled at each halving"
        )
        blocks: int = Field(6, ge=0, le=32, description="residual blocks in the middle")
        kernel: Literal[3, 5, 7] = Field(7, description="side of the first and the last convolution, in pixels")
        label: Literal["target", "difference"] = Field(
            "target",
            description="what it is told: the target's label (StarGAN), or target minus source, which is zero where "
            "nothing is to change (STGAN, Liu et al. 2019, section 3.2)",
        )
        condition: Literal["planes", "norms"] = Field(
            "planes",
            description="how the target enters: as constant planes beside the picture (StarGAN), or by scaling and "
            "shifting every normalisation, which small networks learn from in fewer steps",
        )
        output: Output = Field("picture", description=OUTPUTS)

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        wide, planes = config.channels, config.condition == "planes"
        size = 0 if planes else encoder.size

        def activated(channels: int) -> list[nn.Module]:
            return [InstanceNorm(channels, size), nn.ReLU(inplace=True)]

        # Zero padding, not reflection: instance normalisation takes a constant away, so the border is the only
        # place where it lets the planes through.
        first = 3 + encoder.size if planes else 3
        layers: list[nn.Module] = [_same(first, wide, config.kernel), *activated(wide)]
        for _ in range(2):
            layers += [nn.Conv2d(wide, wide * 2, 4, stride=2, padding=1, bias=False), *activated(wide * 2)]
            wide *= 2
        layers += [Residual(wide, size) for _ in range(config.blocks)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(wide, wide // 2, 4, stride=2, padding=1, bias=False), *activated(wide // 2)]
            wide //= 2
        layers.append(_same(wide, CHANNELS[config.output], config.kernel))
        self.main = Conditioned(*layers)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        condition = self.encoder.condition(target)
        if self.config.label == "difference":
            condition = condition - self.encoder.condition(source)
        given = image
        if self.config.condition == "planes":
            planes = condition[:, :, None, None].expand(-1, -1, *image.shape[2:])
            given = torch.cat([image, planes], 1)
        return painted(self.config.output, image, self.main(given, condition))


def _same(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size of the picture."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


class StarGANDiscriminator(Discriminator):
    """Halvings down to a few pixels, then a map of scores (PatchGAN) and the domain's logits.

    With the defaults at 128 pixels and 5 classes it has the paper's 44,762,048 parameters.
    """

    name = "stargan-discriminator"
    alone = True

    class Config(Settings):
        channels: int = Field(
            64, ge=4, le=512, description="channels of the first convolution, doubled at each halving"
        )
        layers: int = Field(6, ge=1, le=9, description="convolutions, each of which halves the picture")
        projection: bool = Field(
            False,
            description="judge a picture as one of its domain, by the label's product with the features (Miyato and "
            "Koyama 2018, equation 3), not as a picture alone",
        )

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
        self.embed = nn.Linear(encoder.size, wide, bias=False) if config.projection else None

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        features = image
        for convolution, activation in self._halvings():
            features = activation(halved(features, convolution))
        score = self.conv1(features)
        if self.embed is not None:
            fit = (self.embed(self.encoder.condition(label)) * features.mean((2, 3))).sum(1)
            score = score + fit[:, None, None, None]
        return Verdict(score, self.conv2(features).flatten(1))

    def slope(self, image: Tensor, label: Tensor, made_from: Tensor | None = None, *, total: bool = False) -> Tensor:
        """As `Discriminator.slope`, without autograd's double backward.

        All that is not linear are leaky ReLUs, whose second derivative is zero. So the gradient is a chain of
        transposed convolutions, with the slopes that the ReLUs had on the way forward; autograd goes back through it
        once.
        """
        slopes, features = [], image.detach()
        with torch.no_grad():
            for convolution, activation in self._halvings():
                features = halved(features, convolution)
                one, less = features.new_tensor([1.0, activation.negative_slope])
                slopes.append(torch.where(features > 0, one, less))
                features = activation(features)
        patches = features[0, 0].numel()
        weight = torch.ones_like(features[:, :1]) / (1 if total else patches)
        back = F.conv_transpose2d(weight, self.conv1.weight, padding=1)
        if self.embed is not None:
            fit = self.embed(self.encoder.condition(label)) / (1 if total else patches)
            back = back + fit[:, :, None, None]
        for (convolution, _), slope in zip(reversed(self._halvings()), reversed(slopes), strict=True):
            back = doubled(back * slope, convolution)
        return back

    def _halvings(self) -> list[tuple[nn.Conv2d, nn.LeakyReLU]]:
        layers: list[Any] = list(self.main)
        return list(zip(layers[::2], layers[1::2], strict=True))


FEW = 16
"""Positions of a small map, of which convolutions are bound by reading their weights."""


def halved(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A 4 × 4 convolution that halves [B, C, H, W]. To a small map as a matrix product: faster on processors."""
    high, wide = x.shape[2] // 2, x.shape[3] // 2
    if x.device.type != "cpu" or high * wide > FEW:
        return F.conv2d(x, convolution.weight, convolution.bias, stride=2, padding=1)
    patches = F.unfold(x, 4, padding=1, stride=2).transpose(1, 2)
    made = F.linear(patches, convolution.weight.flatten(1), convolution.bias)
    return made.transpose(1, 2).reshape(len(x), -1, high, wide)


def doubled(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """What a gradient [B, C, H, W] behind `halved` is before it: [B, C', 2H, 2W]."""
    high, wide = x.shape[2:]
    if x.device.type != "cpu" or high * wide > FEW:
        return F.conv_transpose2d(x, convolution.weight, stride=2, padding=1)
    patches = F.linear(x.flatten(2).transpose(1, 2), convolution.weight.flatten(1).T)
    return F.fold(patches.transpose(1, 2), (2 * high, 2 * wide), 4, padding=1, stride=2)
