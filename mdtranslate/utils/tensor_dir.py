"""Saves, verifies and loads named tensors together with metadata.

A saved folder holds safetensors files and one JSON file with the hash of each. safetensors has no checksum of its own,
so a flipped bit would load unnoticed. Pickle is never read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from mdtranslate.errors import CheckpointError, StorageError
from mdtranslate.utils.files import file_sha256, new_folder
from mdtranslate.utils.json_metadata import load_metadata, save_metadata


def save(folder: Path, name: str, tensors: Mapping[str, Mapping[str, Tensor]], metadata: Mapping[str, Any]) -> None:
    """Writes a folder of tensors and metadata atomically.

    Args:
        folder: The folder, which is replaced.
        name: Stem of the JSON file.
        tensors: State dicts; each becomes a safetensors file of that name.
        metadata: What the JSON file holds besides the hashes of the files.

    Raises:
        StorageError: The folder cannot be written.
    """
    with new_folder(folder) as temporary:
        for stem, state in tensors.items():
            _write(state, temporary / f"{stem}.safetensors")
        files = {file.name: file_sha256(file) for file in sorted(temporary.iterdir())}
        save_metadata(temporary, name, {**metadata, "files": files})


def load(folder: Path, name: str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Loads and verifies what `save` wrote.

    Args:
        folder: The folder.
        name: Stem of the JSON file.

    Returns:
        The state dicts by name, and the metadata.

    Raises:
        CheckpointError: A file is missing or has changed; the message names it.
        FormatError: Another version of mdtranslate wrote the folder.
        StorageError: A file cannot be read from the disk.
    """
    metadata = load_metadata(folder, name)
    if not isinstance(metadata.get("files"), dict):
        raise CheckpointError(f"{folder / name}.json: is damaged: it lists no weight files")
    tensors = {}
    for file, expected in metadata["files"].items():
        path = folder / Path(file).name
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != expected:
                raise CheckpointError(f"{path}: is damaged: its content has changed since it was saved")
            tensors[path.stem] = safetensors.torch.load(content)
        except (FileNotFoundError, SafetensorError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from None
        except OSError as error:  # The disk failed; the file may be intact.
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    return tensors, metadata


def load_weights(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads a state dict into a network.

    Args:
        module: The network.
        state: Its state dict.
        source: Where the weights come from, for messages.

    Raises:
        CheckpointError: A weight is missing, unknown or of another shape; the message names it.
    """
    expected = module.state_dict()
    for key in expected.keys() | state.keys():
        if key not in state or key not in expected:
            problem = "missing" if key in expected else "not part of this network"
            raise CheckpointError(f"{source}: weight {key} is {problem}")
        if state[key].shape != expected[key].shape:
            shapes = f"{list(state[key].shape)}, not {list(expected[key].shape)}"
            raise CheckpointError(f"{source}: weight {key} has shape {shapes}")
    module.load_state_dict(dict(state))


def load_matching_weights(
    module: nn.Module, state: Mapping[str, Tensor], source: str, exclude: Collection[str] = frozenset()
) -> list[str]:
    """Loads the weights whose names and shapes match those of a network.

    Args:
        module: The network.
        state: A state dict, possibly of a different network.
        source: Where the weights come from, for messages.
        exclude: Names of weights that are not loaded.

    Returns:
        Names of the network's weights that were not loaded.

    Raises:
        CheckpointError: No weight matches.
    """
    current = module.state_dict()
    matching = {
        key: value
        for key, value in state.items()
        if key in current and value.shape == current[key].shape and key not in exclude
    }
    if not matching:
        raise CheckpointError(f"{source}: none of its weights fits")
    module.load_state_dict({**current, **matching})
    return [key for key in current if key not in matching]


def with_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict with `prefix.` before each key."""
    return {f"{prefix}.{key}": value for key, value in state.items()}


def without_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the entries whose keys start with `prefix.`, without it."""
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f"{prefix}.")}


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """Returns the state of an optimizer as flat tensors, with keys like `3.exp_avg` (parameter index, name)."""
    entries = optimizer.state_dict()["state"].items()
    return {f"{index}.{key}": torch.as_tensor(value) for index, entry in entries for key, value in entry.items()}


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Tensor]) -> None:
    """Loads what `optimizer_state` returned."""
    entries: dict[int, dict[str, Tensor]] = {}
    params = optimizer.param_groups[0]["params"]
    for key, value in state.items():
        index, _, name = key.partition(".")
        param = params[int(index)]
        if value.shape == param.shape:
            # Same memory format as the parameter (channels last): the fused step reads both in memory order.
            value = torch.empty_like(param, requires_grad=False).copy_(value)
        entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


def _write(state: Mapping[str, Tensor], path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for key, value in state.items():
        tensors[key] = value.detach().cpu().contiguous()
        if tensors[key].untyped_storage().data_ptr() in storages:
            tensors[key] = tensors[key].clone()  # safetensors refuses shared weights.
        storages.add(tensors[key].untyped_storage().data_ptr())
    try:
        safetensors.torch.save_file(tensors, path)
        path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors would leave it readable by its owner only.
    except SafetensorError as error:  # Raised even if the disk is full.
        raise OSError(str(error)) from error
