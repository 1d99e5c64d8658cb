"""Small components of StarGAN for tests, and all labels that an image can have."""

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


def label_encoder(
    attributes: Mapping[str, Sequence[Attribute]], exclusive_loss: str = "softmax", **settings: Any
) -> MaskVector:
    config: Any = MaskVector.Config
    return MaskVector(config(exclusive_loss=exclusive_loss, **settings), attributes=attributes)


def possible_labels(attributes: Mapping[str, Sequence[Attribute]]) -> list[tuple[dict[str, Value], int]]:
    """All attribute values, unknown ones included, of every dataset, each with the index of the dataset."""
    labels = []
    for dataset, labelled in enumerate(attributes.values()):
        for values in product(*([*attribute.allowed_values, ...] for attribute in labelled)):
            pairs = zip(labelled, values, strict=True)
            labels.append(({attribute.name: value for attribute, value in pairs if value is not ...}, dataset))
    return labels


def small(
    attributes: Mapping[str, Sequence[Attribute]] = ONE, projection: bool = False, **settings: Any
) -> tuple[MaskVector, StarGANGenerator, StarGANDiscriminator]:
    mask = label_encoder(attributes)
    config = StarGANGenerator.Config(channels=4, blocks=1, **settings)
    generator = StarGANGenerator(config, label_encoder=mask, image_size=16)
    discriminator_config = StarGANDiscriminator.Config(channels=4, layers=2, projection=projection)
    discriminator = StarGANDiscriminator(discriminator_config, label_encoder=mask, image_size=16)
    return mask, generator, discriminator


def batch(mask: MaskVector, count: int = 3) -> Batch:
    labels = [label for label in possible_labels(dict(zip(mask.datasets, mask.attributes, strict=True))) if label[0]]
    source = torch.stack([mask.encode(*labels[index]) for index in range(-count, 0)])
    return Batch(torch.rand(count, 3, 16, 16) * 2 - 1, source, source.roll(1, 0), torch.randint(2**62, (count,)))
