"""Converts published checkpoints of other code bases to translators, without running anything in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from mdtranslate.api import Attribute, Crop, Discriminator, Generator, Importer, LabelEncoder
from mdtranslate.config.choice import Choice
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.registry import registry
from mdtranslate.errors import CheckpointError, RecipeError
from mdtranslate.inference.translator import Translator
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.files import file_sha256
from mdtranslate.utils.state_dict import read_state_dict


def import_checkpoint(
    name: str, files: Sequence[Path], attributes: Mapping[str, Sequence[Attribute]], settings: Mapping[str, Any]
) -> Translator:
    """Converts checkpoint files to a translator.

    Args:
        name: Name of the importer.
        files: The checkpoint files.
        attributes: The labelled attributes by dataset, in the order of the published labels.
        settings: Settings of the importer.

    Raises:
        CheckpointError: A file is not such a checkpoint.
        RecipeError: Attributes or settings do not fit it.
    """
    component = registry().component("importer", name)
    try:
        config = component.Config.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecipeError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    importer = cast(Importer, Choice(component, config).build())
    if len(set(files)) < len(files):
        raise RecipeError(f"{files[-1]}: the file occurs twice among the arguments")
    imported = importer.read({file: read_state_dict(file) for file in files}, attributes)
    discriminator, attributes = imported.discriminator, imported.attributes or attributes
    names = ", ".join(map(str, files))
    try:
        model = Model.build(
            TypeAdapter(Choice[LabelEncoder]).validate_python(imported.label_encoder),
            TypeAdapter(Choice[Generator]).validate_python(imported.generator),
            None if discriminator is None else TypeAdapter(Choice[Discriminator]).validate_python(discriminator),
            attributes=attributes,
            image_size=imported.image_size,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}"
        raise CheckpointError(f"{names}: no network of mdtranslate has these shapes: {problem}") from None
    for role, network in model.networks.items():
        tensor_dir.load_weights(network, imported.weights[role], f"{names}: {role}")
        network.eval().requires_grad_(False)
    return Translator(
        model,
        image_size=imported.image_size,
        crops=dict.fromkeys(attributes, Crop()),
        trained={"imported": name, "files": {file.name: file_sha256(file) for file in files}},
    )


def parse_attributes(texts: Sequence[str]) -> dict[str, tuple[Attribute, ...]]:
    """Parses the values of `--attributes`.

    Args:
        texts: Comma-separated attributes of each dataset: `Male` for a yes/no attribute, `hair=Black_Hair|Blond_Hair`
            for an exclusive one.

    Returns:
        Attributes by dataset. The files do not name datasets, so one is called `images`, several `a`, `b`, ...

    Raises:
        RecipeError: A text is invalid.
    """
    if len(texts) > len(ascii_lowercase):
        raise RecipeError(f"--attributes occurs {len(texts)} times; at most {len(ascii_lowercase)} are possible")
    attributes_by_dataset: dict[str, tuple[Attribute, ...]] = {}
    for index, text in enumerate(texts):
        attributes = tuple(_parse_attribute(item.strip()) for item in text.split(","))
        names = [attribute.name for attribute in attributes]
        if duplicates := [name for name in names if names.count(name) > 1]:
            raise RecipeError(f"--attributes {text}: {duplicates[0]} occurs twice")
        attributes_by_dataset["images" if len(texts) == 1 else ascii_lowercase[index]] = attributes
    return attributes_by_dataset


def _parse_attribute(text: str) -> Attribute:
    name, equals, values = text.partition("=")
    choices = tuple(value.strip() for value in values.split("|")) if equals else ()
    if not name or not all(choices) or len(choices) == 1 or len({*choices}) < len(choices):
        raise RecipeError(f"--attributes {text!r}: write a name, or name=value|value|... for an exclusive attribute")
    return Attribute(name, choices, optional=bool(choices))
