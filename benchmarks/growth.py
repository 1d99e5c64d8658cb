"""Measures whether the cost per image depends on the size of the dataset, from a thousand to a million records.

python benchmarks/growth.py --out growth.json

Datasets of each size are created: CelebA's lists, and a table as CSV. The image files exist but are empty, and the
cached images are sparse files that were never written, so nothing is decoded; everything else is what a run does. Each
measurement has a process of its own, and sizes take turns:

- the index: `Loader.batches` lists the records, looks up every image in the cache, encodes labels and shuffles; in CPU
  seconds, and with the peak of resident memory above the memory before (Linux)
- batches: what a step samples, with its images gathered, and whole, from pages that are in memory already (the same
  number of steps at each size, so a thousand images are used more than once); and the cost of a new epoch, per image of
  that epoch

Results are medians over rounds, in CPU seconds of the process, so other work of the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch

from mdtranslate import Split
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.data.loader import Loader
from mdtranslate.data.recipe_datasets import attributes_by_dataset, build_datasets
from mdtranslate.utils.device import hardware
from mdtranslate.utils.files import write_json

WORKLOADS = ("celeba, 3 labels", "celeba, 40 labels", "table, balanced domains")
ATTRIBUTES, BATCH_SIZE, STEPS, PASSES = 40, 16, 200, 5
COLUMNS = ("index", "list", "key", "labels", "memory", "draw", "gathered", "whole", "epoch")


def overrides(workload: str, folder: Path, count: int, size: int) -> list[str]:
    """Returns the overrides of the recipe `stargan-celeba` for a workload."""
    lists = folder / str(count)
    common = [f"data.image_size={size}", f"data.batch_size={BATCH_SIZE}"]
    if workload.startswith("table"):
        table = f'{{name="table", file="{lists}/table.csv", root="{folder}/img_align_celeba", val=0, test=0}}'
        return [*common, f"datasets={{faces={table}}}", "data.balance=domain"]
    celeba = [f'datasets.celeba.root="{lists}"', "datasets.celeba.split=official"]
    if workload == "celeba, 40 labels":
        celeba += [f"datasets.celeba.attributes={[f'a{n}' for n in range(ATTRIBUTES)]}", "datasets.celeba.exclusive={}"]
    else:
        celeba += ["datasets.celeba.attributes=['hair', 'a3', 'a4']"]
        celeba += ["datasets.celeba.exclusive={hair=['a0', 'a1', 'a2']}"]
    return [*common, *celeba]


def create_datasets(folder: Path, counts: list[int]) -> None:
    """Writes the lists of every size, and the empty image files that they share."""
    rng, images = np.random.default_rng(0), folder / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{number:07d}.jpg" for number in range(1, max(counts) + 1)]
    for name in names:
        (images / name).touch()
    for count in counts:
        lists = folder / str(count)
        lists.mkdir()
        (lists / images.name).symlink_to(images)
        (lists / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names[:count]))
        with (lists / "list_attr_celeba.txt").open("w") as labels, (lists / "table.csv").open("w") as table:
            labels.write(f"{count}\n{' '.join(f'a{n}' for n in range(ATTRIBUTES))}\n")
            table.write("path,hair,mood,smiling,young,glasses\n")
            for name in names[:count]:
                bits = rng.bytes(ATTRIBUTES)
                labels.write(f"{name} {' '.join([' 1' if bit < 51 else '-1' for bit in bits])}\n")
                hair, mood = ("black", "blond", "brown", "")[bits[0] % 4], ("happy", "sad", "calm")[bits[1] % 3]
                table.write(f"{name},{hair},{mood},{bits[2] % 2},{bits[3] % 2},{'yes' if bits[4] % 2 else 'no'}\n")


def write_sparse(folder: Path, dataset: Any, records: Any, size: int, *_: Any) -> dict[int, str]:
    """Replaces the cache's `write_entry`: creates arrays of the right shape that take no disk space."""
    for name, shape in {"pixels": (len(records), size, size, 3), "hashes": (len(records), 16)}.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape)
    return {}


