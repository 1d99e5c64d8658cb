"""Helpers for tests of one-to-one methods: components by their settings, and a translation of given images."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from mdtranslate import Attribute, Choice, DiscriminatorOutput, LabelEncoder, Loss, Translation
from mdtranslate.api.translation import Batch

SIDES = {"images": (Attribute("side", ("a", "b")),)}


def label_encoder(attributes: Any = SIDES) -> LabelEncoder:
    return TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)


def component(kind: Any, settings: Any, size: int = 32, attributes: Any = SIDES) -> Any:
    choice = TypeAdapter(Choice[kind]).validate_python(settings)
    return choice.build(label_encoder=label_encoder(attributes), image_size=size)


def loss(settings: Any, size: int = 4, attributes: Any = SIDES) -> Loss:
    return component(Loss, settings, size, attributes)


def translation(
    real: Tensor, fake: Tensor, *, truth: Tensor | None = None, random: Tensor | None = None
) -> Translation:
    """Returns a translation of images from `a` to `b`, whose scores are means of images and of their source images.

    `random` replaces the numbers of all random streams, (B,).
    """
    encoder, count = label_encoder(), len(real)
    labels = [encoder.encode({"side": side}, 0).repeat(count, 1) for side in ("a", "b")]

    batch = Batch(real, *labels, torch.arange(count), truth)
    t = Translation(batch, _ConstantGenerator(fake), _MeanDiscriminator(), encoder)  # type: ignore[arg-type]
    if random is not None:
        t.random = lambda name, shape=(): random.reshape(count, *shape)  # type: ignore[method-assign]
    return t


class _MeanDiscriminator:
    """Scores an image by its mean, plus the mean of its source image."""

    is_batch_independent = False

    def __call__(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        extra = 0 if source_image is None else source_image.mean((1, 2, 3), keepdim=True)
        return DiscriminatorOutput(image.mean((1, 2, 3), keepdim=True) + extra, None)


class _ConstantGenerator:
    """Returns `fake` for every input."""

    def __init__(self, fake: Tensor) -> None:
        self.fake = fake

    def __call__(self, image: Tensor, source: Tensor, target: Tensor, style_code: Any = None) -> Tensor:
        return self.fake

    def style_code(self, target: Tensor, noise: Tensor) -> None:
        return None
