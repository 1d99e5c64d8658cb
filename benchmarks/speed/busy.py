"""How busy the device is while the real loop trains, what it does, and how near that is to its rate for matrices.

python benchmarks/speed/busy.py --out busy.json

Batches come from `Batches` over pictures made here. Of some dozen cycles (five updates of the discriminator, one of the
generator) under torch's profiler: the time in which any kernel or copy ran, as a share of the time that passed; and the
kernels that took most of it. Then the rate of one large matrix product, and the share of it that a cycle reaches by the
operations that `torch.utils.flop_counter` counts. On a processor its operators stand in for kernels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from step import ATTRIBUTES, CRITIC, ours
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from mdtranslate.data.batches import Batches
from mdtranslate.data.prefetch import Ahead
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils.device import arithmetic, describe, hardware, pick_device
from mdtranslate.utils.files import write_json

ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}
"""What the profiler calls that which runs on a GPU."""
TOP, WARM = 12, 3


def feed(trainer: Trainer, pictures: int) -> Batches:
    """The batches of a run over pictures of noise with labels at random."""
    data, draw, encoder = trainer.recipe.data, np.random.default_rng(0), trainer.model.encoder
    pixels = draw.integers(0, 256, (pictures, data.cached_size, data.cached_size, 3), np.uint8)
    names = [each.name for each in ATTRIBUTES["celeba"]]
    known = (dict(zip(names, map(bool, row), strict=True)) for row in draw.integers(0, 2, (pictures, len(names))))
    labels = torch.stack([encoder.encode(each, 0) for each in known])
    return Batches([pixels], [labels], encoder, data, 0, trainer.device)


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """How long it takes until the device is done with it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def union(spans: Iterable[tuple[float, float]]) -> float:
    """The length that spans (start, end) cover together."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def profiled(work: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """What ran on the device: seconds in all, those that passed, and those of the kernels that took most."""
    on_gpu = device.type == "cuda"
    # On a GPU its own work alone is recorded: to record the processor's would slow that down.
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as recorded:
        passed = seconds(work, device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    wanted = ON_DEVICE if on_gpu else {"cpu_op"}
    ran = [each for each in events if each.get("ph") == "X" and each.get("cat") in wanted]
    by_name = Counter[str]()
    for each in ran:
        by_name[each["name"]] += each["dur"]
    total = by_name.total()
    return {
        "passed": passed,
        "busy": union((each["ts"], each["ts"] + each["dur"]) for each in ran) / 1e6,  # Microseconds.
        "launches": len(ran),
        "top": {name: took / total for name, took in by_name.most_common(TOP)},
    }


def matrix_rate(device: torch.device, precision: Any) -> float:
    """FLOP/s of the product of two large square matrices of noise; 1 multiply-add is 2."""
    side = 8192 if device.type == "cuda" else 512
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    with arithmetic(precision):
        for _ in range(WARM):
            one @ other
        took = median(seconds(lambda: one @ other, device) for _ in range(10))
    return 2 * side**3 / took


def measure(size: int, batch: int, cycles: int, device: torch.device, precision: str, *settings: str) -> dict[str, Any]:
    """The figures of one precision."""
    trainer = ours(size, batch, device, f"train.precision={precision}", *settings)
    trainer.say = print
    own = feed(trainer, max(256, 4 * batch))
    batches = Ahead(own, (WARM + 2 * cycles + 1) * CRITIC) if device.type == "cuda" else own  # As a run has it.
    step = 0

    def train(cycles: int) -> None:
        nonlocal step
        for _ in range(cycles * CRITIC):
            trainer.step(step, batches(step))
            step += 1

    train(WARM)
    cycle = seconds(lambda: train(cycles), device) / cycles
    found = profiled(lambda: train(cycles), device)
    plain = ours(size, batch, device, f"train.precision={precision}")  # Compiled functions cannot be looked into.
    with FlopCounterMode(display=False) as counted:
        for number in range(CRITIC):
            plain.step(number, own(number))
    operations, rate = counted.get_total_flops(), matrix_rate(device, precision)
    return {
        "cycle": cycle,
        "pictures per second": CRITIC * batch / cycle,
        "busy": found["busy"] / found["passed"],
        "busy, of the time without the profiler": found["busy"] / cycles / cycle,
        "launches per cycle": found["launches"] / cycles,
        "top": found["top"],
        "operations per cycle": operations,
        "matrix rate": rate,
        "share of the matrix rate": operations / cycle / rate,
    }


def main() -> None:
    """Prints the machine and a paragraph per precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the pictures, in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--cycles", type=int, default=24)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", help="fp32, tf32, bf16; those of the device if left out")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    device = pick_device(given.device)
    precisions = given.precisions or (["bf16", "tf32", "fp32"] if device.type == "cuda" else ["fp32"])
    print(describe(device), hardware(device)["processor"], f"torch {torch.__version__}")
    print(f"{given.size} pixels, batches of {given.batch}, {given.cycles} cycles")
    found: dict[str, Any] = {"machine": hardware(device), "torch": torch.__version__, "precisions": {}}
    for precision in precisions:
        row = measure(given.size, given.batch, given.cycles, device, precision, *given.set)
        found["precisions"][precision] = row
        print(f"\n{precision}: {row['cycle'] * 1e3:.1f} ms a cycle, {row['pictures per second']:.0f} pictures/s")
        print(f"  busy {row['busy']:.0%} of the time, in {row['launches per cycle']:.0f} launches a cycle")
        print(
            f"  {row['operations per cycle'] / 1e12:.2f} TFLOP a cycle: {row['share of the matrix rate']:.0%} of the "
            f"{row['matrix rate'] / 1e12:.3g} TFLOP/s of a matrix product"
        )
        for name, share in row["top"].items():
            print(f"  {share:6.1%}  {name[:100]}")
    if given.out:
        write_json(given.out, found | {"size": given.size, "batch": given.batch, "cycles": given.cycles})


if __name__ == "__main__":
    main()
