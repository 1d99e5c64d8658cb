"""Measures how much faster training reads from the cache than by decoding each JPEG.

python benchmarks/datapath.py

The reference is the data loading of the released code: Pillow decodes an image of CelebA's size, and torchvision crops,
resizes, flips and normalises it, one image after the other. Measured on the same core against it: whole batches of
mdtranslate, and only the CPU's part of a batch if a GPU crops, flips and normalises. Results are medians of rounds in
which all variants take turns.
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
from mdtranslate.config.choice import Choice
from mdtranslate.config.schema import Data
from mdtranslate.data.batches import Batches
from mdtranslate.data.cache.store import cache_images

WIDTH, HEIGHT, BATCH_SIZE = 178, 218, 16


def create_celeba(folder: Path, count: int) -> Dataset:
    """Writes `count` smooth random JPEGs of CelebA's size, with labels, in CelebA's layout."""
    rng, images = np.random.default_rng(0), folder / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (14, 12, 3), np.uint8))
        coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(images / name, quality=90)
    labels = [f"{name}  1 -1  1" for name in names]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), "Blond_Hair Male Young", *labels]) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names))
    choice: Choice[Dataset] = TypeAdapter(Choice[Dataset]).validate_python({"name": "celeba", "root": str(folder)})
    return choice.build()


def images_per_second(load: Callable[[int], int], seconds: float) -> float:
    """Calls `load(step)`, which returns how many images it loaded, for some seconds; returns the images per second."""
    start, count, step = time.perf_counter(), 0, 0
    while time.perf_counter() - start < seconds:
        count += load(step)
        step += 1
    return count / (time.perf_counter() - start)


def measure(dataset: Dataset, size: int, rounds: int, seconds: float) -> dict[str, float]:
    """Measures one image size.

    Args:
        dataset: The dataset.
        size: Height and width of the images in pixels.
        rounds: Number of rounds.
        seconds: Seconds per variant and round.

    Returns:
        Images per second of the reference (`released`) and of filling the cache on all cores (`caching`), and ratios
        to the reference of whole batches (`batches`) and of the CPU's part of them (`gathered`).
    """
    steps = [transforms.RandomHorizontalFlip(), transforms.CenterCrop(WIDTH), transforms.Resize(size)]
    transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    records = list(dataset.records(Split.TRAIN))
    start = time.perf_counter()
    cached = cache_images(dataset, records, size, instance="celeba", purpose="benchmark")
    caching = len(records) / (time.perf_counter() - start)
    attributes = {"celeba": tuple(dataset.attributes)}
    label_encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    labels = torch.stack([label_encoder.encode(record.attributes, 0) for record in records])
    data = Data.model_validate({"image_size": size, "batch_size": BATCH_SIZE})
    batches = Batches([cached.pixels], [labels], label_encoder, data, 0, torch.device("cpu"))

    def load_released(step: int) -> int:
        files = [records[(step * BATCH_SIZE + offset) % len(records)].image for offset in range(BATCH_SIZE)]
        return len(torch.stack([transform(Image.open(file).convert("RGB")) for file in files]))

    def load_batch(step: int) -> int:
        return len(batches(step).real)

    def gather(step: int) -> int:
        return len(batches.gather(step)[1])

    variants = {"released": load_released, "batches": load_batch, "gathered": gather}
    speeds = {name: list[float]() for name in variants}
    for load in variants.values():
        images_per_second(load, seconds / 4)  # Warm-up.
    for _ in range(rounds):
        for name, load in variants.items():
            speeds[name].append(images_per_second(load, seconds))
    ratios = {
        name: median(speed / base for speed, base in zip(speeds[name], speeds["released"], strict=True))
        for name in ("batches", "gathered")
    }
    return {"released": median(speeds["released"]), **ratios, "caching": caching}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="per variant and round")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        dataset = create_celeba(Path(folder) / "celeba", options.images)
        results = {size: measure(dataset, size, options.rounds, options.seconds) for size in (128, 64)}
    print(f"{platform.processor() or platform.machine()}, one core, batches of {BATCH_SIZE}")
    print("| pixels | released, images/s | from the cache, whole batches | from the cache, CPU's part | caching |")
    print("| --- | --- | --- | --- | --- |")
    for size, row in results.items():
        ratios = f"{row['batches']:.1f} x | {row['gathered']:.0f} x"
        caching = f"{row['caching']:.0f} images/s on {os.cpu_count()} cores"
        print(f"| {size} | {row['released']:.0f} | {ratios} | {caching} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
