"""Sample inputs of checks: attributes, labels, images, and the smallest networks that can be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mdtranslate.api import Attribute, Discriminator, DiscriminatorOutput, Generator, LabelEncoder, Value
from mdtranslate.api.batch import Batch
from mdtranslate.api.translation import Translation
from mdtranslate.config.registry import registry
from mdtranslate.utils.device import isolated_rng

HAIR = Attribute("hair", ("Black_Hair", "Blond_Hair"), optional=True)
GLASSES = Attribute("Eyeglasses")
MOOD = Attribute("expression", ("angry", "happy", "sad"))
YOUNG = Attribute("Young")

AttributesByDataset = Mapping[str, Sequence[Attribute]]
ONE_DATASET: AttributesByDataset = {"faces": (HAIR, GLASSES)}
TWO_DATASETS: AttributesByDataset = {"faces": (HAIR, GLASSES, YOUNG), "moods": (MOOD, YOUNG)}


def build_label_encoder(attributes: AttributesByDataset = ONE_DATASET) -> LabelEncoder:
    """Builds the label encoder with which networks and losses are checked: the mask vector of StarGAN."""
    cls: Any = registry().component("encoder", "mask-vector")
    label_encoder: LabelEncoder = cls(cls.Config(), attributes=attributes)
    return label_encoder


def attribute_combinations(attributes: Sequence[Attribute], *, fully_known: bool = False) -> list[dict[str, Value]]:
    """Lists all combinations of values of attributes.

    Args:
        attributes: The attributes.
        fully_known: Leave out combinations in which an attribute is unknown.
    """
    # Every value as a list of its own; an empty list stands for an unknown value.
    choices = [
        [*([value] for value in attribute.allowed_values), *([] if fully_known else [[]])] for attribute in attributes
    ]
    return [
        {attribute.name: value for attribute, values in zip(attributes, combination, strict=True) for value in values}
        for combination in product(*choices)
    ]


def all_labels(label_encoder: LabelEncoder, *, fully_known: bool = False) -> Tensor:
    """Encodes all combinations of values of every dataset's attributes: `(N, L)`."""
    rows = [
        label_encoder.encode(values, dataset)
        for dataset, attributes in enumerate(label_encoder.attributes)
        for values in attribute_combinations(attributes, fully_known=fully_known)
    ]
    return torch.stack(rows)


def random_images(count: int, size: int, seed: int = 0) -> Tensor:
    """Returns smooth random images `(count, 3, size, size)` in [-1, 1], always the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 1.8 - 0.9
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)


def domain_labels(label_encoder: LabelEncoder, count: int, shift: int = 0) -> Tensor:
    """Returns fully known labels of the first dataset, `(count, L)`, cycling through its domains from `shift` on."""
    domains = label_encoder.domains
    domains = domains[label_encoder.dataset_index(domains) == 0]
    return domains[(torch.arange(count) + shift) % len(domains)]


def random_batch(label_encoder: LabelEncoder, count: int, size: int, *, truth: bool = False, seed: int = 0) -> Batch:
    """Builds a training batch of random images.

    Args:
        label_encoder: The label encoder.
        count: Number of samples.
        size: Height and width of the images in pixels.
        truth: Whether the batch has ground truth.
        seed: Seed of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        real=random_images(count, size, seed),
        source=domain_labels(label_encoder, count),
        target=domain_labels(label_encoder, count, shift=1),
        seeds=torch.randint(2**62, (count,), generator=generator),
        truth=random_images(count, size, seed + 1) if truth else None,
    )


class TinyGenerator(Generator):
    """Two convolutions, shifted by the condition of the target."""

    name = "check-generator"

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.shift = nn.Linear(label_encoder.condition_size, 8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        hidden = self.first(image) + self.shift(self.label_encoder.condition(target))[:, :, None, None]
        output: Tensor = self.last(hidden.tanh()).tanh()
        return output


class TinyDiscriminator(Discriminator):
    """Two convolutions to a score map, and logits from their average."""

    name = "check-discriminator"
    is_batch_independent = True

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.first = nn.Conv2d(3, 8, 4, stride=4)
        self.score = nn.Conv2d(8, 1, 1)
        self.logits = nn.Linear(8, label_encoder.num_logits)

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        hidden = self.first(image).tanh()
        return DiscriminatorOutput(self.score(hidden)[:, 0], self.logits(hidden.mean((2, 3))))


class TinyNetworks:
    """A tiny generator and a tiny discriminator, always with the same weights.

    Attributes:
        label_encoder: Converts labels to conditions.
        size: Height and width of images in pixels.
        generator: The generator.
        discriminator: The discriminator.
    """

    def __init__(self, label_encoder: LabelEncoder, size: int = 16) -> None:
        """Builds the networks for a label encoder and images of `size` pixels."""
        self.label_encoder, self.size = label_encoder, size
        with isolated_rng(0):
            self.generator = TinyGenerator(TinyGenerator.Config(), label_encoder=label_encoder, image_size=size)
            self.discriminator = TinyDiscriminator(
                TinyDiscriminator.Config(), label_encoder=label_encoder, image_size=size
            )

    def translation(self, batch: Batch, updated: Literal["discriminator", "generator"]) -> Translation:
        """Returns the translation of a batch, as the update of a network sees it."""
        return Translation(batch, self.generator, self.discriminator, self.label_encoder, updated=updated)
