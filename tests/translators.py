"""Tiny translators, and pictures for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from tiny import tiny_model

from mdtranslate import Crop, Discriminator, Generator, Translator, Verdict
from mdtranslate.config.model_bundle import Model
from mdtranslate.data.batches import normalise

SOURCE = {"hair": "Black_Hair", "Eyeglasses": False, "Male": True}


def picture(height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def real(count=2, height=16, width=16):
    return normalise(torch.from_numpy(np.stack([picture(height, width, seed) for seed in range(count)])))


def labels(translator, *rows, dataset=0):
    return torch.stack([translator.encoder.encode(row, dataset) for row in rows])


class Probe(Generator):
    """Gives back what it is shown, and remembers it."""

    name = "probe"

    def __init__(self, multiple=4):
        super().__init__(SimpleNamespace(), encoder=tiny_model().encoder, image_size=16)
        self.multiple = multiple
        self.dropout = torch.nn.Dropout(0.5)
        self.shown = []

    def forward(self, image, source, target, code=None):
        self.shown.append(image.clone())
        return self.dropout(image) * 2


class Mute(Discriminator):
    """Judges realness only."""

    name = "mute"

    def forward(self, image, label, made_from=None):
        return Verdict(image.mean((1, 2, 3)), None)


def with_parts(**parts):
    model = tiny_model()
    parts = {"generator": model.generator, "discriminator": model.discriminator, **parts}
    return Translator(Model(model.encoder, **parts), image_size=16, crops={"celeba": Crop()})
