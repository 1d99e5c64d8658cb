"""The whole state of a trainer in the checkpoints of a run, and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch

from mdtranslate.config.resume_policy import fixed, trained_with
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.errors import CheckpointError, FormatError, NonFiniteError
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.files import disk

MANY: Final = 10
"""Updates in a row, up to the last one, whose skipping fails a run."""


def worth_saving(trainer: Trainer, step: int, say: Callable[[str], None]) -> bool:
    """Whether the last update was made: while they are skipped, older checkpoints are what a run can go back to.

    Raises `NonFiniteError` where many were skipped up to the last step: such a run has not trained.
    """
    skipped = max(trainer.statistics.streaks.values(), default=0)
    last = step == trainer.recipe.train.steps
    if last and skipped >= MANY:
        raise NonFiniteError(
            f"non-finite values: the last {skipped} updates were skipped, and nothing is saved at step {step}"
        )
    if skipped and not last:
        say(f"warning: nothing is saved at step {step}, since the last {skipped} updates were skipped")
    return last or not skipped


def save(run: RunFolder, trainer: Trainer, step: int, identity: Mapping[str, str]) -> None:
    """Writes the checkpoint of `step` and removes the oldest beyond `train.keep`.

    For process 0, of several that train together; the others call `save_along`.
    """
    networks: dict[str, torch.Tensor] = {}
    for name, module in _modules(trainer).items():
        networks |= tensor_dir.gather(name, module.state_dict())
    for name, loss in trainer.losses.items():
        frozen = {key for key, each in loss.named_parameters() if not each.requires_grad}
        kept = {key: value for key, value in loss.state_dict().items() if key not in frozen}
        networks |= tensor_dir.gather(f"losses.{name}", kept)
    optimizers: dict[str, torch.Tensor] = {}
    for role, optimizer in trainer.optimizers.items():
        optimizers |= tensor_dir.gather(role, tensor_dir.optimizer_state(optimizer))
    if run.log.exists():
        with disk(run.log), run.log.open("rb") as file:
            os.fsync(file.fileno())  # The checkpoint counts on these lines.
    facts = {
        "step": step,
        "recipe": trained_with(trainer.recipe),
        "data": dict(identity),
        "log_bytes": run.log.stat().st_size if run.log.exists() else 0,
        "counts": trainer.statistics.counts,
        "processes": trainer.world.size,
    }
    tensors: dict[str, dict[str, torch.Tensor]] = {
        "networks": networks,
        "optimizers": optimizers,
        "sums": dict(trainer.statistics.sums),
    }
    others = trainer.world.gather(_process_state(trainer))[1:]
    tensors |= {f"process-{rank}": state for rank, state in enumerate(others, 1)}
    tensor_dir.save(run.checkpoints / f"{step:06d}", "checkpoint", tensors, facts)
    for old in _steps(run)[: -trainer.recipe.train.keep]:
        shutil.rmtree(run.checkpoints / f"{old:06d}")


def save_along(trainer: Trainer) -> None:
    """Gives process 0, which saves, what this process has of its own."""
    trainer.world.gather(_process_state(trainer))


def restore(
    run: RunFolder, trainer: Trainer, identity: Mapping[str, str], say: Callable[[str], None], *, tidy: bool = True
) -> int:
    """Puts a trainer into the newest sound checkpoint of a run; the step to go on from, 0 where there is none.

    `tidy`: takes back what was logged after it, and sets damaged checkpoints aside, which is for one process to do.

    A damaged checkpoint is named and the one before it taken: what follows is the same, only later. Raises
    `CheckpointError` where none is sound, or where the data is not what the run was trained on, and `FormatError` where
    another version of mdtranslate wrote the newest.
    """
    trouble = None
    for step in reversed(_steps(run)):
        try:
            tensors, facts = tensor_dir.load(run.checkpoints / f"{step:06d}", "checkpoint")
        except FormatError:  # It is sound, and newer than what the checkpoints before it hold.
            raise
        except CheckpointError as error:
            trouble = error
            older = step > min(_steps(run))
            say(f"{error}{'; going back to the checkpoint before it' if older else ''}")
            continue
        before, now = run.with_defaults(facts["recipe"]), fixed(trainer.recipe)
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                was = before.get(key, "not set")
                raise CheckpointError(f"{run.path}/recipe.toml: {key} was {was} when the run was saved; undo that")
        for name, own in identity.items():
            if facts["data"].get(name) != own:
                raise CheckpointError(
                    f"{run.path}: the pictures or labels of dataset {name} are not those that the run was trained on"
                )
        _fill(trainer, tensors, say)
        _fill_process_state(trainer, tensors, facts.get("processes"), say)
        statistics = trainer.statistics
        statistics.counts = dict(facts["counts"])
        # In the order of the counts, which is the log's; safetensors sorts its keys.
        statistics.sums = {name: tensors["sums"][name].to(trainer.device) for name in statistics.counts}
        if tidy:
            run.cut_log(facts["log_bytes"], say)
        for damaged in _steps(run) if tidy else ():
            if damaged > step:  # They would count among the newest when older ones are removed.
                _set_aside(run.checkpoints / f"{damaged:06d}")
        return step
    if trouble is not None:
        raise CheckpointError(
            f"{run.path}: no checkpoint is sound; the oldest: {trouble}; a new run can start from its translator: "
            f"train.init={run.path}"
        )
    if run.translator.exists():  # It is never saved before a checkpoint.
        raise CheckpointError(
            f"{run.checkpoints}: is empty, so the run cannot go on; a new one can start from its weights "
            f"(train.init={run.path})"
        )
    if tidy:
        run.cut_log(0, say)
    return 0


def _set_aside(damaged: Path) -> None:
    """Renames a folder to `NAME.damaged`, with a number where there is one already."""
    name, number = f"{damaged.name}.damaged", 2
    while (damaged.parent / name).exists():
        name, number = f"{damaged.name}.damaged-{number}", number + 1
    with disk(damaged):
        damaged.rename(damaged.parent / name)


def _modules(trainer: Trainer) -> dict[str, torch.nn.Module]:
    """The networks, and the average where there is one."""
    return {**trainer.networks, **({"average": trainer.average} if trainer.average is not None else {})}


def _process_state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """What each process has of its own: the buffers that are kept, such as image pools and batch statistics."""
    modules = {**trainer.networks, **{f"losses.{name}": loss for name, loss in trainer.losses.items()}}
    state: dict[str, torch.Tensor] = {}
    for name, module in modules.items():
        kept = module.state_dict()
        state |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers() if key in kept}
    return state


def _fill_process_state(
    trainer: Trainer,
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    processes: int | None,
    say: Callable[[str], None],
) -> None:
    """The state of this process, where as many train together as did before; else it stays that of process 0."""
    own, world = _process_state(trainer), trainer.world
    if processes is None:  # Of an earlier version, which kept the state of process 0 alone.
        return
    if not own:
        return
    if world.size != processes:
        say(
            f"{processes} processes trained this, and now it is {world.size}: image pools and batch statistics are "
            "those of process 0"
        )
    elif world.rank:
        for name, value in tensors[f"process-{world.rank}"].items():
            if name in own:
                own[name].copy_(value)


def _fill(trainer: Trainer, tensors: Mapping[str, Mapping[str, torch.Tensor]], say: Callable[[str], None]) -> None:
    networks = tensors["networks"]
    for name, module in _modules(trainer).items():
        tensor_dir.fill(module, tensor_dir.part(name, networks), name)
    for name, loss in trainer.losses.items():
        _fill_loss(loss, tensor_dir.part(f"losses.{name}", networks), f"losses.{name}", say)
    for role, optimizer in trainer.optimizers.items():
        tensor_dir.fill_optimizer(optimizer, tensor_dir.part(role, tensors["optimizers"]))


def _fill_loss(loss: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str, say: Callable[[str], None]) -> None:
    """Loads what was saved of a loss. Another version of its plugin may have other buffers, which is said."""
    own = loss.state_dict()
    frozen = {key for key, each in loss.named_parameters() if not each.requires_grad}  # Never saved.
    anew = sorted({key for key, _ in loss.named_buffers() if key in own} - state.keys())
    unknown = sorted(state.keys() - own.keys())
    for keys, what in ((anew, "not in the checkpoint; initialised"), (unknown, "not used by this version; ignored")):
        if keys:
            say(f"{name}: {', '.join(keys)}: {what}")
    known = {key: value for key, value in state.items() if key in own}
    tensor_dir.fill(loss, {**{key: own[key] for key in (*frozen, *anew)}, **known}, name)


def saved_step(run: RunFolder) -> int:
    """The newest step that has a checkpoint; 0 where none has."""
    return max(_steps(run), default=0)


def _steps(run: RunFolder) -> list[int]:
    """The steps that have a checkpoint, oldest first."""
    if not run.checkpoints.is_dir():
        return []
    return sorted(int(each.name) for each in run.checkpoints.iterdir() if each.name.isdecimal() and each.is_dir())
