"""Saves, verifies and loads tensors with what belongs to them; nothing else knows the files.

A saved folder holds safetensors files and one JSON file with the hash of each. safetensors has no checksum of its own,
and a flipped bit would load in silence. No pickle is ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from mdtranslate.errors import CheckpointError, FormatError, StorageError
from mdtranslate.utils.files import new_folder, sha256, write_json

FORMAT = 1


def save(folder: Path, name: str, tensors: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
    """Writes `folder` whole or not at all: a safetensors file per entry of `tensors`, and `facts` as `name`.json."""
    with new_folder(folder) as side:
        for each, state in tensors.items():
            _write(state, side / f"{each}.safetensors")
        files = {file.name: sha256(file) for file in sorted(side.iterdir())}
        save_facts(side, name, {**facts, "files": files})


def load(folder: Path, name: str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `save` wrote.

    Raises `CheckpointError` that names the file where anything is missing or changed, `StorageError` where the disk
    does not give it.
    """
    facts = load_facts(folder, name)
    if not isinstance(facts.get("files"), dict):
        raise CheckpointError(f"{folder / name}.json: names no files of weights")
    tensors = {}
    for file, expected in facts["files"].items():
        path = folder / Path(file).name
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != expected:
                raise CheckpointError(f"{path}: is damaged: its content is not what was saved")
            tensors[path.stem] = safetensors.torch.load(content)
        except (FileNotFoundError, SafetensorError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from None
        except OSError as error:  # The disk's fault: the file may be sound.
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    return tensors, facts


def save_facts(folder: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Writes what `load_facts` reads."""
    body = {"format": FORMAT, **facts}
    write_json(folder / f"{name}.json", {**body, "digest": _digest(body)})


def load_facts(folder: Path, name: str) -> dict[str, Any]:
    """The JSON of a saved folder, verified. Raises as `load` does, and `FormatError` for another version's."""
    path = folder / f"{name}.json"
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # RecursionError: of a file that is made to be nested so deeply.
        raise CheckpointError(f"{path}: is damaged: {error}") from None
    body = {key: value for key, value in facts.items() if key != "digest"} if isinstance(facts, dict) else {}
    saved_format = body.get("format")
    if isinstance(saved_format, int) and saved_format > FORMAT:  # Its digest may be made otherwise.
        raise FormatError(
            f"{path}: has format {saved_format}, of a later version of mdtranslate; this one reads {FORMAT}: "
            "pip install -U mdtranslate"
        )
    if not body or facts.get("digest") != _digest(body):
        raise CheckpointError(f"{path}: is damaged: its content is not what was saved")
    if saved_format != FORMAT:
        raise FormatError(f"{path}: has format {saved_format}; this version of mdtranslate reads {FORMAT}")
    return body


def fill(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Loads weights into a network. Raises `CheckpointError` that names the first that does not fit."""
    own = module.state_dict()
    for key in own.keys() | state.keys():
        if key not in state or key not in own:
            raise CheckpointError(f"{what}: weight {key} is {'missing' if key in own else 'not of this network'}")
        if state[key].shape != own[key].shape:
            raise CheckpointError(f"{what}: weight {key} is {list(state[key].shape)}, not {list(own[key].shape)}")
    module.load_state_dict(dict(state))


def fill_fitting(
    module: nn.Module, state: Mapping[str, Tensor], what: str, but: Collection[str] = frozenset()
) -> list[str]:
    """Loads what has the name and the shape of a weight of the network, except those named in `but`.

    Gives the names of the weights that stay as they are.

    Raises `CheckpointError` where nothing fits.
    """
    own = module.state_dict()
    fitting = {
        key: value for key, value in state.items() if key in own and value.shape == own[key].shape and key not in but
    }
    if not fitting:
        raise CheckpointError(f"{what}: none of its weights fits")
    module.load_state_dict({**own, **fitting})
    return [key for key in own if key not in fitting]


def gather(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with `prefix.` before its keys."""
    return {f"{prefix}.{key}": value for key, value in state.items()}


def part(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries below `prefix.`, without it."""
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f"{prefix}.")}


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimizer's averages as flat tensors, by the position of their parameter."""
    entries = optimizer.state_dict()["state"].items()
    return {f"{number}.{key}": torch.as_tensor(value) for number, entry in entries for key, value in entry.items()}


def fill_optimizer(optimizer: Optimizer, state: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_state`."""
    entries: dict[int, dict[str, Tensor]] = {}
    parameters = optimizer.param_groups[0]["params"]
    for key, value in state.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # In memory as the parameter (channels last): the fused step reads both in the order of their memory.
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        entries.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


def _write(state: Mapping[str, Tensor], path: Path) -> None:
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, value in state.items():
        plain[key] = value.detach().cpu().contiguous()
        if plain[key].untyped_storage().data_ptr() in seen:
            plain[key] = plain[key].clone()  # Parts that share weights; the format takes each tensor by itself.
        seen.add(plain[key].untyped_storage().data_ptr())
    try:
        safetensors.torch.save_file(plain, path)
        path.chmod(path.parent.stat().st_mode & 0o666)  # It would be its owner's alone, unlike every other file.
    except SafetensorError as error:  # Not an OSError, also where the disk is full.
        raise OSError(str(error)) from error


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
