"""The encoder and the two networks that a recipe picks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mdtranslate.api import Attribute, Discriminator, Generator, LabelEncoder, Loss
from mdtranslate.config.choice import Choice
from mdtranslate.config.schema import Recipe
from mdtranslate.errors import RecipeError
from mdtranslate.utils.device import isolated, layout


@dataclass(frozen=True)
class Model:
    """An encoder, a generator and a discriminator that fit each other. To translate, there need be no discriminator."""

    encoder: LabelEncoder
    generator: Generator
    discriminator: Discriminator | None

    @property
    def networks(self) -> dict[str, Generator | Discriminator]:
        """Those that there are, by their role."""
        found: dict[str, Generator | Discriminator | None] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        return {role: network for role, network in found.items() if network is not None}

    @classmethod
    def build(
        cls,
        encoder: Choice[LabelEncoder],
        generator: Choice[Generator],
        discriminator: Choice[Discriminator] | None,
        *,
        attributes: Mapping[str, Sequence[Attribute]],
        image_size: int,
        seed: int = 0,
    ) -> Model:
        """Builds all that are chosen; weights are drawn from `seed`, each network's own stream.

        Raises `RecipeError` for settings or a size that do not go together.
        """
        with isolated(seed):
            built = encoder.build(attributes=attributes)
            first = generator.build(encoder=built, image_size=image_size)
        with isolated(seed + 1):
            second = None if discriminator is None else discriminator.build(encoder=built, image_size=image_size)
        if image_size % first.multiple:
            raise RecipeError(
                f"data.image_size={image_size}: must be a multiple of {first.multiple} for generator {first.name!r}"
            )
        return cls(built, first, second)

    def to(self, device: torch.device) -> Model:
        """Moves both networks, in the layout that the device prefers."""
        for network in self.networks.values():
            network.to(device, memory_format=layout(device))  # type: ignore[call-overload]
        return self


def weights_of_labels(recipe: Recipe, model: Model) -> dict[str, frozenset[str]]:
    """By role, the names of weights whose shape depends on the domains: with one attribute more it is another."""
    attributes = dict(zip(model.encoder.datasets, model.encoder.attributes, strict=True))
    first = next(iter(attributes))
    attributes[first] = (*attributes[first], Attribute("one_attribute_more"))
    size = recipe.data.image_size
    other = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=size)
    found = {}
    for role, network in model.networks.items():
        shapes = {key: value.shape for key, value in other.networks[role].state_dict().items()}
        found[role] = frozenset(key for key, value in network.state_dict().items() if shapes.get(key) != value.shape)
    return found


def build_losses(recipe: Recipe, encoder: LabelEncoder, device: torch.device) -> dict[str, Loss]:
    """The losses of a recipe by their names there; random weights in them are drawn from a stream of their own."""
    with isolated(recipe.train.seed + 2):
        return {
            name: choice.build(encoder=encoder, image_size=recipe.data.image_size).to(device)
            for name, choice in recipe.losses.items()
        }
