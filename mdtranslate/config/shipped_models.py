"""Trained models that plugins ship: found by name wherever a run is taken, and described without importing torch."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mdtranslate.api import Attribute, format_value
from mdtranslate.config.manifest import LICENCE, Manifest, check_listed_files, one_line, read_terms
from mdtranslate.config.registry import registry
from mdtranslate.errors import CheckpointError, MdtranslateError, StorageError, nearest
from mdtranslate.utils.json_metadata import load_metadata


@dataclass(frozen=True)
class ShippedModel:
    """A model that a plugin ships.

    Attributes:
        name: Its name.
        plugin: The plugin, with its distribution and version.
        folder: Its folder.
        attributes: Values of each attribute as text, by name; with the name of the dataset if there are several.
        image_size: Height and width of training images in pixels.
        size: Size of its files in bytes.
        datasets: Names of the datasets that it was trained on.
        credit: Credit lines of the datasets.
        terms: Its own terms of use in one line; empty if it has none.
        error: Why it cannot be used, and then the fields from `attributes` on have no values; empty if it can.
    """

    name: str
    plugin: str
    folder: Path
    attributes: Mapping[str, list[str]] = field(default_factory=dict)
    image_size: int = 0
    size: int = 0
    datasets: list[str] = field(default_factory=list)
    credit: list[str] = field(default_factory=list)
    terms: str = ""
    error: str = ""


def resolve_run(text: str) -> Path:
    """Returns the folder that a text stands for where a run is taken: a path, or the name of a shipped model.

    A text with a slash, or one that cannot be the name of a model (`.`, `..`), is a path. Any other text is the name of
    a model if there is one of this name, and otherwise a path. So `./NAME` is the folder of the same name.

    Args:
        text: What the user typed.

    Raises:
        CheckpointError: It is neither; or it is a model, and one of its files is damaged.
        StorageError: A file of the model cannot be read.
    """
    names, path = registry().names("model"), Path(text)
    if text in names:
        if path.is_dir():
            _log(f"{text}: is the model of {registry().owner('model', text)}; the folder is .{os.sep}{text}")
        _check(text)
        return registry().model(text)
    is_path = any(separator in text for separator in (os.sep, os.altsep) if separator)
    if is_path or os.path.lexists(path):
        return path
    suggestion = nearest(text, names)
    hint = f"{suggestion} " if suggestion.startswith("did") else ""
    raise CheckpointError(
        f"{text}: no such folder, and no model of this name: {hint}`mdtranslate models` lists all models"
        f"{registry().broken_plugins_hint}"
    )


def format_run(path: Path) -> str:
    """Returns the text that `resolve_run` resolves to a folder: `./NAME` if a model has the folder's name."""
    text = str(path)
    return shipped_name(path) or (f".{os.sep}{text}" if text in registry().names("model") else text)


def shipped_name(folder: Path) -> str | None:
    """Returns the name of the shipped model whose folder this is, or None."""
    return next((name for name in registry().names("model") if registry().model(name) == folder), None)


def folder_to_load(path: str | Path) -> Path:
    """Returns the folder of a model that is about to be used, and logs its own terms if it has some.

    The terms are logged once in a process, since each use would repeat them.

    Args:
        path: A folder, also of a translator inside a model; as text, what `resolve_run` takes.

    Raises:
        CheckpointError, StorageError: As for `resolve_run`.
    """
    folder = resolve_run(path) if isinstance(path, str) else path
    if terms := read_terms(folder):
        _log(f"{folder.name}: {terms}; see {folder / LICENCE}")
    return folder


@cache
def _log(warning: str) -> None:
    """Logs a warning once in a process; without other settings of logging, it is a line on standard error."""
    logging.getLogger("mdtranslate").warning(warning)


def shipped_models() -> list[ShippedModel]:
    """Returns all models that plugins ship, sorted by name; damaged ones with their error."""
    return [shipped_model(name) for name in registry().names("model")]


def shipped_model(name: str) -> ShippedModel:
    """Returns the model of a name; a damaged one with its error.

    Raises:
        UnknownNameError: No plugin registers it.
    """
    folder, plugin = registry().model(name), str(registry().owner("model", name))
    try:
        manifest = _check(name)
        metadata = load_metadata(folder / "translator", "translator")
        return ShippedModel(
            name=name,
            plugin=plugin,
            folder=folder,
            attributes=_attribute_values(metadata["attributes"]),
            image_size=metadata["image_size"],
            size=manifest.size,
            datasets=list(metadata["attributes"]),
            credit=metadata["credit"],
            terms=one_line(manifest.terms),
        )
    except MdtranslateError as error:
        return ShippedModel(name, plugin, folder, error=str(error))
    except (KeyError, TypeError, AttributeError):
        problem = f"{folder / 'translator' / 'translator.json'}: is not what `mdtranslate push` writes"
        return ShippedModel(name, plugin, folder, error=problem)


def _check(name: str) -> Manifest:
    """Checks the files of a model, and returns its manifest; errors name the model and its plugin."""
    try:
        return check_listed_files(registry().model(name))
    except (CheckpointError, StorageError) as error:
        owner = registry().owner("model", name)
        raise type(error)(f"model {name!r} of {owner}: {error}; install the plugin again") from None


def _attribute_values(attributes: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """Returns the values of each attribute, from the attributes by dataset in translator.json."""
    return {
        name if len(attributes) == 1 else f"{dataset}.{name}": list(map(format_value, attribute.allowed_values))
        for dataset, labelled in attributes.items()
        for name, attribute in ((item["name"], _attribute(item)) for item in labelled)
    }


def _attribute(fields: Mapping[str, Any]) -> Attribute:
    return Attribute(fields["name"], tuple(fields["values"]), fields["optional"])
