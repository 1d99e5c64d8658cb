"""How much faster training reads from the packed cache than by decoding each JPEG: ratios, in one run.

python benchmarks/datapath.py

The yardstick is the released pipeline: Pillow decodes a picture of CelebA's size, torchvision cuts, scales, mirrors and
normalises it, one after the other. Beside it, on the same core: our batches whole, and our batches as far as the
processor has to go where a device cuts, mirrors and normalises. Medians of rounds that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter
from torchvision import transforms

from mdtranslate import Dataset, Split
from mdtranslate.api import LabelEncoder
from mdtranslate.config.schema import Choice, Data
from mdtranslate.data.batches import Batches
from mdtranslate.data.cache.store import pack

WIDTH, HEIGHT, BATCH = 178, 218, 16


def celeba(folder: Path, count: int) -> Dataset:
    """CelebA's layout with `count` JPEGs of its size and about its bytes, made here."""
    draw, images = np.random.default_rng(0), folder / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    for name in names:
        coarse = Image.fromarray(draw.integers(0, 256, (14, 12, 3), np.uint8))
        coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(images / name, quality=90)
    labels = [f"{name}  1 -1  1" for name in names]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), "Blond_Hair Male Young", *labels]) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names))
    choice: Choice[Dataset] = TypeAdapter(Choice[Dataset]).validate_python({"name": "celeba", "root": str(folder)})
    return choice.build()


def rate(work: Callable[[int], int], seconds: float) -> float:
    """Pictures per second of `work(step)`, which says how many pictures it made."""
    began, made, step = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        made += work(step)
        step += 1
    return made / (time.perf_counter() - began)


def measure(dataset: Dataset, size: int, rounds: int, seconds: float) -> dict[str, float]:
    """Medians over rounds: pictures per second of the yardstick, and ratios to it; and of packing, on all cores."""
    steps = [transforms.RandomHorizontalFlip(), transforms.CenterCrop(WIDTH), transforms.Resize(size)]
    prepare = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    records = list(dataset.records(Split.TRAIN))
    began = time.perf_counter()
    packed = pack(dataset, records, size, instance="celeba", what="benchmark")
    packing = len(records) / (time.perf_counter() - began)
    attributes = {"celeba": tuple(dataset.attributes)}
    encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    labels = torch.stack([encoder.encode(record.attributes, 0) for record in records])
    data = Data.model_validate({"image_size": size, "batch_size": BATCH})
    batches = Batches([packed.pixels], [labels], encoder, data, 0, torch.device("cpu"))

    def released(step: int) -> int:
        chosen = [records[(step * BATCH + n) % len(records)].image for n in range(BATCH)]
        return len(torch.stack([prepare(Image.open(file).convert("RGB")) for file in chosen]))

    def ours(step: int) -> int:
        return len(batches(step).real)

    def gathered(step: int) -> int:
        return len(batches.gathered(step)[1])

    ways = {"released": released, "ours": ours, "gathered": gathered}
    found = {name: list[float]() for name in ways}
    for work in ways.values():
        rate(work, seconds / 4)  # Warm.
    for _ in range(rounds):
        for name, work in ways.items():
            found[name].append(rate(work, seconds))
    ratios = {
        name: median(mine / base for mine, base in zip(found[name], found["released"], strict=True))
        for name in ("ours", "gathered")
    }
    return {"released": median(found["released"]), **ratios, "packing": packing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each way in each round")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        dataset = celeba(Path(folder) / "celeba", options.pictures)
        found = {size: measure(dataset, size, options.rounds, options.seconds) for size in (128, 64)}
    print(f"{platform.processor() or platform.machine()}, one core, batches of {BATCH}")
    print("| pixels | released, pictures/s | cache, whole batches | cache, device does the rest | packing |")
    print("| --- | --- | --- | --- | --- |")
    for size, each in found.items():
        ratios = f"{each['ours']:.1f} x | {each['gathered']:.0f} x"
        packing = f"{each['packing']:.0f} pictures/s on {os.cpu_count()} cores"
        print(f"| {size} | {each['released']:.0f} | {ratios} | {packing} |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
