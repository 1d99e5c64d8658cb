"""How much faster pictures are translated than by a plain loop: ratios, interleaved in one run.

python benchmarks/speed/translate.py --pictures 32 --rounds 5

JPEG files of CelebA's size are decoded, translated to five targets at 128 pixels by the paper's generator with random
weights, and written as PNGs. The plain loop does one thing after another, and one target at a time, in float32 as torch
computes by default: on NVIDIA's GPUs with cuDNN's TF32. The first round is not timed, and its pictures are compared:
what made others ends it, and what was to be compiled and was not is left out. Ratios are medians over rounds in which
all take turns; the machine's noise is in their spread, which is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter
from torchvision import transforms
from torchvision.utils import save_image
from yardstick import Generator as Published

from mdtranslate import Attribute, Choice, Crop, Generator, LabelEncoder, Translator
from mdtranslate.cli.file_pipeline import Stages
from mdtranslate.config.model_bundle import Model
from mdtranslate.utils.device import Precision, describe, hardware, pick_device
from mdtranslate.utils.files import write_json

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
ATTRIBUTES = {"celeba": (Attribute("hair", HAIR, optional=True), Attribute("Male"), Attribute("Young"))}
KNOWN = {"hair": "Black_Hair", "Male": False, "Young": True}
# The published labels of the five targets, by what we call them.
TARGETS = {
    "hair=Black_Hair": (1, 0, 0, 0, 1),
    "hair=Blond_Hair": (0, 1, 0, 0, 1),
    "hair=Brown_Hair": (0, 0, 1, 0, 1),
    "Male=yes": (1, 0, 0, 1, 1),
    "Young=no": (1, 0, 0, 0, 0),
}


WITHIN = {"fp32": 4, "bf16": 16}
"""Grey levels by which pictures may differ from those of the plain loop."""


def ours(size: int, device: torch.device, precision: Precision, compiled: bool) -> Translator:
    """The paper's generator with weights that are the same each time."""
    model = Model.build(
        TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector"),
        TypeAdapter(Choice[Generator]).validate_python("stargan-generator"),
        None,
        attributes=ATTRIBUTES,
        image_size=size,
    )
    model.generator.eval().requires_grad_(False)
    return Translator(
        model.to(device), image_size=size, crops={"celeba": Crop()}, precision=precision, compiled=compiled
    )


def staged(translator: Translator, files: Mapping[str, Path], out: Path) -> None:
    """As `mdtranslate translate RUN FOLDER --all`, without its grids."""
    with Stages(lambda _: None) as stages:
        views: Any = stages.read(files, translator.view)
        for group in translator.grouped(views, translator.words.singles):
            every = translator.all_edits(list(group.values()), source=KNOWN)
            for stem, results in zip(group, every, strict=True):
                for edit, picture in results.items():
                    stages.write(out / f"{stem}.{edit}.png", partial(np.asarray, picture))


def plain(generator: Published, size: int, device: torch.device, files: Mapping[str, Path], out: Path) -> None:
    """One picture and one target after the other, written out plainly."""
    prepare = transforms.Compose(
        [
            transforms.CenterCrop(178),
            transforms.Resize(size),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    with torch.no_grad():
        for stem, file in files.items():
            with Image.open(file) as image:
                real = prepare(image.convert("RGB"))[None].to(device)
            for edit, label in TARGETS.items():
                made = generator(real, torch.tensor([label], dtype=torch.float32, device=device))
                save_image(((made + 1) / 2).clamp(0, 1).cpu(), out / f"{stem}.{edit}.png")


def draw(folder: Path, count: int) -> dict[str, Path]:
    """JPEG files of 178 × 218, smooth as photographs are."""
    files = {}
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (14, 11, 3), np.uint8)
        files[f"{number:06}"] = folder / f"{number:06}.jpg"
        Image.fromarray(coarse).resize((178, 218), Image.Resampling.BICUBIC).save(files[f"{number:06}"], quality=90)
    return files


def apart(folder: Path, other: Path) -> float:
    """Grey levels by which the pictures of two folders differ at most; they must have the same names."""
    names = {each.name for each in folder.iterdir()}
    if names != {each.name for each in other.iterdir()}:
        raise SystemExit(f"{folder.name} did not make the pictures that {other.name} did")

    def read(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image, np.int16)

    return float(max(np.abs(read(folder / name) - read(other / name)).max() for name in names))


def measure(work: Mapping[str, Callable[[Path], None]], where: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Of each, to the plain loop of the same round: median, least and most ratio; and how far its pictures are."""
    took: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, each in work.items():
            out = where / name
            out.mkdir(exist_ok=True)
            began = time.perf_counter()
            each(out)
            if number:  # The first one warms up, and compiles.
                took[name].append(time.perf_counter() - began)
        for name in took if number == 0 else ():
            if (levels := apart(where / name, where / "plain")) > WITHIN["bf16" if "bf16" in name else "fp32"]:
                raise SystemExit(f"{name}: pictures are {levels:.0f} grey levels from those of the plain loop")
    found = {}
    for name, seconds in took.items():
        ratios = [theirs / own for theirs, own in zip(took["plain"], seconds, strict=True)]
        found[name] = {
            "ratio": median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "seconds": median(seconds),
            "grey_levels": apart(where / name, where / "plain"),
        }
    return found


def main() -> None:
    """Prints the machine and a table, and writes JSON where it is told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the pictures that the generator sees")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", help="fp32, tf32, bf16; those of the device if left out")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled variants out")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    device = pick_device(given.device)
    print(describe(device), hardware(device)["processor"], f"torch {torch.__version__}")
    precisions = given.precisions or (["fp32", "tf32", "bf16"] if device.type == "cuda" else ["fp32", "bf16"])
    variants = {f"{each}{' compiled' * way}": (each, way) for each in precisions for way in (False, True)}
    translators = {
        name: ours(given.size, device, *each) for name, each in variants.items() if not (each[1] and given.no_compile)
    }
    published = Published(len(next(iter(TARGETS.values())))).to(device)
    weights = next(iter(translators.values())).model.generator.state_dict()
    missing, strange = published.load_state_dict(weights, strict=False)
    if strange or [each for each in missing if "running" not in each and "num_batches" not in each]:
        raise SystemExit("the generator is not that of the paper")
    with TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "in").mkdir()
        files = draw(where / "in", given.pictures)
        work: dict[str, Callable[[Path], None]] = {
            "plain": lambda out: plain(published, given.size, device, files, out),
            **{name: partial(staged, each, files) for name, each in translators.items()},
        }
        rows = measure(work, where, given.rounds)
    for name, each in translators.items():
        if variants[name][1] and not each.inference.compiled:
            print(f"{name}: left out, it was not compiled")
            del rows[name]
    print(f"{given.pictures} pictures, {len(TARGETS)} targets, {given.size} pixels, {given.rounds} rounds")
    for name, row in rows.items():
        print(
            f"  {name:16} {row['ratio']:5.2f} times ({row['least']:.2f} to {row['most']:.2f})  "
            f"{given.pictures / row['seconds']:8.2f} pictures/s  within {row['grey_levels']:.0f} grey levels"
        )
    if given.out:
        write_json(given.out, {"machine": hardware(device), "torch": torch.__version__, "translation": rows})
        print(given.out)


if __name__ == "__main__":
    main()
