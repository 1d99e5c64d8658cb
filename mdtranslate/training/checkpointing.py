"""Training checkpoints: what they hold, when they are written, and how a run is restored from one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch

from mdtranslate.config.resume_policy import fixed_settings, training_settings
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.errors import CheckpointError, FormatError, NonFiniteError
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils import json_metadata, tensor_dir
from mdtranslate.utils.files import storage_errors

MAX_SKIPPED_AT_END: Final = 10
"""A run whose last updates were skipped, at least so many in a row, fails instead of being saved."""


def should_save(trainer: Trainer, step: int, say: Callable[[str], None]) -> bool:
    """Returns whether to save a checkpoint: at the last step always, otherwise unless the last update was skipped.

    While updates are skipped, older checkpoints are what a run can go back to.

    Args:
        trainer: The trainer.
        step: Number of steps done.
        say: Prints a line for the user.

    Raises:
        NonFiniteError: This is the last step, and many updates up to it were skipped, or all of a network.
    """
    streaks = trainer.statistics.streaks
    skipped = max(streaks.values(), default=0)
    is_last = step == trainer.recipe.train.steps
    never_updated = any(streaks.get(phase.network) == step // phase.interval for phase in trainer.phases)
    if is_last and (skipped >= MAX_SKIPPED_AT_END or never_updated):
        raise NonFiniteError(
            f"non-finite values: the last {skipped} updates were skipped, and nothing is saved at step {step}"
        )
    if skipped and not is_last:
        say(f"warning: nothing is saved at step {step}, since the last {skipped} updates were skipped")
    return is_last or not skipped


def save(run: RunFolder, trainer: Trainer, step: int, data_digests: Mapping[str, str]) -> None:
    """Writes a checkpoint and removes the oldest ones beyond `train.keep_checkpoints`.

    Called by the main process of a distributed run; the others call `send_process_state`.

    A checkpoint is a folder of safetensors files, with hashes: `networks` (generator, discriminator, moving average,
    trainable parameters and buffers of losses), `optimizers`, `sums` (loss terms since the last line of the log), and
    `process-N` (buffers of the other processes). `checkpoint.json` holds the step, the recipe, the precision, digests
    of the data, the length of the log, and the numbers of updates and processes.

    Args:
        run: The run.
        trainer: The trainer.
        step: Number of steps done.
        data_digests: Digest of images and labels by dataset.
    """
    networks: dict[str, torch.Tensor] = {}
    for name, module in _modules(trainer).items():
        networks |= tensor_dir.with_prefix(name, module.state_dict())
    for name, loss in trainer.losses.items():
        frozen = {key for key, param in loss.named_parameters() if not param.requires_grad}
        state = {key: value for key, value in loss.state_dict().items() if key not in frozen}
        networks |= tensor_dir.with_prefix(f"losses.{name}", state)
    optimizers: dict[str, torch.Tensor] = {}
    for phase in trainer.phases:
        optimizers |= tensor_dir.with_prefix(phase.network, tensor_dir.optimizer_state(phase.optimizer))
    if run.log.exists():
        with storage_errors(run.log), run.log.open("rb") as file:
            os.fsync(file.fileno())  # `log_bytes` below relies on these lines.
    metadata = {
        "step": step,
        "recipe": training_settings(trainer.recipe),
        "precision": trainer.precision,
        "data": dict(data_digests),
        "log_bytes": run.log.stat().st_size if run.log.exists() else 0,
        "counts": trainer.statistics.counts,
        "processes": trainer.world.size,
    }
    tensors: dict[str, dict[str, torch.Tensor]] = {
        "networks": networks,
        "optimizers": optimizers,
        "sums": dict(trainer.statistics.sums),
    }
    other_states = trainer.world.gather(_process_state(trainer))[1:]
    tensors |= {f"process-{rank}": state for rank, state in enumerate(other_states, 1)}
    tensor_dir.save(run.checkpoints / f"{step:06d}", "checkpoint", tensors, metadata)
    for old in _steps(run)[: -trainer.recipe.train.keep_checkpoints]:
        shutil.rmtree(run.checkpoints / f"{old:06d}")


def send_process_state(trainer: Trainer) -> None:
    """Sends the buffers of this process to the main process, which calls `save` at the same time."""
    trainer.world.gather(_process_state(trainer))


def restore(
    run: RunFolder,
    trainer: Trainer,
    data_digests: Mapping[str, str],
    say: Callable[[str], None],
    *,
    clean_up: bool = True,
) -> int:
    """Restores a trainer from the newest valid checkpoint of a run.

    Corrupt checkpoints are reported and skipped, which only makes training repeat some steps.

    Args:
        run: The run.
        trainer: The trainer to fill.
        data_digests: Digest of images and labels by dataset.
        say: Prints a line for the user.
        clean_up: Remove what was logged after the checkpoint and set corrupt checkpoints aside; for one process only.

    Returns:
        The number of steps done; 0 if there is no checkpoint yet.

    Raises:
        CheckpointError: No checkpoint is valid, or data or settings differ from those of the run.
        FormatError: Another version of mdtranslate wrote the newest checkpoint.
        RecipeError: The run was saved with a setting that does not exist any more.
    """
    oldest_error = None
    for step in reversed(_steps(run)):
        try:
            tensors, metadata = tensor_dir.load(run.checkpoints / f"{step:06d}", "checkpoint")
        except FormatError:  # Valid, and ahead of the checkpoints that this version could read.
            raise
        except CheckpointError as error:
            oldest_error = error
            has_older = step > min(_steps(run))
            say(f"{error}{'; going back to the checkpoint before it' if has_older else ''}")
            continue
        _check_same_recipe(run, trainer, metadata["recipe"])
        for name, digest in data_digests.items():
            if metadata["data"].get(name) != digest:
                raise CheckpointError(
                    f"{run.path}: the images or labels of dataset {name} are not those that the run was trained on"
                )
        _load_tensors(trainer, tensors, say)
        _load_process_state(trainer, tensors, metadata["processes"], say)
        trainer.statistics.counts = dict(metadata["counts"])
        # In the order of the counts, which is that of the log; safetensors sorts its keys.
        trainer.statistics.sums = {name: tensors["sums"][name].to(trainer.device) for name in trainer.statistics.counts}
        if clean_up:
            run.truncate_log(metadata["log_bytes"], say)
            for other in _steps(run):
                if other > step:  # Corrupt; it would count among the newest when older ones are removed.
                    _set_aside(run.checkpoints / f"{other:06d}")
        return step
    if oldest_error is not None:
        raise CheckpointError(
            f"{run.path}: no checkpoint is valid; the oldest: {oldest_error}; a new run can start from its translator: "
            f"train.init={run.path}"
        )
    if run.translator.exists():  # It is never saved before a checkpoint.
        raise CheckpointError(
            f"{run.checkpoints}: is empty, so the run cannot be resumed; a new run can start from its weights: "
            f"train.init={run.path}"
        )
    if clean_up:
        run.truncate_log(0, say)
    return 0


def saved_precision(run: RunFolder, device: torch.device) -> str | None:
    """Returns the precision of the newest checkpoint that can be read; None if it is not known, or there is none.

    Former versions did not record it, and chose fp32 on all CPUs.
    """
    for step in reversed(_steps(run)):
        with suppress(CheckpointError):  # `restore` reports it.
            metadata = json_metadata.load_metadata(run.checkpoints / f"{step:06d}", "checkpoint")
            precision: str | None = metadata.get("precision", "fp32" if device.type == "cpu" else None)
            return precision
    return None


def saved_step(run: RunFolder) -> int:
    """Returns the step of the newest checkpoint, 0 if there is none."""
    return max(_steps(run), default=0)


def _check_same_recipe(run: RunFolder, trainer: Trainer, saved_recipe: Mapping[str, str]) -> None:
    before, now = run.complete_fixed_settings(saved_recipe), fixed_settings(trainer.recipe)
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            was = before.get(key, "not set")
            raise CheckpointError(f"{run.path}/recipe.toml: {key} was {was} when the run was saved; undo that")


def _set_aside(checkpoint: Path) -> None:
    """Renames a corrupt checkpoint to `NAME.damaged`, or `NAME.damaged-2` and so on."""
    name, number = f"{checkpoint.name}.damaged", 2
    while (checkpoint.parent / name).exists():
        name, number = f"{checkpoint.name}.damaged-{number}", number + 1
    with storage_errors(checkpoint):
        checkpoint.rename(checkpoint.parent / name)


def _modules(trainer: Trainer) -> dict[str, torch.nn.Module]:
    return {**trainer.networks, **({"average": trainer.average} if trainer.average is not None else {})}


def _process_state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Buffers that differ between processes, such as image pools and batch statistics."""
    modules = {**trainer.networks, **{f"losses.{name}": loss for name, loss in trainer.losses.items()}}
    state: dict[str, torch.Tensor] = {}
    for name, module in modules.items():
        saved_keys = module.state_dict()
        state |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers() if key in saved_keys}
    return state


