"""Measures what the mask vector contributes: joint training with it, without it, and with unknown labels taken as no.

python benchmarks/joint.py --out runs/joint --seeds 3 --jobs 2

Each cell is a run of `stargan-avatars-joint` and its evaluation, in a folder of its own; finished cells are skipped.
The table is Markdown: means over seeds, with minimum and maximum in parentheses. OUT/joint.png shows test images of the
dataset `faces` with expressions transferred by seed 0 of each variant, beside the ground truth.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from mdtranslate import Split, Translator
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.inference.grid import draw_grid

VARIANTS = {
    "mask vector (the paper)": [],
    "without mask channels": ["label_encoder.masks=none"],
    "unknown taken as no": ["label_encoder.masks=none", "label_encoder.unknown=no"],
    "mask vector, half of the targets from the other dataset": ["data.cross_dataset=0.5"],
}
APPEARANCE = ("hair", "Eyeglasses", "Facial_Hair")
GRID_EXPRESSIONS, GRID_ROWS = ("happy", "sad", "surprised"), 5
COLUMNS = {
    "expressions transferred to faces": "edit accuracy by the attribute classifier; chance is 12.5 %",
    "PSNR gain": "of those edits over the identity baseline (the unedited source), in decibels",
    "others preserved": "share of other attributes that those edits preserve",
    "expressions of moods": "edit accuracy on the dataset that labels expressions",
    "appearance of faces": "mean edit accuracy of hair, glasses and facial hair on the dataset that labels them",
    "appearance transferred to moods": "the same on the other dataset",
}


def cell_folder(out: Path, variant: str, seed: int) -> Path:
    """Returns the folder of a cell."""
    return out / f"{re.sub('[^a-z]+', '-', variant).strip('-')}-{seed}"


def run_cell(out: Path, variant: str, seed: int, threads: int, overrides: list[str]) -> dict[str, float]:
    """Trains and evaluates a cell, as far as that is not done yet, and returns its figures by column."""
    run = cell_folder(out, variant, seed)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def call(*arguments: str) -> None:
        command = [sys.executable, "-m", "mdtranslate", *arguments]
        with (out / f"{run.name}.log").open("a") as log:
            subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)

    if not (run / "recipe.toml").exists():
        settings = [*VARIANTS[variant], f"train.seed={seed}", *overrides]
        call("run", "stargan-avatars-joint", *settings, "--out", str(run))
    else:
        call("run", str(run))
    report = run / "evaluation" / "report.json"
    if not report.exists():
        call("evaluate", str(run))
    datasets = json.loads(report.read_text())["datasets"]
    faces, moods = (
        {**dataset["figures"]["edit-accuracy"], **dataset["figures"]["counterfactual"]} for dataset in datasets.values()
    )
    preserved = [value for name, value in faces.items() if name.startswith("expression/preserves/")]
    figures = (
        faces["expression/accuracy"],
        faces["expression/psnr gain"],
        fmean(preserved),
        moods["expression/accuracy"],
        fmean(faces[f"{name}/accuracy"] for name in APPEARANCE),
        fmean(moods[f"{name}/accuracy"] for name in APPEARANCE),
    )
    return dict(zip(COLUMNS, figures, strict=True))


def format_table(figures: dict[str, list[dict[str, float]]]) -> str:
    """Returns a Markdown table of the figures of all variants, which have one entry per seed."""
    lines = [f"| | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    for variant, seeds in figures.items():
        cells = []
        for column in COLUMNS:
            values = [figures_of_seed[column] for figures_of_seed in seeds]
            template = "{:+.2f} dB" if column == "PSNR gain" else "{:.1%}"
            low, mean, high = map(template.format, (min(values), fmean(values), max(values)))
            cells.append(f"{mean} ({low} to {high})" if len(values) > 1 else mean)
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_expressions(out: Path, variants: list[str]) -> Image.Image:
    """Draws test images of `faces` with some expressions, by each variant and as the ground truth."""
    faces = resolve("stargan-avatars-joint").recipe.datasets["faces"].build()
    records = list(faces.records(Split.TEST))[:GRID_ROWS]
    images = [faces.load(record) for record in records]
    translators = {name: Translator.load(cell_folder(out, name, 0)) for name in variants}
    size = next(iter(translators.values())).image_size
    prepare = CropAndResize(faces.crop, size)
    columns, titles = [[prepare(image) for image in images]], ["test image"]
    for expression in GRID_EXPRESSIONS:
        for name, translator in translators.items():
            columns.append([np.asarray(translator(image, expression=expression)) for image in images])
            titles.append(f"{expression}: {name.partition(' (')[0]}")
        counterfactuals = (faces.counterfactual(record, {"expression": expression}) for record in records)
        columns.append([prepare(faces.load(record)) for record in counterfactuals if record is not None])
        titles.append(f"{expression}: truth")
    return draw_grid(np.stack([np.stack(column) for column in columns], axis=1), titles, footer=faces.credit)


def main() -> None:
    """Trains all cells, then prints the table and writes OUT/joint.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/joint"))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--jobs", type=int, default=1, help="number of cells at the same time")
    parser.add_argument(
        "--cross-dataset", action="store_true", help="a fourth variant: half of the targets from the other dataset"
    )
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="for every cell, such as train.steps=100")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    variants = list(VARIANTS)[: None if options.cross_dataset else -1]
    settings_file = options.out / "settings.json"
    if settings_file.exists() and json.loads(settings_file.read_text()) != options.settings:
        sys.exit(f"{options.out}: was started with other settings ({settings_file}); choose another --out")
    settings_file.write_text(json.dumps(options.settings))
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = {
            (variant, seed): pool.submit(run_cell, options.out, variant, seed, threads, options.settings)
            for seed in range(options.seeds)
            for variant in variants
        }
        figures = {variant: [futures[variant, seed].result() for seed in range(options.seeds)] for variant in variants}
    draw_expressions(options.out, variants).save(options.out / "joint.png")
    print(format_table(figures))
    print("\n".join(f"- {name}: {meaning}" for name, meaning in COLUMNS.items()))


if __name__ == "__main__":
    main()
