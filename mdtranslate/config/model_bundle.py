"""Builds the label encoder, the networks and the losses of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mdtranslate.api import Attribute, Discriminator, Generator, LabelEncoder, Loss
from mdtranslate.config.choice import Choice
from mdtranslate.config.recipe import Recipe
from mdtranslate.errors import RecipeError
from mdtranslate.utils.device import isolated_rng, memory_format


@dataclass(frozen=True)
class Model:
    """A label encoder and the networks that were built for it.

    Attributes:
        label_encoder: Converts attribute values to labels.
        generator: The generator.
        discriminator: The discriminator; None if the model is only used for translation.
    """

    label_encoder: LabelEncoder
    generator: Generator
    discriminator: Discriminator | None

    @property
    def networks(self) -> dict[str, Generator | Discriminator]:
        """The networks by role, `generator` and `discriminator`."""
        networks: dict[str, Generator | Discriminator] = {"generator": self.generator}
        if self.discriminator is not None:
            networks["discriminator"] = self.discriminator
        return networks

    @classmethod
    def build(
        cls,
        label_encoder: Choice[LabelEncoder],
        generator: Choice[Generator],
        discriminator: Choice[Discriminator] | None,
        *,
        attributes: Mapping[str, Sequence[Attribute]],
        image_size: int,
        seed: int = 0,
    ) -> Model:
        """Builds the components with random weights; each network has a random stream of its own.

        Args:
            label_encoder: The label encoder's class and settings.
            generator: The generator's class and settings.
            discriminator: The discriminator's class and settings; None for a model that only translates.
            attributes: Attributes by dataset.
            image_size: Height and width of training images in pixels.
            seed: Seed of the random weights.

        Raises:
            RecipeError: Settings do not go together, or the generator does not support the image size.
        """
        with isolated_rng(seed):
            encoder = label_encoder.build(attributes=attributes)
            generator_network = generator.build(label_encoder=encoder, image_size=image_size)
        with isolated_rng(seed + 1):
            discriminator_network = (
                None if discriminator is None else discriminator.build(label_encoder=encoder, image_size=image_size)
            )
        if image_size % (multiple := generator_network.size_multiple):
            raise RecipeError(
                f"data.image_size={image_size}: generator {generator_network.name!r} needs a multiple of {multiple}"
            )
        return cls(encoder, generator_network, discriminator_network)

    def to(self, device: torch.device) -> Model:
        """Moves the networks to a device, in the memory format that is fastest there."""
        for network in self.networks.values():
            network.to(device, memory_format=memory_format(device))  # type: ignore[call-overload]
        return self


def label_dependent_weights(recipe: Recipe, model: Model) -> dict[str, frozenset[str]]:
    """Finds weights whose shape depends on the attributes, by comparing with a model that has one more attribute.

    Args:
        recipe: The recipe of the model.
        model: The model.

    Returns:
        State dict keys by role, `generator` and `discriminator`.
    """
    attributes = dict(zip(model.label_encoder.datasets, model.label_encoder.attributes, strict=True))
    first = next(iter(attributes))
    attributes[first] = (*attributes[first], Attribute("one_attribute_more"))
    larger_model = Model.build(
        recipe.label_encoder,
        recipe.generator,
        recipe.discriminator,
        attributes=attributes,
        image_size=recipe.data.image_size,
    )
    keys = {}
    for role, network in model.networks.items():
        shapes = {key: value.shape for key, value in larger_model.networks[role].state_dict().items()}
        keys[role] = frozenset(key for key, value in network.state_dict().items() if shapes.get(key) != value.shape)
    return keys


def build_losses(recipe: Recipe, label_encoder: LabelEncoder, device: torch.device) -> dict[str, Loss]:
    """Builds the losses of a recipe; random weights in them have a random stream of their own.

    Args:
        recipe: The recipe.
        label_encoder: Converts attribute values to labels.
        device: Where the losses compute.

    Returns:
        The losses by their keys in the recipe.
    """
    with isolated_rng(recipe.train.seed + 2):
        return {
            name: choice.build(label_encoder=label_encoder, image_size=recipe.data.image_size).to(device)
            for name, choice in recipe.losses.items()
        }
