"""Published checkpoints of other code as translators: read without running anything, checked, and saved as ours."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, cast

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from mdtranslate.api import Attribute, Crop, Discriminator, Generator, Importer, LabelEncoder
from mdtranslate.config.choice import Choice
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.registry import registry
from mdtranslate.errors import CheckpointError, RecipeError
from mdtranslate.inference.translator import Translator
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.files import sha256


def import_published(
    name: str, files: Sequence[Path], attributes: Mapping[str, Sequence[Attribute]], settings: Mapping[str, Any]
) -> Translator:
    """The translator that importer `name` makes of `files`.

    Raises `CheckpointError` for a file that is no such checkpoint, `RecipeError` for attributes or settings that do not
    fit it.
    """
    component = registry().component("importer", name)
    try:
        config = component.Config.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecipeError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    importer = cast(Importer, Choice(component, config).build())
    if len(set(files)) < len(files):
        raise RecipeError(f"{files[-1]}: is given twice")
    published = importer.read({file: read_state(file) for file in files}, attributes)
    one, attributes = published.discriminator, published.attributes or attributes
    try:
        model = Model.build(
            TypeAdapter(Choice[LabelEncoder]).validate_python(published.encoder),
            TypeAdapter(Choice[Generator]).validate_python(published.generator),
            None if one is None else TypeAdapter(Choice[Discriminator]).validate_python(one),
            attributes=attributes,
            image_size=published.image_size,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}"
        raise CheckpointError(f"{', '.join(map(str, files))}: no network of ours has this shape: {said}") from None
    for role, network in model.networks.items():
        tensor_dir.fill(network, published.weights[role], f"{', '.join(map(str, files))}: {role}")
        network.eval().requires_grad_(False)
    return Translator(
        model,
        image_size=published.image_size,
        crops=dict.fromkeys(attributes, Crop()),
        trained={"imported": name, "files": {file.name: sha256(file) for file in files}},
    )


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote, by name. No code of it is run.

    Raises `CheckpointError` that names the file where it is none, is damaged, or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch talks of pickle's protocols; what matters is said below.
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: there is no such file") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{file}: holds more than weights, or is damaged; such a file could run code, so it is not read"
        ) from None
    except Exception as error:  # torch.load raises anything on damaged files.
        raise CheckpointError(f"{file}: cannot be read as a checkpoint of PyTorch: {_first_line(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise CheckpointError(f"{file}: is no table of weights by name, as a network's state_dict is")
    for name, value in state.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            raise CheckpointError(f"{file}: {name} is no plain array of numbers")
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{file}: {name} holds numbers that are not finite")
    return {str(name): value for name, value in state.items()}


def read_attributes(given: Sequence[str]) -> dict[str, tuple[Attribute, ...]]:
    """`Male,Young` as yes/no attributes, `hair=Black_Hair|Blond_Hair` as an exclusive one; a dataset for each text.

    Datasets are called `a`, `b`, ... where there are several, for want of other names. Raises `RecipeError`.
    """
    if len(given) > len(ascii_lowercase):
        raise RecipeError(f"--attributes is given {len(given)} times; {len(ascii_lowercase)} datasets are the most")
    found: dict[str, tuple[Attribute, ...]] = {}
    for number, text in enumerate(given):
        own = tuple(_attribute(word.strip()) for word in text.split(","))
        names = [each.name for each in own]
        if twice := [name for name in names if names.count(name) > 1]:
            raise RecipeError(f"--attributes {text}: {twice[0]} is there twice")
        found["pictures" if len(given) == 1 else ascii_lowercase[number]] = own
    return found


def _attribute(word: str) -> Attribute:
    name, equals, values = word.partition("=")
    choices = tuple(value.strip() for value in values.split("|")) if equals else ()
    if not name or not all(choices) or len(choices) == 1 or len({*choices}) < len(choices):
        raise RecipeError(f"--attributes {word!r}: write a name, or name=value|value|... for an exclusive one")
    return Attribute(name, choices, optional=bool(choices))


def _first_line(error: Exception) -> str:
    """What torch says where it says something; of bytes that mean nothing it raises what happens to be wrong first."""
    said = str(error).strip().splitlines() if isinstance(error, RuntimeError | OSError | EOFError) else []
    return said[0].partition(". ")[0] if said and "enforce fail" not in said[0] else "its bytes are no such file"