def _load_tensors(
    trainer: Trainer, tensors: Mapping[str, Mapping[str, torch.Tensor]], say: Callable[[str], None]
) -> None:
    networks = tensors["networks"]
    for name, module in _modules(trainer).items():
        tensor_dir.load_weights(module, tensor_dir.without_prefix(name, networks), name)
    for name, loss in trainer.losses.items():
        _load_loss(loss, tensor_dir.without_prefix(f"losses.{name}", networks), f"losses.{name}", say)
    for phase in trainer.phases:
        tensor_dir.load_optimizer(phase.optimizer, tensor_dir.without_prefix(phase.network, tensors["optimizers"]))


def _load_process_state(
    trainer: Trainer,
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    processes: int,
    say: Callable[[str], None],
) -> None:
    """Loads the buffers of this process, if as many processes train as before; otherwise those of the main process."""
    buffers, world = _process_state(trainer), trainer.world
    if not buffers:
        return
    if world.size != processes:
        say(
            f"resuming with {world.size} processes instead of {processes}: all take image pools and batch statistics "
            "from process 0"
        )
    elif world.rank:
        for name, value in tensors[f"process-{world.rank}"].items():
            if name in buffers:
                buffers[name].copy_(value)


def _load_loss(loss: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str, say: Callable[[str], None]) -> None:
    """Loads the state of a loss; buffers that another version of its plugin has or lacks are reported."""
    current = loss.state_dict()
    frozen = {key for key, param in loss.named_parameters() if not param.requires_grad}  # Never saved.
    missing = sorted({key for key, _ in loss.named_buffers() if key in current} - state.keys())
    unknown = sorted(state.keys() - current.keys())
    for keys, what in ((missing, "not in the checkpoint; initialised"), (unknown, "not used by this version; ignored")):
        if keys:
            say(f"{name}: {', '.join(keys)}: {what}")
    known = {key: value for key, value in state.items() if key in current}
    tensor_dir.load_weights(loss, {**{key: current[key] for key in (*frozen, *missing)}, **known}, name)


def _steps(run: RunFolder) -> list[int]:
    """Returns the steps that have a checkpoint, in ascending order."""
    if not run.checkpoints.is_dir():
        return []
    return sorted(int(entry.name) for entry in run.checkpoints.iterdir() if entry.name.isdecimal() and entry.is_dir())
