"""Several processes that train one model, each on its part of every batch (torch.distributed).

`torchrun --nproc-per-node 8 -m mdtranslate run RECIPE`, or `srun` with a task for each GPU, begins them. Each draws the
same batch and computes its own part of it; gradients and terms are averaged before an optimizer sees them, so weights
stay equal everywhere. The process of rank 0 alone writes, shows and looks.
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

MEET: Final = 300.0
"""Seconds until all have to be there."""

STEP: Final = 3_600.0
"""Seconds that a step waits for the other processes."""


class World:
    """The processes that train together, as one of them sees it. One alone sends nothing."""

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1, local: int = 0) -> None:
        """`local`: its rank among those of its machine."""
        self.device, self.rank, self.size, self.local = device, rank, size, local
        self.caught: list[int] = []
        """Signals that this process has caught."""
        self._ending = False
        self.step_group: Any = None
        """For what is exchanged in a step; None: as for everything else."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    @property
    def ending(self) -> bool:
        """Whether all are to stop after this step, since one of them caught a signal."""
        return self._ending if self.size > 1 else bool(self.caught)

    @property
    def signal(self) -> int:
        """The signal that ends it: SIGTERM where another process caught one."""
        return self.caught[0] if self.caught else int(signal.SIGTERM)

    def part(self, count: int, cuts: int = 1) -> slice:
        """Which pictures of a batch are its own, to be cut into so many parts.

        Raises `RecipeError` where they cannot be shared out evenly.
        """
        if count % (self.size * cuts):
            cut, each = f", {cuts} parts each" if cuts > 1 else "", self.size * cuts
            raise RecipeError(
                f"data.batch_size={count}: {self.size} processes share it{cut}; a multiple of {each} is right"
            )
        own = count // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def share(
        self, parameters: Sequence[nn.Parameter], terms: Mapping[str, Tensor], known: Collection[str]
    ) -> dict[str, Tensor]:
        """Averages gradients, in place, and the terms of losses over all processes; a term that is missing is zero.

        A parameter that no process used keeps no gradient, as in one process with the whole batch. `known`: names of
        terms that all processes know already. Names need not be the same everywhere, nor in one order.
        """
        names, zero = {*known, *terms}, torch.zeros((), device=self.device)
        if self.size == 1:
            return {name: terms.get(name, zero) for name in sorted(names)}
        # On the processor, so that nothing waits for the GPU: what is used, a bank tells only by the labels.
        flags = torch.tensor(
            [*(each.grad is not None for each in parameters), bool(self.caught), len(names) > len(known)],
            dtype=torch.uint8,
        )
        self._wait(lambda: dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.step_group))
        *used, ending, news = flags.tolist()
        self._ending = self._ending or bool(ending)
        if news:
            every: list[Any] = [None] * self.size
            self._wait(lambda: dist.all_gather_object(every, sorted(names), group=self.step_group))
            names = {name for own in every for name in own}
        means = {name: terms.get(name, zero).clone() for name in sorted(names)}
        gradients = []
        for parameter, wanted in zip(parameters, used, strict=True):
            if wanted and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                gradients.append(parameter.grad)
        values = [*gradients, *means.values()]
        if not values:
            return means
        flat = torch.cat([each.reshape(-1) for each in values])
        self._wait(lambda: dist.all_reduce(flat, group=self.step_group))
        flat /= self.size
        for value, mean in zip(values, torch.split(flat, [each.numel() for each in values]), strict=True):
            value.copy_(mean.view_as(value))
        return means

    def gather(self, state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """In process 0 the tensors of each process, by rank, on the CPU; in the others nothing. All have to call it."""
        state = {name: value.detach().cpu() for name, value in state.items()}
        if self.size == 1:
            return [state]
        states: list[Any] | None = [None] * self.size if self.leads else None
        self._wait(lambda: dist.gather_object(state, states, group=self.step_group))
        return states or []

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """A block that one process of each machine goes through before the others: it fills the cache."""
        if self.local:
            self._meet()
        yield
        if not self.local:
            self._meet()

    def _meet(self) -> None:
        """Waits for all before anything is on disk that a signal could leave half-written."""
        if self.size > 1:
            with _mortal():
                self.barrier()

    def same(self, mine: Mapping[str, object]) -> None:
        """Raises `RecipeError` in all of them where something is not the same everywhere."""
        if self.size == 1:
            return
        every: list[Any] = [None] * self.size
        self._wait(lambda: dist.all_gather_object(every, dict(mine)))
        first = every[0]
        for rank, other in enumerate(every):
            for key in sorted(first.keys() | other.keys()):
                if first.get(key) != other.get(key):
                    raise RecipeError(
                        f"{key}: is {other.get(key)} in process {rank} and {first.get(key)} in process 0; "
                        "processes that train together must have the same"
                    )

    def barrier(self) -> None:
        """Waits for all."""
        if self.size > 1:
            self._wait(dist.barrier)

    def _wait(self, collective: Callable[[], object]) -> None:
        try:
            collective()
        except RuntimeError as error:  # Whatever the backend calls it; an error of the device is named, too.
            said = shorten(str(error), 120, placeholder=" ...")
            raise PeerError(f"another process of this training {LOST} ({said})") from None


@contextmanager
def _mortal() -> Iterator[None]:
    """While a process waits in the backend, where no handler of ours is called, signals end it: it holds nothing."""
    before = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def joined(device: str) -> Iterator[World]:
    """This process among those that `torchrun` or `srun` began with it; alone where neither did.

    `device`: as for `--device`; of several processes on a machine each takes a GPU of its own. Raises `RecipeError`.
    """
    placed = _placed(os.environ)
    if placed is None:
        yield World(pick_device(device))
        return
    rank, size, local = placed
    if device in ("auto", "cuda") and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if local >= count > 1:
            raise RecipeError(f"process {local} of this machine has no GPU of its own: there are {count}")
        device = f"cuda:{local if count > 1 else 0}"  # Slurm can show each process its own GPU alone.
    elif device.startswith("cuda:"):
        raise RecipeError(f"device {device}: of several processes each takes its own GPU; cuda is right")
    world = World(pick_device(device), rank, size, local)
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    elif world.device.type != "cpu":
        raise RecipeError(f"device {device}: several processes train on NVIDIA's GPUs or on processors")
    backend = "cpu:gloo,cuda:nccl" if world.device.type == "cuda" else "gloo"
    try:
        with _mortal():
            store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=timedelta(seconds=MEET))))
            # As long as anybody packs: who is gone is found by signs of life.
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(days=7))
            # Who is alive and hangs is not: others would wait for days. A step waits while rank 0 looks and saves.
            world.step_group = dist.new_group(timeout=timedelta(seconds=STEP))
            pulse = Heartbeat(rank, size)
    except (RuntimeError, ValueError) as error:
        said = shorten(str(error), 200, placeholder=" ...")
        raise PeerError(f"process {rank} of {size} did not find the others: {said}") from None
    try:
        yield world
        world.barrier()
    except Stopped:
        world.barrier()  # Until rank 0 has saved.
        raise
    finally:
        pulse.stop()
        dist.destroy_process_group()