def measure(workload: str, folder: Path, count: int, size: int) -> dict[str, float]:
    """Measures one workload in this process: CPU seconds per record or image, and `memory` in bytes."""
    torch.set_num_threads(1)
    recipe = resolve("stargan-celeba", overrides(workload, folder, count, size)).recipe
    datasets, fresh_datasets = build_datasets(recipe), build_datasets(recipe)
    label_encoder = recipe.label_encoder.build(attributes=attributes_by_dataset(datasets))
    row = dict[str, float]()
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak of memory, which the imports have raised.
    memory_before = _memory("VmRSS")
    loader = Loader(recipe, datasets, label_encoder, lambda *_: None)
    with mock.patch("mdtranslate.data.cache.store.write_entry", write_sparse):
        batches = _timed(row, "index", count, lambda: loader.batches(torch.device("cpu"), None))
    row["memory"] = _memory("VmHWM") - memory_before
    records = _timed(row, "list", count, lambda: fresh_datasets[0].records(Split.TRAIN))
    _timed(row, "key", count, lambda: fresh_datasets[0].is_cached(records, size))
    _timed(row, "labels", count, lambda: fresh_datasets[0].encode_labels(records, label_encoder))
    assert len(batches) == len(records) == count

    def run_steps(work: Callable[[int], Any]) -> None:
        for step in range(count, count + STEPS):
            work(step)

    _timed(row, "epoch", count, lambda: batches.labels_at(count))
    for name, work in {"draw": batches.labels_at, "gathered": batches.gather, "whole": batches}.items():
        run_steps(work)  # Reads everything into memory.
        passes: list[dict[str, float]] = [{} for _ in range(PASSES)]
        for seconds in passes:
            _timed(seconds, name, STEPS * BATCH_SIZE, lambda work=work: run_steps(work))
        row[name] = median(seconds[name] for seconds in passes)
    return row


def _timed(row: dict[str, float], name: str, count: int, work: Callable[[], Any]) -> Any:
    """Runs `work`, stores its CPU seconds divided by `count` in `row`, and returns its result."""
    start = time.process_time()
    result = work()
    row[name] = (time.process_time() - start) / count
    return result


def _memory(field: str) -> int:
    """Returns the resident memory of this process in bytes: now (`VmRSS`), or its peak (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def format_table(rows: dict[int, dict[str, float]]) -> list[str]:
    """Returns Markdown lines: a row per size, and the ratio of the largest to the smallest."""
    smallest, largest = rows[min(rows)], rows[max(rows)]
    lines = ["| records | index | listed | looked up | labels | memory, MB | sampled | gathered | batch | new epoch |"]
    lines.append("| --- " * 10 + "|")
    for count, row in rows.items():
        cells = [f"{row[name] / 1e6:.0f}" if name == "memory" else f"{row[name] * 1e6:.2f}" for name in COLUMNS]
        lines.append(f"| {count:,} | {' | '.join(cells)} |")
    ratios = ["" if name == "memory" else f"{largest[name] / smallest[name]:.2f}" for name in COLUMNS]
    return [*lines, f"| largest / smallest | {' | '.join(ratios)} |"]


def main() -> None:
    """Prints the machine and a table per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], help="records")
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS, help="; ".join(WORKLOADS))
    parser.add_argument("--size", type=int, default=64, help="height and width of images in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--child", nargs=3, metavar=("WORKLOAD", "FOLDER", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        workload, folder, count = options.child
        print(json.dumps(measure(workload, Path(folder), int(count), options.size)))
        return
    machine = hardware(torch.device("cpu"))
    versions = f"torch {torch.__version__}; {options.rounds} rounds"
    print(f"{machine['processor']}, {machine['cores']} cores, one used; {versions}")
    print("CPU microseconds per record (index) and per image (batches, and the images of the new epoch)")
    rounds: dict[str, dict[int, list[dict[str, float]]]] = {
        workload: {count: [] for count in options.counts} for workload in options.workloads
    }
    with tempfile.TemporaryDirectory() as folder:
        create_datasets(Path(folder), options.counts)
        for _ in range(options.rounds):
            for workload, by_count in rounds.items():
                for count, rows in by_count.items():
                    command = [sys.executable, __file__, "--size", str(options.size), "--child", workload, folder]
                    environment = os.environ | {"XDG_CACHE_HOME": folder}
                    process = subprocess.run(
                        [*command, str(count)], env=environment, check=True, stdout=subprocess.PIPE
                    )
                    rows.append(json.loads(process.stdout))
    medians = {
        workload: {
            count: {name: median(row[name] for row in rows) for name in rows[0]} for count, rows in by_count.items()
        }
        for workload, by_count in rounds.items()
    }
    for workload, table in medians.items():
        print(f"\n{workload}\n\n" + "\n".join(format_table(table)))
    if options.out:
        write_json(options.out, {"machine": machine, "rounds": rounds, "medians": medians})


if __name__ == "__main__":
    main()
