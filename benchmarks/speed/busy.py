"""Measures how busy the device is during training, what it does, and how near it is to its speed for matrix products.

python benchmarks/speed/busy.py --out busy.json

Batches come from `Batches` over random images. Some dozen cycles (five updates of the discriminator, one of the
generator) run under PyTorch's profiler, which gives the share of time in which any kernel or copy ran, and the kernels
that took most time. Then one large matrix product is timed, and compared with the operations per second of a cycle, as
`torch.utils.flop_counter` counts them. On a CPU, operators stand in for kernels.
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
from step import ATTRIBUTES, CRITIC_STEPS, create_trainer
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from mdtranslate.data.batches import Batches
from mdtranslate.data.prefetch import Prefetcher
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils.device import describe_device, hardware, matmul_precision, pick_device
from mdtranslate.utils.files import write_json

GPU_CATEGORIES = {"kernel", "gpu_memcpy", "gpu_memset"}
"""The profiler's categories of work on a GPU."""
TOP_KERNELS, WARM_UP = 12, 3


def create_batches(trainer: Trainer, num_images: int) -> Batches:
    """Creates the batches of a run over random images with random labels."""
    data, rng, label_encoder = trainer.recipe.data, np.random.default_rng(0), trainer.model.label_encoder
    pixels = rng.integers(0, 256, (num_images, data.cached_size, data.cached_size, 3), np.uint8)
    names = [attribute.name for attribute in ATTRIBUTES["celeba"]]
    rows = rng.integers(0, 2, (num_images, len(names)))
    attributes = (dict(zip(names, map(bool, row), strict=True)) for row in rows)
    labels = torch.stack([label_encoder.encode(values, 0) for values in attributes])
    return Batches([pixels], [labels], label_encoder, data, 0, trainer.device)


def measure_seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Measures how long work takes, including the work that it leaves running on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def union_length(spans: Iterable[tuple[float, float]]) -> float:
    """Returns the length that spans (start, end) cover together."""
    covered, covered_until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, covered_until))
        covered_until = max(covered_until, end)
    return covered


def profile_work(work: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Profiles work: seconds of wall time and of the busy device, launches, and the shares of the slowest kernels."""
    on_gpu = device.type == "cuda"
    # On a GPU, only GPU activity is recorded, because recording the CPU's would slow it down.
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        seconds = measure_seconds(work, device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        trace = json.loads(file.read_text())["traceEvents"]
    categories = GPU_CATEGORIES if on_gpu else {"cpu_op"}
    events = [event for event in trace if event.get("ph") == "X" and event.get("cat") in categories]
    durations = Counter[str]()
    for event in events:
        durations[event["name"]] += event["dur"]
    total = durations.total()
    microseconds = union_length((event["ts"], event["ts"] + event["dur"]) for event in events)
    return {
        "seconds": seconds,
        "busy": microseconds / 1e6,
        "launches": len(events),
        "top": {name: duration / total for name, duration in durations.most_common(TOP_KERNELS)},
    }


def matrix_product_speed(device: torch.device, precision: Any) -> float:
    """Measures the FLOP/s of the product of two large random matrices; a multiply-add counts as two operations."""
    side = 8192 if device.type == "cuda" else 512
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    with matmul_precision(precision):
        for _ in range(WARM_UP):
            a @ b
        seconds = median(measure_seconds(lambda: a @ b, device) for _ in range(10))
    return 2 * side**3 / seconds


def measure(
    size: int, batch_size: int, cycles: int, device: torch.device, precision: str, *overrides: str
) -> dict[str, Any]:
    """Measures one precision.

    Args:
        size: Image size in pixels.
        batch_size: Images per step.
        cycles: Number of cycles that are measured.
        device: Device of the training.
        precision: The precision, as `train.precision`.
        overrides: More overrides of the recipe.

    Returns:
        The figures by name.
    """
    trainer = create_trainer(size, batch_size, device, f"train.precision={precision}", *overrides)
    trainer.say = print
    batches = create_batches(trainer, max(256, 4 * batch_size))
    last = (WARM_UP + 2 * cycles + 1) * CRITIC_STEPS
    source = Prefetcher(batches, last) if device.type == "cuda" else batches  # As in a run.
    step = 0

    def train(cycles: int) -> None:
        nonlocal step
        for _ in range(cycles * CRITIC_STEPS):
            trainer.train_step(step, source(step))
            step += 1

    train(WARM_UP)
    cycle = measure_seconds(lambda: train(cycles), device) / cycles
    profiled = profile_work(lambda: train(cycles), device)
    # Operations of compiled functions cannot be counted, so this trainer has no overrides.
    plain_trainer = create_trainer(size, batch_size, device, f"train.precision={precision}")
    with FlopCounterMode(display=False) as counter:
        for number in range(CRITIC_STEPS):
            plain_trainer.train_step(number, batches(number))
    operations, matrix_speed = counter.get_total_flops(), matrix_product_speed(device, precision)
    return {
        "cycle": cycle,
        "images per second": CRITIC_STEPS * batch_size / cycle,
        "busy": profiled["busy"] / profiled["seconds"],
        "busy, of the time without the profiler": profiled["busy"] / cycles / cycle,
        "launches per cycle": profiled["launches"] / cycles,
        "top": profiled["top"],
        "operations per cycle": operations,
        "matrix product speed": matrix_speed,
        "share of the matrix product speed": operations / cycle / matrix_speed,
    }


def main() -> None:
    """Prints the machine and a paragraph per precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="image size in pixels")
    parser.add_argument("--batch", type=int, default=16, help="images per batch")
    parser.add_argument("--cycles", type=int, default=24)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", help="fp32, tf32, bf16; those of the device if left out")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the recipe")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    device = pick_device(options.device)
    precisions = options.precisions or (["bf16", "tf32", "fp32"] if device.type == "cuda" else ["fp32"])
    print(describe_device(device), hardware(device)["processor"], f"torch {torch.__version__}")
    print(f"{options.size} pixels, batches of {options.batch}, {options.cycles} cycles")
    results: dict[str, Any] = {"machine": hardware(device), "torch": torch.__version__, "precisions": {}}
    for precision in precisions:
        row = measure(options.size, options.batch, options.cycles, device, precision, *options.set)
        results["precisions"][precision] = row
        print(f"\n{precision}: {row['cycle'] * 1e3:.1f} ms per cycle, {row['images per second']:.0f} images/s")
        print(f"  busy {row['busy']:.0%} of the time, in {row['launches per cycle']:.0f} launches per cycle")
        print(
            f"  {row['operations per cycle'] / 1e12:.2f} TFLOP per cycle: "
            f"{row['share of the matrix product speed']:.0%} of the {row['matrix product speed'] / 1e12:.3g} TFLOP/s "
            "of a matrix product"
        )
        for name, share in row["top"].items():
            print(f"  {share:6.1%}  {name[:100]}")
    if options.out:
        results |= {"size": options.size, "batch": options.batch, "cycles": options.cycles}
        write_json(options.out, results)


if __name__ == "__main__":
    main()
