"""The networks of AttGAN (He et al. 2019, section IV-A and table I)."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mdtranslate import Discriminator, DiscriminatorOutput, Generator, Settings

MAX_WIDTH_FACTOR = 16
"""Channels of the deepest layers as a multiple of those of the first layer."""


def downsampling_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Builds a convolution that halves height and width, with instance normalisation and LeakyReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1),
        nn.InstanceNorm2d(out_channels, affine=True),
        nn.LeakyReLU(0.2),
    )


def layer_widths(channels: int, layers: int) -> list[int]:
    """Returns the channels of the input image and of each downsampling layer."""
    return [3, *(channels * min(2**level, MAX_WIDTH_FACTOR) for level in range(layers))]


def check_image_size(image_size: int, layers: int) -> None:
    """Raises `ValueError` if an image cannot be halved that often, or is then a single pixel, without variance."""
    if image_size % 2**layers or image_size < 2 ** (layers + 1):
        raise ValueError(f"layers={layers}: image_size must be a multiple of {2**layers}, and at least {2**layers * 2}")


class AttGANGenerator(Generator):
    """An encoder-decoder whose latent, and early decoder layers, are concatenated with the label.

    With the defaults, at 128 pixels, it has the layers of the released code: an encoder of 64, 128, 256, 512 and 1,024
    channels and a decoder of 1,024, 512, 256, 128 and 3 (table I), with one skip connection, and the label at two
    depths (`injections=0` uses it in the latent alone, as in the first release). Only the normalisation differs:
    instance normalisation instead of batch normalisation.
    """

    name = "attgan-generator"

    class Config(Settings):
        channels: int = Field(64, ge=4, le=512, description="channels of the first layer, doubled up to 16 times")
        layers: int = Field(5, ge=2, le=8, description="number of downsampling layers")
        shortcuts: int = Field(1, ge=0, le=7, description="number of skip connections from encoder to decoder")
        injections: int = Field(1, ge=0, le=7, description="number of decoder layers after the first with the label")
        label: Literal["target", "difference"] = Field(
            "target", description="label input: the target label, or target minus source (STGAN, section 3.2)"
        )

    def __init__(self, config, *, label_encoder, image_size):
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        check_image_size(image_size, config.layers)
        if max(config.shortcuts, config.injections) >= config.layers:
            raise ValueError(f"shortcuts and injections must be less than layers={config.layers}")
        self.size_multiple = 2**config.layers
        widths = layer_widths(config.channels, config.layers)
        self.down = nn.ModuleList(downsampling_block(*pair) for pair in pairwise(widths))
        self.up = nn.ModuleList()
        in_channels = widths[-1]
        for level in range(config.layers):
            label_channels = label_encoder.condition_size if level <= config.injections else 0
            skip_channels = widths[-level - 1] if 0 < level <= config.shortcuts else 0
            is_last = level == config.layers - 1
            out_channels = 3 if is_last else widths[-level - 1]
            total_channels = in_channels + skip_channels + label_channels
            layer = [nn.ConvTranspose2d(total_channels, out_channels, 4, stride=2, padding=1)]
            layer += [nn.Tanh()] if is_last else [nn.InstanceNorm2d(out_channels, affine=True), nn.ReLU()]
            self.up.append(nn.Sequential(*layer))
            in_channels = out_channels

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        condition = self.label_encoder.condition(target)
        if self.config.label == "difference":  # 0 for attributes that do not change.
            condition = condition - self.label_encoder.condition(source)
        else:  # -0.5 and 0.5, as in the released code.
            condition = condition - 0.5
        hidden, encoder_outputs = image, []
        for layer in self.down:
            hidden = layer(hidden)
            encoder_outputs.append(hidden)
        for level, layer in enumerate(self.up):
            inputs = [hidden]
            if 0 < level <= self.config.shortcuts:
                inputs.append(encoder_outputs[-level - 1])
            if level <= self.config.injections:
                inputs.append(condition[:, :, None, None].expand(-1, -1, *hidden.shape[2:]).to(hidden.dtype))
            hidden = layer(torch.cat(inputs, 1))
        return hidden


class AttGANDiscriminator(Discriminator):
    """Downsampling layers, followed by two fully connected layers each for the score and for the logits.

    There is no normalisation between the fully connected layers, as in the released code.
    """

    name = "attgan-discriminator"
    is_batch_independent = True

    class Config(Settings):
        channels: int = Field(64, ge=4, le=512, description="channels of the first layer, doubled up to 16 times")
        layers: int = Field(5, ge=2, le=8, description="number of downsampling layers")
        hidden: int = Field(1024, ge=8, le=4096, description="width of the hidden fully connected layers")

    def __init__(self, config, *, label_encoder, image_size):
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        check_image_size(image_size, config.layers)
        widths = layer_widths(config.channels, config.layers)
        self.down = nn.Sequential(*(downsampling_block(*pair) for pair in pairwise(widths)))
        num_features = widths[-1] * (image_size // 2**config.layers) ** 2
        self.score, self.logits = (
            nn.Sequential(
                nn.Flatten(), nn.Linear(num_features, config.hidden), nn.LeakyReLU(0.2), nn.Linear(config.hidden, count)
            )
            for count in (1, label_encoder.num_logits)
        )

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        hidden = self.down(image)
        return DiscriminatorOutput(self.score(hidden)[:, 0], self.logits(hidden))
