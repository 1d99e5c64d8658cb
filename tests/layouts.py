"""Small datasets in exactly the file layouts of CelebA and RaFD."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from mdtranslate_stargan.rafd import EXPRESSIONS
from PIL import Image


def write_celeba(root: Path) -> None:
    """Writes 24 images of noise in the layout of CelebA, 8 per split of `list_eval_partition.txt`."""
    draw, images = np.random.default_rng(0), root / "img_align_celeba"
    images.mkdir(parents=True)
    names = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]
    labels, splits = [], []
    for number in range(24):
        Image.fromarray(draw.integers(0, 256, (218, 178, 3), np.uint8)).save(images / f"{number:06d}.jpg")
        values = [number % 4 == 0, number % 4 == 1, number % 4 == 2, number % 2 == 0, number % 3 == 0]
        labels.append(f"{number:06d}.jpg " + " ".join(f"{1 if value else -1:2d}" for value in values))
        splits.append(f"{number:06d}.jpg {number // 8}")
    (root / "list_attr_celeba.txt").write_text("\n".join(["24", " ".join(names), *labels]) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(splits) + "\n")


def write_rafd(root: Path) -> None:
    """Writes images of noise in the layout of RaFD: three people with every expression."""
    draw = np.random.default_rng(1)
    root.mkdir(parents=True)
    for person, expression in product(("01", "02", "03"), EXPRESSIONS):
        pixels = draw.integers(0, 256, (1024, 681, 3), np.uint8)
        name = f"Rafd090_{person}_Caucasian_female_{expression}_frontal.jpg"
        Image.fromarray(pixels).save(root / name, quality=30)
