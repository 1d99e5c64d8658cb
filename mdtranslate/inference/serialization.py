"""How a translator lies on the disk: its weights, and what its networks and labels are, by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError

from mdtranslate.api import Attribute, Crop, Discriminator, Generator, LabelEncoder
from mdtranslate.config.choice import Choice
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import read_toml
from mdtranslate.config.run_dir import RunFolder, is_run
from mdtranslate.config.shared_models import without_paths
from mdtranslate.errors import CheckpointError, PluginError
from mdtranslate.utils import tensor_dir


class Facts(BaseModel):
    """What `translator.json` says. Components go by name: no import path is ever taken from a file."""

    encoder: Choice[LabelEncoder]
    generator: Choice[Generator]
    discriminator: Choice[Discriminator] | None = None
    plugins: list[str]
    attributes: dict[str, list[Attribute]]
    layout: list[str]
    image_size: int
    crops: dict[str, Crop]
    ranges: dict[str, tuple[float, float]] = {}
    credit: list[str]
    trained: dict[str, Any]


def write(folder: Path, model: Model, facts: Mapping[str, Any]) -> None:
    """Writes a model, and what else `Facts` has."""
    parts: dict[str, Any] = {"encoder": model.encoder, **model.networks}
    weights: dict[str, torch.Tensor] = {}
    for role, network in model.networks.items():
        weights |= tensor_dir.gather(role, network.state_dict())
    owners = {owner for each in parts.values() for owner in Choice(type(each), each.config).owners()}
    body = {
        **{role: {"name": each.name, **each.config.model_dump(mode="json")} for role, each in parts.items()},
        "plugins": sorted(owners),
        "attributes": {
            name: [{key: value for key, value in asdict(each).items() if value or key != "mirrored"} for each in own]
            for name, own in zip(model.encoder.datasets, model.encoder.attributes, strict=True)
        },
        "layout": list(model.encoder.layout),
        **facts,
    }
    tensor_dir.save(folder, "translator", {"weights": weights}, body)


def read(path: Path) -> tuple[Model, Facts]:
    """The model of a run or of a folder that `write` filled, frozen and in evaluation mode.

    Raises `CheckpointError` where there is none or it is damaged, `PluginError` where a plugin is not installed.
    """
    folder = find(path)
    file = folder / "translator.json"
    try:
        tensors, saved = tensor_dir.load(folder, "translator")
    except CheckpointError:
        if not is_run(folder.parent):
            raise
        time.sleep(0.5)  # A run that trains may have replaced it in between.
        tensors, saved = tensor_dir.load(folder, "translator")
    try:
        facts = Facts.model_validate(saved)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']} (trained with {_plugins(saved)})"
        raise (PluginError if first["type"] == "choice" else CheckpointError)(message) from None
    model = Model.build(
        without_paths(facts.encoder, folder, "encoder"),
        without_paths(facts.generator, folder, "generator"),
        without_paths(facts.discriminator, folder, "discriminator"),
        attributes=facts.attributes,
        image_size=facts.image_size,
    )
    if list(model.encoder.layout) != facts.layout:
        raise CheckpointError(
            f"{file}: encoder {facts.encoder.name!r} lays labels out otherwise than when it was trained "
            f"(with {_plugins(saved)})"
        )
    for role, network in model.networks.items():
        tensor_dir.fill(network, tensor_dir.part(role, tensors.get("weights", {})), f"{folder}: {role}")
        network.eval().requires_grad_(False)
    return model, facts


def find(path: Path) -> Path:
    """The folder of the translator of `path`: a run, or the folder itself. Raises `CheckpointError`."""
    if (path / "translator.json").is_file():
        return path
    run = RunFolder(path)
    if run.translator.is_dir():
        return run.translator
    if is_run(path):
        train = read_toml(path / "recipe.toml").get("train", {})
        step = min(train.get("save_every", 0), train.get("steps", 0))
        raise CheckpointError(f"{path}: has no translator yet; the first is saved at step {step or 'train.save_every'}")
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such folder")
    raise CheckpointError(f"{path}: is neither a run (it holds no recipe.toml) nor a translator")


def _plugins(saved: Mapping[str, Any]) -> str:
    return ", ".join(map(str, saved.get("plugins") or ["plugins that it does not name"]))
