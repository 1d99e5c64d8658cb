"""Distributed training: several processes train one model, each on its slice of every batch (torch.distributed).

Start them with `torchrun --nproc-per-node 8 -m mdtranslate run RECIPE`, or with `srun` and one task per GPU. Every
process draws the same batch and computes its slice; gradients and loss terms are averaged before the optimizer step, so
weights stay equal everywhere. Only the main process, rank 0, writes, prints and validates.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from textwrap import shorten
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import rendezvous  # type: ignore[attr-defined]

from mdtranslate.errors import PeerError, RecipeError, Stopped
from mdtranslate.training.heartbeat import LOST, Heartbeat
from mdtranslate.utils.device import pick_device

RENDEZVOUS_TIMEOUT: Final = 300.0
"""Seconds until all processes must have started."""

STEP_TIMEOUT: Final = 3_600.0
"""Seconds that a step waits for the other processes."""


class World:
    """The processes that train together, as seen from one of them. A single process exchanges nothing.

    Attributes:
        device: The device of this process.
        rank: The number of this process.
        size: The number of processes.
        local_rank: The number of this process on its machine.
        received_signals: Signals that this process has received.
        step_group: Process group for exchanges within a step; None for the default group.
    """

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1, local_rank: int = 0) -> None:
        self.device, self.rank, self.size, self.local_rank = device, rank, size, local_rank
        self.received_signals: list[int] = []
        self.step_group: Any = None
        self._any_received_signal = False

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes, prints and validates."""
        return self.rank == 0

    @property
    def should_stop(self) -> bool:
        """Whether all processes must stop after this step, because one of them received a signal."""
        return self._any_received_signal if self.size > 1 else bool(self.received_signals)

    @property
    def signal(self) -> int:
        """The signal that ends this process; SIGTERM if another process received one."""
        return self.received_signals[0] if self.received_signals else int(signal.SIGTERM)

    def batch_slice(self, batch_size: int, micro_batches: int = 1) -> slice:
        """Returns the slice of every batch that this process computes.

        Args:
            batch_size: Number of samples in a batch.
            micro_batches: Number of micro-batches that the slice will be split into.

        Raises:
            RecipeError: The batch cannot be split evenly.
        """
        if batch_size % (self.size * micro_batches):
            split = f" of {micro_batches} micro-batches each" if micro_batches > 1 else ""
            multiple = self.size * micro_batches
            raise RecipeError(
                f"data.batch_size={batch_size}: not divisible among {self.size} processes{split}; use a multiple of "
                f"{multiple}"
            )
        size = batch_size // self.size
        return slice(self.rank * size, (self.rank + 1) * size)

    def all_reduce_mean(
        self, parameters: Sequence[nn.Parameter], terms: Mapping[str, Tensor], known_names: Collection[str]
    ) -> dict[str, Tensor]:
        """Averages gradients (in place) and loss terms over all processes; a missing term counts as zero.

        A parameter that no process used keeps no gradient, as in one process with the whole batch. Names of terms need
        not be the same in all processes, nor in the same order.

        Args:
            parameters: The parameters of the update, in the same order everywhere.
            terms: Scalar loss terms of this process by name.
            known_names: Names of terms that all processes know already.

        Returns:
            The averaged terms by name, sorted.
        """
        names, zero = {*known_names, *terms}, torch.zeros((), device=self.device)
        if self.size == 1:
            return {name: terms.get(name, zero) for name in sorted(names)}

        # Which parameters have gradients anywhere, whether anyone received a signal, and whether anyone has new names.
        # On the CPU, so that nothing waits for the GPU.
        flags = torch.tensor(
            [
                *(param.grad is not None for param in parameters),
                bool(self.received_signals),
                len(names) > len(known_names),
            ],
            dtype=torch.uint8,
        )
        self._run_collective(lambda: dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.step_group))
        *is_used, any_signal, any_new_names = flags.tolist()
        self._any_received_signal |= bool(any_signal)
        if any_new_names:
            names_by_rank: list[Any] = [None] * self.size
            self._run_collective(lambda: dist.all_gather_object(names_by_rank, sorted(names), group=self.step_group))
            names = {name for rank_names in names_by_rank for name in rank_names}

        # One flat all-reduce of all gradients and terms.
        means = {name: terms.get(name, zero).clone() for name in sorted(names)}
        gradients = []
        for param, used in zip(parameters, is_used, strict=True):
            if used and param.grad is None:
                param.grad = torch.zeros_like(param)
            if param.grad is not None:
                gradients.append(param.grad)
        tensors = [*gradients, *means.values()]
        if not tensors:
            return means
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._run_collective(lambda: dist.all_reduce(flat, group=self.step_group))
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))
        return means

    def gather(self, state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Gathers the tensors of all processes, on the CPU. Must be called in all of them.

        Returns:
            In the main process the tensors of each process by rank; in the others an empty list.
        """
        state = {name: value.detach().cpu() for name, value in state.items()}
        if self.size == 1:
            return [state]
        states: list[Any] | None = [None] * self.size if self.is_main_process else None
        self._run_collective(lambda: dist.gather_object(state, states, group=self.step_group))
        return states or []

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """A block that one process of each machine runs before the others, such as filling the cache."""
        if self.local_rank:
            self._interruptible_barrier()
        yield
        if not self.local_rank:
            self._interruptible_barrier()

    def assert_same(self, values: Mapping[str, object]) -> None:
        """Raises `RecipeError` in all processes if a value differs between them."""
        if self.size == 1:
            return
        values_by_rank: list[Any] = [None] * self.size
        self._run_collective(lambda: dist.all_gather_object(values_by_rank, dict(values)))
        main = values_by_rank[0]
        for rank, other in enumerate(values_by_rank):
            for key in sorted(main.keys() | other.keys()):
                if main.get(key) != other.get(key):
                    raise RecipeError(
                        f"{key}: is {other.get(key)} in process {rank} and {main.get(key)} in process 0; "
                        "processes that train together must have the same"
                    )

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            self._run_collective(dist.barrier)

    def _interruptible_barrier(self) -> None:
        """Waits for all processes before anything is on disk that a signal could leave half-written."""
        if self.size > 1:
            with _default_signals():
                self.barrier()

    def _run_collective(self, collective: Callable[[], object]) -> None:
        try:
            collective()
        except RuntimeError as error:  # Backends raise nothing more specific; errors of the device are quoted, too.
            reason = shorten(str(error), 120, placeholder=" ...")
            raise PeerError(f"another process of this run {LOST} ({reason})") from None


@contextmanager
def _default_signals() -> Iterator[None]:
    """Restores default signal handlers while blocked in a collective, where Python handlers cannot run."""
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Joins the processes that `torchrun` or `srun` started; without them the process is alone.

    Args:
        device: As for `--device`; several processes on a machine take one GPU each.

    Raises:
        RecipeError: The device does not suit several processes, or an environment variable is wrong.
        PeerError: The other processes were not found.
    """
    placement = _placement(os.environ)
    if placement is None:
        yield World(pick_device(device))
        return
    rank, size, local_rank = placement
    if device in ("auto", "cuda") and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if local_rank >= count > 1:
            raise RecipeError(f"process {local_rank} of this machine has no GPU: there are {count}")
        device = f"cuda:{local_rank if count > 1 else 0}"  # Slurm may show each process its own GPU only.
    elif device.startswith("cuda:"):
        raise RecipeError(f"device {device}: several processes take one GPU each; use --device cuda")
    world = World(pick_device(device), rank, size, local_rank)
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    elif world.device.type != "cpu":
        raise RecipeError(f"device {device}: distributed training needs NVIDIA GPUs or CPUs")
    backend = "cpu:gloo,cuda:nccl" if world.device.type == "cuda" else "gloo"
    try:
        with _default_signals():
            store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=timedelta(seconds=RENDEZVOUS_TIMEOUT))))
            # Filling the cache can take days; lost processes are detected by heartbeats.
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(days=7))
            # A process that is alive but hangs has heartbeats, so steps need a time-out of their own. It covers the
            # validation and saving of the main process.
            world.step_group = dist.new_group(timeout=timedelta(seconds=STEP_TIMEOUT))
            heartbeat = Heartbeat(rank, size)
    except (RuntimeError, ValueError) as error:
        reason = shorten(str(error), 200, placeholder=" ...")
        raise PeerError(f"process {rank} of {size} did not find the others: {reason}") from None
    try:
        yield world
        world.barrier()
    except Stopped:
        world.barrier()  # Until the main process has saved.
        raise
    finally:
        heartbeat.stop()
        dist.destroy_process_group()


