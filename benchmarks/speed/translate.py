"""Measures how much faster images are translated than by a plain loop: ratios, interleaved in one run.

python benchmarks/speed/translate.py --images 32 --rounds 5

JPEG files of CelebA's size are decoded, translated to five targets at 128 pixels by the paper's generator with random
weights, and written as PNG files. The plain loop handles one image and one target at a time, in PyTorch's default
precision: float32, on NVIDIA GPUs with cuDNN's TF32. The first round is warm-up, and its images are compared with those
of the plain loop: too large a difference is an error, and variants that should have been compiled but were not are left
out. Ratios are medians over rounds in which all variants take turns, printed with their range.
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
from published_step import Generator as PublishedGenerator
from pydantic import TypeAdapter
from torchvision import transforms
from torchvision.utils import save_image

from mdtranslate import Attribute, Choice, Crop, Generator, LabelEncoder, Translator
from mdtranslate.cli.file_pipeline import FilePipeline
from mdtranslate.config.model_bundle import Model
from mdtranslate.utils.device import Precision, describe_device, hardware, pick_device
from mdtranslate.utils.files import write_json

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
ATTRIBUTES = {"celeba": (Attribute("hair", HAIR, optional=True), Attribute("Male"), Attribute("Young"))}
SOURCE = {"hair": "Black_Hair", "Male": False, "Young": True}
# The published binary labels of the five targets, by mdtranslate's names of the edits.
TARGETS = {
    "hair=Black_Hair": (1, 0, 0, 0, 1),
    "hair=Blond_Hair": (0, 1, 0, 0, 1),
    "hair=Brown_Hair": (0, 0, 1, 0, 1),
    "Male=yes": (1, 0, 0, 1, 1),
    "Young=no": (1, 0, 0, 0, 0),
}
MAX_DIFFERENCE = {"fp32": 4, "bf16": 16}
"""Largest allowed difference from the images of the plain loop, in grey levels of 255."""


def create_translator(size: int, device: torch.device, precision: Precision, compiled: bool) -> Translator:
    """Creates a translator of the paper's generator, with the same random weights in each call."""
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


def translate_files(translator: Translator, files: Mapping[str, Path], out: Path) -> None:
    """Translates files like `mdtranslate translate RUN FOLDER --all`, without grids."""
    with FilePipeline(lambda _: None) as pipeline:
        prepared: Any = pipeline.read(files, translator.prepare_image)
        for chunk in translator.chunk_images(prepared, translator.edit_parser.num_single_edits):
            translations = translator.all_edits(list(chunk.values()), source=SOURCE)
            for stem, by_edit in zip(chunk, translations, strict=True):
                for edit, image in by_edit.items():
                    pipeline.write(out / f"{stem}.{edit}.png", partial(np.asarray, image))


def translate_plainly(
    generator: PublishedGenerator, size: int, device: torch.device, files: Mapping[str, Path], out: Path
) -> None:
    """Translates files by the plain loop: one image and one target at a time."""
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
                fake = generator(real, torch.tensor([label], dtype=torch.float32, device=device))
                save_image(((fake + 1) / 2).clamp(0, 1).cpu(), out / f"{stem}.{edit}.png")


def create_images(folder: Path, count: int) -> dict[str, Path]:
    """Writes smooth random JPEG files of 178 x 218 pixels; returns them by their stems."""
    files = {}
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (14, 11, 3), np.uint8)
        files[f"{number:06}"] = folder / f"{number:06}.jpg"
        Image.fromarray(coarse).resize((178, 218), Image.Resampling.BICUBIC).save(files[f"{number:06}"], quality=90)
    return files


def max_difference(folder: Path, reference: Path) -> float:
    """Returns the largest difference between the images of two folders with the same file names, in grey levels."""
    names = {file.name for file in folder.iterdir()}
    if names != {file.name for file in reference.iterdir()}:
        raise SystemExit(f"{folder.name} did not write the same files as {reference.name}")

    def read(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image, np.int16)

    return float(max(np.abs(read(folder / name) - read(reference / name)).max() for name in names))


def measure(variants: Mapping[str, Callable[[Path], None]], folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measures all variants in turns.

    Args:
        variants: By name, functions that write all translations into a folder; one is called `plain`.
        folder: Folder for the translations.
        rounds: Number of rounds, besides a first one that warms up and compiles.

    Returns:
        By variant, the ratio to the plain loop of the same round (median, minimum and maximum), the seconds, and the
        largest difference of its images from those of the plain loop.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(rounds + 1):
        for name, variant in variants.items():
            out = folder / name
            out.mkdir(exist_ok=True)
            start = time.perf_counter()
            variant(out)
            if round_number:
                seconds[name].append(time.perf_counter() - start)
        for name in seconds if round_number == 0 else ():
            difference = max_difference(folder / name, folder / "plain")
            if difference > MAX_DIFFERENCE["bf16" if "bf16" in name else "fp32"]:
                raise SystemExit(f"{name}: images differ from the plain loop's by {difference:.0f} grey levels")
    rows = {}
    for name, values in seconds.items():
        ratios = [plain / value for plain, value in zip(seconds["plain"], values, strict=True)]
        rows[name] = {
            "ratio": median(ratios),
            "min": min(ratios),
            "max": max(ratios),
            "seconds": median(values),
            "grey_levels": max_difference(folder / name, folder / "plain"),
        }
    return rows


def main() -> None:
    """Prints the machine and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="image size of the generator in pixels")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", help="fp32, tf32, bf16; those of the device if left out")
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled variants")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    device = pick_device(options.device)
    print(describe_device(device), hardware(device)["processor"], f"torch {torch.__version__}")
    precisions = options.precisions or (["fp32", "tf32", "bf16"] if device.type == "cuda" else ["fp32", "bf16"])
    translators = {
        f"{precision}{' compiled' * compiled}": create_translator(options.size, device, precision, compiled)
        for precision in precisions
        for compiled in ((False,) if options.no_compile else (False, True))
    }
    published = PublishedGenerator(len(next(iter(TARGETS.values())))).to(device)
    weights = next(iter(translators.values())).model.generator.state_dict()
    missing, unexpected = published.load_state_dict(weights, strict=False)
    if unexpected or [key for key in missing if "running" not in key and "num_batches" not in key]:
        raise SystemExit("the generator is not that of the paper")
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        files = create_images(folder / "in", options.images)
        variants: dict[str, Callable[[Path], None]] = {
            "plain": lambda out: translate_plainly(published, options.size, device, files, out),
            **{name: partial(translate_files, translator, files) for name, translator in translators.items()},
        }
        rows = measure(variants, folder, options.rounds)
    for name, translator in translators.items():
        if name.endswith(" compiled") and not translator.runner.compiled:
            print(f"{name}: left out, because it was not compiled")
            del rows[name]
    print(f"{options.images} images, {len(TARGETS)} targets, {options.size} pixels, {options.rounds} rounds")
    for name, row in rows.items():
        print(
            f"  {name:16} {row['ratio']:5.2f} x ({row['min']:.2f} to {row['max']:.2f})  "
            f"{options.images / row['seconds']:8.2f} images/s  within {row['grey_levels']:.0f} grey levels"
        )
    if options.out:
        write_json(options.out, {"machine": hardware(device), "torch": torch.__version__, "translation": rows})
        print(options.out)


if __name__ == "__main__":
    main()
