"""A discriminator that scores every attribute of an image separately."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Discriminator, DiscriminatorOutput, LabelEncoder, Settings
from mdtranslate_stargan.convolutions import conv4x4_stride2, final_map_size

LEAKY_RELU_NEGATIVE = 0.2
"""Factor of negative values in leaky ReLUs."""


class MultiTaskDiscriminator(Discriminator):
    """Strided convolutions, and one score for each channel of the condition.

    Each channel, such as `hair=Blond_Hair`, has two linear outputs: how real the image is as one where it holds, and as
    one where it does not. The label selects one of them, so the score is of shape `(B, C)`. An edit must therefore look
    real as an image of its new value, whatever the other attributes are. For a single attribute this is the multi-task
    discriminator of Mescheder et al. 2018, Liu et al. 2019 (FUNIT, section 3.2) and StarGAN v2 (Choi et al. 2020,
    section 2.1).

    Domain logits `(B, K)` come from a further linear layer.
    """

    name = "multi-task-discriminator"
    is_batch_independent = True

    class Config(Settings):
        """Width and depth."""

        channels: int = Field(
            32, ge=4, le=512, description="channels of the first convolution, doubled by each further one"
        )
        max_channels: int = Field(512, ge=4, le=4096, description="upper limit of channels")
        layers: int = Field(4, ge=1, le=9, description="strided convolutions; each halves the resolution")

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the layers; see `Discriminator` for the arguments.

        Raises:
            ValueError: The image size is not a multiple of 2^layers.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        widths = [3, *(min(config.channels * 2**level, config.max_channels) for level in range(config.layers))]
        self.strided = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1) for inputs, outputs in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], widths[-1], final_map_size(image_size, config.layers))
        self.holds = nn.Linear(widths[-1], label_encoder.condition_size)
        self.lacks = nn.Linear(widths[-1], label_encoder.condition_size)
        self.classify = nn.Linear(widths[-1], label_encoder.num_logits)

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Scores and classifies images; see `Discriminator.forward`."""
        features = image
        for layer in self.strided:
            assert isinstance(layer, nn.Conv2d)
            features = F.leaky_relu(conv4x4_stride2(features, layer), LEAKY_RELU_NEGATIVE)
        features = F.leaky_relu(self.last(features).flatten(1), LEAKY_RELU_NEGATIVE)
        condition = self.label_encoder.condition(label)
        score = torch.where(condition > 0, self.holds(features), self.lacks(features))
        return DiscriminatorOutput(score, self.classify(features))
