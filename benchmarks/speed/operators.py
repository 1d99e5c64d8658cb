"""Measures which operators a training step on a CPU spends its time in, and how near each is to the processor's peak.

OMP_NUM_THREADS=1 python benchmarks/speed/operators.py [--recipe stargan]

Without `--recipe`, a cycle of the published networks is measured (five updates of the discriminator, one of the
generator), otherwise five steps of a recipe. Times are CPU times of this thread, because others may use the machine,
too: so use one thread. The peak is the fastest product of two 512 x 512 matrices, which fit in the cache. A
multiply-add counts as two operations, as `torch.utils.flop_counter` counts them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from step import create_cycles
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mdtranslate.config.recipe_loader import resolve
from mdtranslate.training.distributed import World
from mdtranslate.training.job import TrainingJob
from mdtranslate.utils.console import ProgressDisplay
from mdtranslate.utils.device import describe_device, hardware, pick_device

STEPS, ROUNDS, SIDE = 5, 3, 512


class OperatorTimes(TorchDispatchMode):
    """Adds up seconds, operations and calls of each operator, forward and backward, by name and input shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator."""
        kwargs, packet = kwargs or {}, func._overloadpacket
        start = time.thread_time()
        output, seconds = func(*args, **kwargs), time.thread_time() - start
        count = flop_registry.get(packet, lambda *_, **__: 0)
        shapes = " ".join("x".join(map(str, arg.shape)) for arg in args if isinstance(arg, Tensor))
        row = self.totals[packet.__name__, shapes]
        for index, amount in enumerate((seconds, count(*args, **kwargs, out_val=output), 1)):
            row[index] += amount
        return output

    def by_name(self) -> dict[tuple[str, ...], list[float]]:
        """Returns the sums by name only."""
        sums: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for (name, _), row in self.totals.items():
            sums[name,] = [one + other for one, other in zip(sums[name,], row, strict=True)]
        return sums


def measure_seconds(work: Callable[[], Any]) -> float:
    """Measures the CPU time of work in this thread."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def create_steps(recipe: str, overrides: list[str]) -> Callable[[], None]:
    """Returns a function that trains the first steps of a recipe, which needs its data."""
    with ProgressDisplay(quiet=True) as watch:
        job = TrainingJob(resolve(recipe, overrides), World(pick_device("cpu")), watch)
        source = job.loader.batches(job.device, job.augment, job.batch_slice)
    batches = [source(step) for step in range(STEPS)]

    def train() -> None:
        for step, batch in enumerate(batches):
            job.trainer.train_step(step, batch)

    return train


def print_rows(rows: Mapping[Any, list[float]], total: float, peak: float, count: int) -> None:
    """Prints the operators that took most time, with their share of it and of the peak."""
    for key, (seconds, operations, calls) in sorted(rows.items(), key=lambda item: -item[1][0])[:count]:
        speed = f"{operations / seconds / 1e9:6.1f} GFLOP/s {operations / seconds / peak:5.0%}" if operations else ""
        print(f"  {seconds / total:6.1%}  {seconds:7.3f} s  {calls:5.0f} calls  {speed:20}  {' '.join(key)}")


def main() -> None:
    """Prints the machine, the peak and two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", help="recipe whose steps are profiled; the published networks if left out")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the recipe")
    parser.add_argument("--size", type=int, default=64, help="image size of the published networks in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images per batch of the published networks")
    parser.add_argument("--precision", default="fp32", help="fp32 or bf16")
    options = parser.parse_args()
    settings, device = [f"train.precision={options.precision}", *options.set], pick_device("cpu")
    print(describe_device(device), hardware(device)["processor"], f"torch {torch.__version__}, {options.precision}")
    if options.recipe is None:
        work = create_cycles(options.size, options.batch, device, None, {"measured": settings})["measured"]
    else:
        work = create_steps(options.recipe, settings)
    work()
    seconds = median(measure_seconds(work) for _ in range(ROUNDS))
    with OperatorTimes() as times:
        work()
    matrix = torch.randn(SIDE, SIDE).to(torch.bfloat16 if options.precision == "bf16" else torch.float32)
    peak = 2 * SIDE**3 / min(measure_seconds(lambda: matrix @ matrix) for _ in range(30))
    total, operations, _ = (sum(column) for column in zip(*times.totals.values(), strict=True))
    speed = operations / seconds
    print(f"{seconds:.2f} s of CPU time, {operations / 1e9:.0f} GFLOP")
    print(f"{speed / 1e9:.1f} GFLOP/s, {speed / peak:.0%} of the peak of {peak / 1e9:.1f} GFLOP/s")
    for rows, count in ((times.by_name(), 14), (times.totals, 28)):
        print_rows(rows, total, peak, count)


if __name__ == "__main__":
    main()
