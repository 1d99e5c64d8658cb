"""StarGAN's networks (Choi et al. 2018, section 4.2 and appendix, tables 4 and 5)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

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
from mdtranslate_stargan.convolutions import conv4x4_stride2, conv4x4_stride2_transposed, final_map_size


class InstanceNorm(nn.Module):
    """Affine instance normalisation that always uses instance statistics, optionally conditional.

    The published generator tracks running statistics but never uses them; with them its output would be wrong. With a
    condition, its projection is added to the scale and shift of each channel (Dumoulin et al. 2017, equation 5).

    It is computed by group normalisation with one channel per group: the same function, and faster on CPUs.
    """

    def __init__(self, channels: int, condition_size: int = 0) -> None:
        """Initialises scale 1 and shift 0.

        Args:
            channels: Channels C of the input.
            condition_size: Channels K of the condition; 0 for unconditional normalisation.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.modulate = nn.Linear(condition_size, 2 * channels, bias=False) if condition_size else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalises `x`.

        Args:
            x: Features of shape `(B, C, H, W)`.
            condition: Conditions of shape `(B, K)`; ignored if the normalisation is unconditional.

        Returns:
            Features of the same shape.
        """
        if self.modulate is None:
            return F.group_norm(x, x.shape[1], self.weight, self.bias)
        scale, shift = self.modulate(condition).chunk(2, 1)
        weight: Tensor = self.weight + scale
        bias: Tensor = self.bias + shift
        if torch.compiler.is_exporting():  # The number of groups must not depend on the batch size.
            return F.group_norm(x, x.shape[1]) * weight[:, :, None, None] + bias[:, :, None, None]
        # The batch as one sample of B * C channels, so that one operation also applies each sample's scale and shift.
        weight, bias = weight.flatten(), bias.flatten()
        return F.group_norm(x.reshape(1, -1, *x.shape[2:]), len(weight), weight, bias).view_as(x)


class ConditionalSequential(nn.Sequential):
    """A sequence of layers that passes the condition to normalisations and residual blocks."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """Applies the layers to features `(B, C, H, W)` and conditions `(B, K)`."""
        for layer in self:
            x = layer(x, condition) if isinstance(layer, InstanceNorm | ResidualBlock) else layer(x)
        return x


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with instance normalisation and a skip connection (table 4, bottleneck)."""

    def __init__(self, channels: int, condition_size: int = 0) -> None:
        """Initialises the layers.

        Args:
            channels: Channels of input and output.
            condition_size: Channels of the condition; 0 for unconditional normalisation.
        """
        super().__init__()
        self.main = ConditionalSequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm(channels, condition_size),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            InstanceNorm(channels, condition_size),
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Adds the residual to features `(B, C, H, W)`."""
        residual: Tensor = self.main(x, condition)
        return x + residual


class StarGANGenerator(Generator):
    """StarGAN's generator (Choi et al. 2018, table 4).

    Two strided convolutions, residual blocks, and two transposed convolutions, with instance normalisation. The target
    condition is concatenated to the image as constant channels. Height and width must be multiples of 4.

    With default settings and 5 condition channels it has the paper's 8,430,528 parameters.
    """

    name = "stargan-generator"
    size_multiple = 4

    class Config(Settings):
        """Width, depth and conditioning; the defaults are the paper's."""

        channels: int = Field(
            64, ge=4, le=512, description="channels of the first convolution, doubled by each strided convolution"
        )
        blocks: int = Field(6, ge=0, le=32, description="residual blocks at the lowest resolution")
        kernel_size: Literal[3, 5, 7] = Field(7, description="kernel size of the first and the last convolution")
        label: Literal["target", "difference"] = Field(
            "target",
            description="condition of the generator: the target label (StarGAN), or target minus source label, which "
            "is zero for attributes that stay (STGAN, Liu et al. 2019, section 3.2)",
        )
        conditioning: Literal["concat", "norm"] = Field(
            "concat",
            description="how the condition enters: concat, as constant channels beside the image (StarGAN); or norm, "
            "as scale and shift of each normalisation, which small networks learn in fewer steps",
        )
        output: OutputMode = Field("image", description=OUTPUT_DESCRIPTION)

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Generator` for the arguments."""
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        concatenate = config.conditioning == "concat"
        norm_condition_size = 0 if concatenate else label_encoder.condition_size

        def norm_and_activation(channels: int) -> list[nn.Module]:
            return [InstanceNorm(channels, norm_condition_size), nn.ReLU(inplace=True)]

        # Zero padding, not reflection: instance normalisation removes constants, so spatially constant condition
        # channels only have an effect at the border.
        channels = config.channels
        input_channels = 3 + label_encoder.condition_size if concatenate else 3
        layers: list[nn.Module] = [
            _same_conv(input_channels, channels, config.kernel_size),
            *norm_and_activation(channels),
        ]
        for _ in range(2):
            layers += [
                nn.Conv2d(channels, channels * 2, 4, stride=2, padding=1, bias=False),
                *norm_and_activation(channels * 2),
            ]
            channels *= 2
        layers += [ResidualBlock(channels, norm_condition_size) for _ in range(config.blocks)]
        for _ in range(2):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False),
                *norm_and_activation(channels // 2),
            ]
            channels //= 2
        layers.append(_same_conv(channels, OUTPUT_CHANNELS[config.output], config.kernel_size))
        self.main = ConditionalSequential(*layers)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Translates images; see `Generator.forward`."""
        condition = self.label_encoder.condition(target)
        if self.config.label == "difference":
            condition = condition - self.label_encoder.condition(source)
        x = image
        if self.config.conditioning == "concat":
            x = torch.cat([image, condition[:, :, None, None].expand(-1, -1, *image.shape[2:])], 1)
            if image.is_contiguous(memory_format=torch.channels_last):  # Otherwise lost by the expanded condition.
                x = x.contiguous(memory_format=torch.channels_last)
        return compose_output(self.config.output, image, self.main(x, condition))


def _same_conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Returns a convolution that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)


class StarGANDiscriminator(Discriminator):
    """StarGAN's discriminator (Choi et al. 2018, table 5).

    Strided convolutions, then one convolution for the score map `(B, 1, h, w)` (PatchGAN) and one for the domain logits
    `(B, K)`, with h = w = image size / 2^layers. Without `projection` it ignores labels.

    With default settings at 128 × 128 pixels and 5 logits it has the paper's 44,762,048 parameters.
    """

    name = "stargan-discriminator"
    is_batch_independent = True

    class Config(Settings):
        """Width and depth; the defaults are the paper's."""

        channels: int = Field(
            64, ge=4, le=512, description="channels of the first convolution, doubled by each further one"
        )
        layers: int = Field(6, ge=1, le=9, description="strided convolutions; each halves the resolution")
        projection: bool = Field(
            False,
            description="add the inner product of the embedded label and the pooled features to the score: a "
            "conditional discriminator (Miyato and Koyama 2018, equation 3)",
        )

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Discriminator` for the arguments.

        Raises:
            ValueError: The image size is not a multiple of 2^layers.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        final_size = final_map_size(image_size, config.layers)
        channels = config.channels
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
        for _ in range(config.layers - 1):
            layers += [nn.Conv2d(channels, channels * 2, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            channels *= 2
        self.main = nn.Sequential(*layers)
        # The names of the released code, whose checkpoints the importer reads.
        self.conv1 = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, label_encoder.num_logits, final_size, bias=False)
        self.embed = nn.Linear(label_encoder.condition_size, channels, bias=False) if config.projection else None

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Scores and classifies images; see `Discriminator.forward`."""
        features = image
        for convolution, activation in self._strided_layers():
            features = activation(conv4x4_stride2(features, convolution))
        score = self.conv1(features)
        if self.embed is not None:
            projection = (self.embed(self.label_encoder.condition(label)) * features.mean((2, 3))).sum(1)
            score = score + projection[:, None, None, None]
        return DiscriminatorOutput(score, self.conv2(features).flatten(1))

    def input_gradient(
        self,
        image: Tensor,
        label: Tensor,
        source_image: Tensor | None = None,
        *,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Computes the same as `Discriminator.input_gradient`, without double backward.

        The only non-linear layers are leaky ReLUs, whose second derivative is zero. The input gradient is therefore a
        chain of transposed convolutions and of multiplications with the derivatives of the ReLUs, which are constants.
        """
        derivatives, features = [], image.detach()
        with torch.no_grad():
            for convolution, activation in self._strided_layers():
                features = conv4x4_stride2(features, convolution)
                positive, negative = features.new_tensor([1.0, activation.negative_slope])
                derivatives.append(torch.where(features > 0, positive, negative))
                features = activation(features)
        patches = features[0, 0].numel()
        score_gradient = torch.ones_like(features[:, :1]) / (1 if reduction == "sum" else patches)
        gradient = F.conv_transpose2d(score_gradient, self.conv1.weight, padding=1)
        if self.embed is not None:
            embedding = self.embed(self.label_encoder.condition(label)) / (1 if reduction == "sum" else patches)
            gradient = gradient + embedding[:, :, None, None]
        for (convolution, _), derivative in zip(reversed(self._strided_layers()), reversed(derivatives), strict=True):
            gradient = conv4x4_stride2_transposed(gradient * derivative, convolution)
        return gradient

    def _strided_layers(self) -> list[tuple[nn.Conv2d, nn.LeakyReLU]]:
        """Returns the strided convolutions, each with its activation."""
        layers: list[Any] = list(self.main)
        return list(zip(layers[::2], layers[1::2], strict=True))