def _placement(environment: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Returns rank, number of processes and local rank; None for a single process.

    For `srun`, the address to meet at is the first host of the job step. A script that `sbatch` runs directly belongs
    to no job step and is alone.
    """

    def number(name: str, default: str = "") -> int:
        text = environment.get(name, default)
        if not text.isdecimal():
            raise RecipeError(f"{name}={text}: is not a number; torchrun and srun set it; unset it to train alone")
        return int(text)

    if "RANK" in environment and "WORLD_SIZE" in environment:
        placement = number("RANK"), number("WORLD_SIZE"), number("LOCAL_RANK", "0")
    elif "SLURM_PROCID" in environment and number("SLURM_STEP_NUM_TASKS", "1") > 1:
        placement = number("SLURM_PROCID"), number("SLURM_STEP_NUM_TASKS"), number("SLURM_LOCALID")
        nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", "localhost"))
        os.environ.setdefault("MASTER_ADDR", first_host(nodes))
        # Job steps can share a machine, so the port depends on job and step.
        offset = 31 * number("SLURM_JOB_ID", "0") + number("SLURM_STEP_ID", "0")
        os.environ.setdefault("MASTER_PORT", str(20_000 + offset % 20_000))
    else:
        return None
    rank, size, local_rank = placement
    return (rank, size, local_rank) if size > 1 else None


def first_host(nodes: str) -> str:
    """Returns the first host of a Slurm host list, such as `gpu003` of `gpu[003-008,012],login1`."""
    match = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\](\S*))?", nodes)
    if match is None:
        raise RecipeError(f"SLURM_STEP_NODELIST={nodes}: names no host")
    name, number, rest = match.groups()
    return f"{name}{number or ''}{(rest or '').partition(',')[0]}"
