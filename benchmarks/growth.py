"""Whether a picture costs the same among a thousand and among a million: the index of a dataset, and its batches.

python benchmarks/growth.py --out growth.json

Makes datasets of each size: CelebA's lists, and a table as CSV. Picture files are there, but empty, and the cache holds
pixels that were never written (a file of holes): nothing is decoded, and all else is what a run does. Measured in a new
process each, sizes taking turns:

- the index: `Feed.batches`, which lists records, looks every picture up to find the cache, encodes labels, and lays
  out the order; in seconds of the processor, and the peak of resident memory above what was there before (Linux)
- batches: what a step draws, with its pictures gathered, and whole, from pages that are in memory already (as many
  steps at each size, in which a thousand pictures come round more than once); and what a new epoch costs, by picture
  of that epoch

Medians over rounds; seconds are those of this process on a processor, whatever else the machine does.
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
from mdtranslate.config.recipes import resolve
from mdtranslate.data.loader import Feed
from mdtranslate.data.source import attributes_of, build_sources
from mdtranslate.utils.device import hardware
from mdtranslate.utils.files import write_json

WORKLOADS = ("celeba, 3 labels", "celeba, 40 labels", "table, balanced domains")
ATTRIBUTES, BATCH, STEPS, PASSES = 40, 16, 200, 5
COLUMNS = ("index", "list", "key", "labels", "memory", "draw", "gathered", "whole", "epoch")


def settings(workload: str, folder: Path, count: int, size: int) -> list[str]:
    """The overrides of `stargan-celeba` that a workload is."""
    listed = folder / str(count)
    every = [f"data.image_size={size}", f"data.batch_size={BATCH}"]
    if workload.startswith("table"):
        table = f'{{name="table", file="{listed}/table.csv", root="{folder}/img_align_celeba", val=0, test=0}}'
        return [*every, f"datasets={{faces={table}}}", "data.balance=domain"]
    celeba = [f'datasets.celeba.root="{listed}"', "datasets.celeba.split=official"]
    if workload == "celeba, 40 labels":
        celeba += [f"datasets.celeba.attributes={[f'a{n}' for n in range(ATTRIBUTES)]}", "datasets.celeba.exclusive={}"]
    else:
        celeba += ["datasets.celeba.attributes=['hair', 'a3', 'a4']"]
        celeba += ["datasets.celeba.exclusive={hair=['a0', 'a1', 'a2']}"]
    return [*every, *celeba]


def make(folder: Path, counts: list[int]) -> None:
    """The lists of every size, and the empty picture files that they share."""
    draw, images = np.random.default_rng(0), folder / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{number:07d}.jpg" for number in range(1, max(counts) + 1)]
    for name in names:
        (images / name).touch()
    for count in counts:
        listed = folder / str(count)
        listed.mkdir()
        (listed / images.name).symlink_to(images)
        (listed / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names[:count]))
        with (listed / "list_attr_celeba.txt").open("w") as labels, (listed / "table.csv").open("w") as table:
            labels.write(f"{count}\n{' '.join(f'a{n}' for n in range(ATTRIBUTES))}\n")
            table.write("path,hair,mood,smiling,young,glasses\n")
            for name in names[:count]:
                bits = draw.bytes(ATTRIBUTES)
                labels.write(f"{name} {' '.join([' 1' if bit < 51 else '-1' for bit in bits])}\n")
                hair, mood = ("black", "blond", "brown", "")[bits[0] % 4], ("happy", "sad", "calm")[bits[1] % 3]
                table.write(f"{name},{hair},{mood},{bits[2] % 2},{bits[3] % 2},{'yes' if bits[4] % 2 else 'no'}\n")


def holes(part: Path, dataset: Any, records: Any, size: int, *_: Any) -> dict[int, str]:
    """In the place of `write`: pictures that take no room."""
    for name, shape in {"pixels": (len(records), size, size, 3), "hashes": (len(records), 16)}.items():
        np.lib.format.open_memmap(part / f"{name}.npy", "w+", np.uint8, shape)
    return {}


def child(workload: str, folder: Path, count: int, size: int) -> dict[str, float]:
    """What one process measures: seconds per record or picture, and bytes in all."""
    torch.set_num_threads(1)
    recipe = resolve("stargan-celeba", settings(workload, folder, count, size)).recipe
    sources, again = build_sources(recipe), build_sources(recipe)
    encoder = recipe.encoder.build(attributes=attributes_of(sources))
    found = dict[str, float]()
    Path("/proc/self/clear_refs").write_text("5")  # The peak is counted from here on: imports had one of their own.
    before = _memory("VmRSS")
    feed = Feed(recipe, sources, encoder, lambda *_: None)
    with mock.patch("mdtranslate.data.cache.store.write", holes):
        batches = _timed(found, "index", count, lambda: feed.batches(torch.device("cpu"), None))
    found["memory"] = _memory("VmHWM") - before
    records = _timed(found, "list", count, lambda: again[0].records(Split.TRAIN))
    _timed(found, "key", count, lambda: again[0].is_packed(records, size))
    _timed(found, "labels", count, lambda: again[0].labels(records, encoder))
    assert len(batches) == len(records) == count

    def steps(work: Callable[[int], Any]) -> None:
        for step in range(count, count + STEPS):
            work(step)

    _timed(found, "epoch", count, lambda: batches.labels_of(count))
    for name, work in {"draw": batches.labels_of, "gathered": batches.gathered, "whole": batches}.items():
        steps(work)  # Brings what it reads into memory.
        took: list[dict[str, float]] = [{} for _ in range(PASSES)]
        for each in took:
            _timed(each, name, STEPS * BATCH, lambda work=work: steps(work))
        found[name] = median(each[name] for each in took)
    return found


def _timed(found: dict[str, float], name: str, count: int, work: Callable[[], Any]) -> Any:
    """What `work` gives; the processor's seconds that it took, per one of `count`, go into `found`."""
    began = time.process_time()
    made = work()
    found[name] = (time.process_time() - began) / count
    return made


