"""What components are checked with: attributes, labels, pictures, and the smallest networks that do their work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mdtranslate.api import Attribute, Discriminator, Generator, LabelEncoder, Value, Verdict
from mdtranslate.api.translation import Batch, Translation
from mdtranslate.config.registry import registry
from mdtranslate.utils.device import isolated

HAIR = Attribute("hair", ("Black_Hair", "Blond_Hair"), optional=True)
GLASSES = Attribute("Eyeglasses")
MOOD = Attribute("expression", ("angry", "happy", "sad"))
YOUNG = Attribute("Young")

Attributes = Mapping[str, Sequence[Attribute]]
ONE: Attributes = {"faces": (HAIR, GLASSES)}
TWO: Attributes = {"faces": (HAIR, GLASSES, YOUNG), "moods": (MOOD, YOUNG)}


def encoder(attributes: Attributes = ONE) -> LabelEncoder:
    """The encoder that networks and losses are checked with: the paper's."""
    component: Any = registry().component("encoder", "mask-vector")
    made: LabelEncoder = component(component.Config(), attributes=attributes)
    return made


def known(own: Sequence[Attribute], *, whole: bool = False) -> list[dict[str, Value]]:
    """Everything that can be known of a picture; `whole`: only where nothing is unknown."""
    # Each value in a list of its own; an empty one stands for what is unknown.
    choices = [[*([value] for value in each.allowed), *([] if whole else [[]])] for each in own]
    return [
        {each.name: value for each, some in zip(own, chosen, strict=True) for value in some}
        for chosen in product(*choices)
    ]


def labels(encoder: LabelEncoder, *, whole: bool = False) -> Tensor:
    """The label of each of those, of every dataset: [N, L]."""
    rows = [
        encoder.encode(each, number)
        for number, own in enumerate(encoder.attributes)
        for each in known(own, whole=whole)
    ]
    return torch.stack(rows)


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    """Pictures [count, 3, size, size] in [-1, 1], smooth as pictures are; the same each time."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 1.8 - 0.9
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)


def domains(encoder: LabelEncoder, count: int, shift: int = 0) -> Tensor:
    """Labels of pictures of the first dataset, of which everything is known: [count, L]."""
    every = encoder.domains
    every = every[encoder.dataset(every) == 0]
    return every[(torch.arange(count) + shift) % len(every)]


def batch(encoder: LabelEncoder, count: int, size: int, *, truth: bool = False, seed: int = 0) -> Batch:
    """One batch as training has it."""
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        real=pictures(count, size, seed),
        source=domains(encoder, count),
        target=domains(encoder, count, shift=1),
        seeds=torch.randint(2**62, (count,), generator=generator),
        truth=pictures(count, size, seed + 1) if truth else None,
    )


class Painter(Generator):
    """Adds to a picture what a small network makes of it and the target's condition."""

    name = "check-painter"

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.shift = nn.Linear(encoder.size, 8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        hidden = self.first(image) + self.shift(self.encoder.condition(target))[:, :, None, None]
        painted: Tensor = self.last(hidden.tanh()).tanh()
        return painted


class Critic(Discriminator):
    """A map of scores, and logits, by two convolutions."""

    name = "check-critic"
    alone = True

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.first = nn.Conv2d(3, 8, 4, stride=4)
        self.score = nn.Conv2d(8, 1, 1)
        self.logits = nn.Linear(8, encoder.classes)

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        hidden = self.first(image).tanh()
        return Verdict(self.score(hidden)[:, 0], self.logits(hidden.mean((2, 3))))


class Stage:
    """Small networks, and translations of batches by them."""

    def __init__(self, encoder: LabelEncoder, size: int = 16) -> None:
        self.encoder, self.size = encoder, size
        with isolated(0):
            self.generator = Painter(Painter.Config(), encoder=encoder, image_size=size)
            self.discriminator = Critic(Critic.Config(), encoder=encoder, image_size=size)

    def translation(self, batch: Batch, learns: Literal["discriminator", "generator"]) -> Translation:
        return Translation(batch, self.generator, self.discriminator, self.encoder, learns=learns)
