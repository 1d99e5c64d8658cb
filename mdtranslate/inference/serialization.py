"""Saves and loads trained models: weights as safetensors, networks and labels as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ValidationError

from mdtranslate.api import Attribute, Crop, Discriminator, Generator, LabelEncoder
from mdtranslate.config.choice import Choice
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.run_folder import RunFolder, is_run
from mdtranslate.config.shared_models import drop_paths
from mdtranslate.config.toml_tree import read_toml
from mdtranslate.errors import CheckpointError, PluginError
from mdtranslate.utils import tensor_dir


class TranslatorMetadata(BaseModel):
    """The content of `translator.json`.

    Components are stored by name: no import path is ever read from a file.

    Attributes:
        label_encoder: Name and settings of the label encoder.
        generator: Name and settings of the generator.
        discriminator: Name and settings of the discriminator, if there is one.
        plugins: Plugins that define these components, with their versions.
        attributes: Labelled attributes by dataset.
        channel_names: Meaning of each channel of a condition, to notice a label encoder that changed.
        image_size: Height and width of training images in pixels.
        crops: The crop of each dataset.
        ranges: The grey levels of a dataset's files that are black and white, where it defines them.
        credit: Credit lines of the datasets.
        trained: How the weights came about: recipe and step of a run, or importer and files.
    """

    label_encoder: Choice[LabelEncoder]
    generator: Choice[Generator]
    discriminator: Choice[Discriminator] | None = None
    plugins: list[str]
    attributes: dict[str, list[Attribute]]
    channel_names: list[str]
    image_size: int
    crops: dict[str, Crop]
    ranges: dict[str, tuple[float, float]] = {}
    credit: list[str]
    trained: dict[str, Any]


COMPACT: Final = "compact"
"""The key in `trained` of a model that `mdtranslate push --compact` wrote: how it differs from the run's."""


def save_model(folder: Path, model: Model, metadata: Mapping[str, Any]) -> None:
    """Saves a model atomically.

    Args:
        folder: The folder to write; an earlier model in it is replaced.
        model: The model.
        metadata: The remaining fields of `TranslatorMetadata`, from `image_size` on.

    Raises:
        StorageError: The folder cannot be written.
        RecipeError: It is the current folder and empty.
    """
    components: dict[str, Any] = {"label_encoder": model.label_encoder, **model.networks}
    weights: dict[str, torch.Tensor] = {}
    for role, network in model.networks.items():
        weights |= tensor_dir.with_prefix(role, network.state_dict())
    plugins = {
        plugin
        for component in components.values()
        for plugin in Choice(type(component), component.config).plugin_labels()
    }
    attributes = {
        dataset: [_attribute_fields(attribute) for attribute in dataset_attributes]
        for dataset, dataset_attributes in zip(
            model.label_encoder.datasets, model.label_encoder.attributes, strict=True
        )
    }
    content: dict[str, Any] = {
        role: {"name": component.name, **component.config.model_dump(mode="json")}
        for role, component in components.items()
    }
    content |= {
        "plugins": sorted(plugins),
        "attributes": attributes,
        "channel_names": list(model.label_encoder.channel_names),
        **metadata,
    }
    tensor_dir.save(folder, "translator", {"weights": weights}, content)


def load_model(path: Path) -> tuple[Model, TranslatorMetadata]:
    """Loads a model, frozen and in evaluation mode.

    Args:
        path: A run, or a folder that `save_model` wrote.

    Raises:
        CheckpointError: There is no model, or it is corrupt.
        PluginError: A plugin that it needs is not installed.
    """
    folder = find_translator(path)
    file = folder / "translator.json"
    try:
        tensors, content = tensor_dir.load(folder, "translator")
    except CheckpointError:
        if not is_run(folder.parent):
            raise
        time.sleep(0.5)  # A run in progress may have been replacing it.
        tensors, content = tensor_dir.load(folder, "translator")
    try:
        metadata = TranslatorMetadata.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']} (saved with {_plugins(content)})"
        raise (PluginError if first["type"] == "choice" else CheckpointError)(message) from None
    model = Model.build(
        drop_paths(metadata.label_encoder, folder, "label_encoder"),
        drop_paths(metadata.generator, folder, "generator"),
        drop_paths(metadata.discriminator, folder, "discriminator"),
        attributes=metadata.attributes,
        image_size=metadata.image_size,
    )
    if list(model.label_encoder.channel_names) != metadata.channel_names:
        raise CheckpointError(
            f"{file}: the channel_names of label encoder {metadata.label_encoder.name!r} are not those that the "
            f"weights were trained with; install the plugins of then: {_plugins(content)}"
        )
    for role, network in model.networks.items():
        state = tensor_dir.without_prefix(role, tensors.get("weights", {}))
        tensor_dir.load_weights(network, state, f"{folder}: {role}")
        network.eval().requires_grad_(False)
    return model, metadata


def find_translator(path: Path) -> Path:
    """Finds the folder of a translator.

    Args:
        path: A run, or the folder itself.

    Raises:
        CheckpointError: There is no translator in it.
    """
    if (path / "translator.json").is_file():
        return path
    run = RunFolder(path)
    if run.translator.is_dir():
        return run.translator
    if is_run(path):
        train = read_toml(path / "recipe.toml").get("train", {})
        step = min(train.get("save_every", 0), train.get("steps", 0))
        raise CheckpointError(f"{path}: no translator yet; the first is saved at step {step or 'train.save_every'}")
    if not path.exists():
        raise CheckpointError(f"{path}: no such folder")
    raise CheckpointError(f"{path}: neither a run (no recipe.toml) nor a translator (no translator.json)")


def _attribute_fields(attribute: Attribute) -> dict[str, Any]:
    """Returns the fields of an attribute; `mirrored`, which is rare, only if it is not empty."""
    fields = asdict(attribute)
    return {key: value for key, value in fields.items() if value or key != "mirrored"}


def _plugins(content: Mapping[str, Any]) -> str:
    return ", ".join(map(str, content.get("plugins") or ["unnamed plugins"]))