def _memory(what: str) -> int:
    """Bytes of memory that this process has (VmRSS), or had at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def table(rows: dict[int, dict[str, float]]) -> list[str]:
    """Markdown: a row per size, and the largest beside the smallest."""
    least, most = rows[min(rows)], rows[max(rows)]
    lines = ["| records | index | listed | looked up | labels | memory, MB | draw | gathered | batch | new epoch |"]
    lines.append("| --- " * 10 + "|")
    for count, row in rows.items():
        cells = [f"{row[name] / 1e6:.0f}" if name == "memory" else f"{row[name] * 1e6:.2f}" for name in COLUMNS]
        lines.append(f"| {count:,} | {' | '.join(cells)} |")
    ratios = ["" if name == "memory" else f"{most[name] / least[name]:.2f}" for name in COLUMNS]
    return [*lines, f"| most / fewest | {' | '.join(ratios)} |"]


def main() -> None:
    """Prints the machine and a table per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], help="records")
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS, help="; ".join(WORKLOADS))
    parser.add_argument("--size", type=int, default=64, help="side of the pictures, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--child", nargs=3, metavar=("WORKLOAD", "FOLDER", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        workload, folder, count = given.child
        print(json.dumps(child(workload, Path(folder), int(count), given.size)))
        return
    machine = hardware(torch.device("cpu"))
    print(
        f"{machine['processor']}, {machine['cores']} cores, one used; torch {torch.__version__}; {given.rounds} rounds"
    )
    print("microseconds of the processor per record (index) and per picture (batches, and the new epoch's pictures)")
    took: dict[str, dict[int, list[dict[str, float]]]] = {
        workload: {count: [] for count in given.counts} for workload in given.workloads
    }
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.counts)
        for _ in range(given.rounds):
            for workload, by_count in took.items():
                for count, rows in by_count.items():
                    command = [sys.executable, __file__, "--size", str(given.size), "--child", workload, folder]
                    environment = os.environ | {"XDG_CACHE_HOME": folder}
                    done = subprocess.run([*command, str(count)], env=environment, check=True, stdout=subprocess.PIPE)
                    rows.append(json.loads(done.stdout))
    found = {
        workload: {count: {name: median(row[name] for row in rows) for name in rows[0]} for count, rows in each.items()}
        for workload, each in took.items()
    }
    for workload, rows in found.items():
        print(f"\n{workload}\n\n" + "\n".join(table(rows)))
    if given.out:
        write_json(given.out, {"machine": machine, "rounds": took, "medians": found})


if __name__ == "__main__":
    main()
