"""StarGAN's parts, small, and everything that can be known of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from mdtranslate_stargan.mask_vector import MaskVector
from mdtranslate_stargan.networks import StarGANDiscriminator, StarGANGenerator

from mdtranslate import Attribute, Value
from mdtranslate.api.translation import Batch

HAIR = Attribute("hair", ("Black_Hair", "Blond_Hair", "Brown_Hair"), optional=True)
MOOD = Attribute("mood", ("happy", "sad"))
MALE, YOUNG = Attribute("Male"), Attribute("Young")
FIVE = {"celeba": [Attribute(name) for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")]}
ONE = {"faces": [HAIR, MALE, MOOD]}
TWO = {"faces": [HAIR, MALE], "moods": [MOOD, YOUNG]}


def encoder(attributes: Mapping[str, Sequence[Attribute]], exclusive: str = "softmax", **settings: Any) -> MaskVector:
    return MaskVector(MaskVector.Config(exclusive=exclusive, **settings), attributes=attributes)


def pictures(attributes: Mapping[str, Sequence[Attribute]]) -> list[tuple[dict[str, Value], int]]:
    """Everything that can be known of a picture, unknown included, for every dataset."""
    found = []
    for number, own in enumerate(attributes.values()):
        for values in product(*([*each.allowed, ...] for each in own)):
            known = {each.name: value for each, value in zip(own, values, strict=True) if value is not ...}
            found.append((known, number))
    return found


def small(
    attributes: Mapping[str, Sequence[Attribute]] = ONE, projection: bool = False, **settings: Any
) -> tuple[MaskVector, StarGANGenerator, StarGANDiscriminator]:
    mask = encoder(attributes)
    generator = StarGANGenerator(StarGANGenerator.Config(channels=4, blocks=1, **settings), encoder=mask, image_size=16)
    judging = StarGANDiscriminator.Config(channels=4, layers=2, projection=projection)
    discriminator = StarGANDiscriminator(judging, encoder=mask, image_size=16)
    return mask, generator, discriminator


def batch(mask: MaskVector, count: int = 3) -> Batch:
    everything = [each for each in pictures(dict(zip(mask.datasets, mask.attributes, strict=True))) if each[0]]
    source = torch.stack([mask.encode(*everything[place]) for place in range(-count, 0)])
    return Batch(torch.rand(count, 3, 16, 16) * 2 - 1, source, source.roll(1, 0), torch.randint(2**62, (count,)))