def _placed(environment: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Rank, number of processes and rank on this machine; None for one alone.

    `srun` tells them in its own variables, and as much as is needed to meet: the first host of the step. What `sbatch`
    itself runs has no step, and is alone.
    """

    def number(name: str, otherwise: str = "") -> int:
        word = environment.get(name, otherwise)
        if not word.isdecimal():
            raise RecipeError(f"{name}={word}: is no number; torchrun and srun set it, or leave it out to train alone")
        return int(word)

    if "RANK" in environment and "WORLD_SIZE" in environment:
        placed = number("RANK"), number("WORLD_SIZE"), number("LOCAL_RANK", "0")
    elif "SLURM_PROCID" in environment and number("SLURM_STEP_NUM_TASKS", "1") > 1:
        placed = number("SLURM_PROCID"), number("SLURM_STEP_NUM_TASKS"), number("SLURM_LOCALID")
        nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", "localhost"))
        os.environ.setdefault("MASTER_ADDR", first_host(nodes))
        own = 31 * number("SLURM_JOB_ID", "0") + number("SLURM_STEP_ID", "0")  # Steps of a job can share a machine.
        os.environ.setdefault("MASTER_PORT", str(20_000 + own % 20_000))
    else:
        return None
    rank, size, local = placed
    return (rank, size, local) if size > 1 else None


def first_host(nodes: str) -> str:
    """The first of a list of hosts as Slurm writes it: `gpu003` of `gpu[003-008,012],login1`."""
    found = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\](\S*))?", nodes)
    if found is None:
        raise RecipeError(f"SLURM_STEP_NODELIST={nodes}: names no host")
    name, number, rest = found.groups()
    return f"{name}{number or ''}{(rest or '').partition(',')[0]}"
