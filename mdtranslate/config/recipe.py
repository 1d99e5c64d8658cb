"""A validated recipe: components by name, each with its settings, and the tables of `schema.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mdtranslate.api import Dataset, Discriminator, Generator, LabelEncoder, Loss, Metric, Settings
from mdtranslate.config.choice import Choice
from mdtranslate.config.schema import ClassifierTraining, Data, Evaluation, Optimizers, Train

GROUPS = ("datasets", "losses", "metrics")
"""Tables that hold several components by key; the key is also the component's name unless it has a `name`."""


class Recipe(Settings):
    """Everything that determines a run."""

    datasets: dict[str, Choice[Dataset]] = Field(min_length=1, description="sources of labelled images")
    label_encoder: Choice[LabelEncoder] = Field(description="how attribute values become labels")
    generator: Choice[Generator] = Field(description="the network that translates")
    discriminator: Choice[Discriminator] = Field(description="the network that scores and classifies images")
    losses: dict[str, Choice[Loss]] = Field(min_length=1, description="what the networks minimise")
    metrics: dict[str, Choice[Metric]] = Field(
        default_factory=dict,
        description="what `mdtranslate evaluate` measures; all metrics without required settings if left out",
    )
    evaluation: Evaluation = Field(
        default_factory=lambda: Evaluation.model_validate({}), description="how translations are evaluated"
    )
    data: Data = Field(default_factory=lambda: Data.model_validate({}), description="how images become batches")
    train: Train = Field(
        default_factory=lambda: Train.model_validate({}), description="training steps, intervals, and what is kept"
    )
    optimizers: Optimizers = Field(
        default_factory=lambda: Optimizers.model_validate({}), description="the optimizer of each network"
    )

    @property
    def plugins(self) -> list[str]:
        """The plugins of all components, also nested ones, with their distributions and versions."""
        values = [value for _, field in self for value in (field.values() if isinstance(field, dict) else [field])]
        return sorted({owner for value in values if isinstance(value, Choice) for owner in value.plugin_labels()})

    @property
    def classifier_training(self) -> ClassifierTraining:
        """How the attribute classifier is trained; flipping follows `data.flip` unless it is set."""
        training = self.evaluation.classifier
        return training if training.flip is not None else training.model_copy(update={"flip": self.data.flip})

    @model_validator(mode="before")
    @classmethod
    def _fill_names(cls, tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        return {key: _with_names(value) if key in GROUPS else value for key, value in tree.items()}

    @field_validator(*GROUPS, mode="after")
    @classmethod
    def _check_keys(cls, components: dict[str, Any]) -> dict[str, Any]:
        for key in components:
            if not re.fullmatch(r"[\w-]+", key):
                raise ValueError(f"{key!r}: use letters, digits, _ and - only")
        return components

    @field_validator("data", mode="after")
    @classmethod
    def _check_cross_dataset(cls, data: Data, info: ValidationInfo) -> Data:
        if data.cross_dataset and len(info.data.get("datasets", ())) == 1:
            raise ValueError(f"cross_dataset={data.cross_dataset} needs several datasets; there is only one")
        return data

    @field_validator("train", mode="after")
    @classmethod
    def _check_accumulation(cls, train: Train, info: ValidationInfo) -> Train:
        data = info.data.get("data")  # Missing if it is invalid itself.
        if data is not None and data.batch_size % train.gradient_accumulation:
            divisors = ", ".join(f"{n}" for n in range(1, data.batch_size + 1) if data.batch_size % n == 0)
            raise ValueError(
                f"gradient_accumulation {train.gradient_accumulation} does not divide data.batch_size="
                f"{data.batch_size}; {divisors} do"
            )
        return train

    @field_validator("losses", mode="after")
    @classmethod
    def _check_weights(cls, losses: dict[str, Choice[Loss]]) -> dict[str, Choice[Loss]]:
        if all(choice.config.weight == 0 for choice in losses.values()):  # type: ignore[attr-defined]
            raise ValueError("all weights are 0, so nothing would be learned")
        return losses


def _with_names(components: Any) -> Any:
    """`[losses.wgan-gp]` without a `name` means the loss of that name."""
    if not isinstance(components, Mapping):
        return components
    return {
        key: {"name": key, **settings} if isinstance(settings, Mapping) else settings
        for key, settings in components.items()
    }
