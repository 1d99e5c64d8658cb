"""What tests of one-to-one methods share: components by their settings, and steps of them."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from mdtranslate import Attribute, Choice, LabelEncoder, Loss, Translation, Verdict
from mdtranslate.api.translation import Batch

SIDES = {"pictures": (Attribute("side", ("a", "b")),)}


def encoder(attributes: Any = SIDES) -> LabelEncoder:
    return TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)


def component(kind: Any, table: Any, size: int = 32, attributes: Any = SIDES) -> Any:
    return TypeAdapter(Choice[kind]).validate_python(table).build(encoder=encoder(attributes), image_size=size)


def loss(table: Any, size: int = 4, attributes: Any = SIDES) -> Loss:
    return component(Loss, table, size, attributes)


def translation(
    real: Tensor, fake: Tensor, *, truth: Tensor | None = None, random: Tensor | None = None
) -> Translation:
    """A step in which pictures of `a` become `b`; a picture's score is its mean, plus that of what it was made from.

    `random`: what every random stream gives, [B].
    """
    own, count = encoder(), len(real)
    labels = [own.encode({"side": side}, 0).repeat(count, 1) for side in ("a", "b")]

    batch = Batch(real, *labels, torch.arange(count), truth)
    t = Translation(batch, _Makes(fake), _Judges(), own)  # type: ignore[arg-type]
    if random is not None:
        t.random = lambda name, shape=(): random.reshape(count, *shape)  # type: ignore[method-assign]
    return t


class _Judges:
    """A discriminator that scores a picture by its mean, plus that of what it was made from."""

    alone = False

    def __call__(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        extra = 0 if made_from is None else made_from.mean((1, 2, 3), keepdim=True)
        return Verdict(image.mean((1, 2, 3), keepdim=True) + extra, None)


class _Makes:
    """A generator that makes `fake` of everything."""

    def __init__(self, fake: Tensor) -> None:
        self.fake = fake

    def __call__(self, image: Tensor, source: Tensor, target: Tensor, code: Any = None) -> Tensor:
        return self.fake

    def code(self, target: Tensor, noise: Tensor) -> None:
        return None
