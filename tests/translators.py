"""Tiny translators, and images for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from tiny import tiny_model

from mdtranslate import Crop, Discriminator, DiscriminatorOutput, Generator, Translator
from mdtranslate.config.model_bundle import Model
from mdtranslate.data.batches import normalise

SOURCE = {"hair": "Black_Hair", "Eyeglasses": False, "Male": True}


def random_image(height=16, width=16, seed=0):
    """An image, uint8 `(H, W, 3)`."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def real(count=2, height=16, width=16):
    """Images `(count, 3, H, W)` in [-1, 1]."""
    return normalise(torch.from_numpy(np.stack([random_image(height, width, seed) for seed in range(count)])))


def labels(translator, *rows, dataset=0):
    """Labels `(B, L)` of attribute values."""
    return torch.stack([translator.label_encoder.encode(row, dataset) for row in rows])


class RecordingGenerator(Generator):
    """Returns twice its input, after dropout in training mode, and records its inputs."""

    name = "recording"

    def __init__(self, size_multiple=4):
        super().__init__(SimpleNamespace(), label_encoder=tiny_model().label_encoder, image_size=16)
        self.size_multiple = size_multiple
        self.dropout = torch.nn.Dropout(0.5)
        self.inputs = []

    def forward(self, image, source, target, style_code=None):
        self.inputs.append(image.clone())
        return self.dropout(image) * 2


class ScoreOnlyDiscriminator(Discriminator):
    """Does not classify."""

    name = "score-only"

    def forward(self, image, label, source_image=None):
        return DiscriminatorOutput(image.mean((1, 2, 3)), None)


def translator_with(**networks):
    """A tiny translator with other networks, by role."""
    model = tiny_model()
    networks = {"generator": model.generator, "discriminator": model.discriminator, **networks}
    return Translator(Model(model.label_encoder, **networks), image_size=16, crops={"celeba": Crop()})
