"""What the mask vector is good for: joint training with it, without its planes, and with unknown taken as no.

python benchmarks/joint.py --out runs/joint --seeds 3 --jobs 2

Each cell is a run of `stargan-avatars-joint` and its evaluation, in a folder of its own; what is finished is not done
again. The table is Markdown: means over seeds, and in brackets the least and the most. OUT/joint.png shows expressions
transferred to test pictures of `faces` by seed 0 of each variant, beside the true pictures.
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
from mdtranslate.config.recipes import resolve
from mdtranslate.data.transforms import Preparation
from mdtranslate.inference.grid import draw_grid

VARIANTS = {
    "mask vector (the paper)": [],
    "without its planes": ["encoder.masks=none"],
    "unknown taken as no": ["encoder.masks=none", "encoder.unknown=no"],
    "mask vector, half the targets from the other set": ["data.across=0.5"],
}
APPEARANCE = ("hair", "Eyeglasses", "Facial_Hair")
SHOWN, ROWS = ("happy", "sad", "surprised"), 5
COLUMNS = {
    "expressions transferred to faces": "share of edits that the judge sees as wanted; of always the same, 12.5 %",
    "PSNR gain": "of those, over leaving the picture as it is, in decibels",
    "others preserved": "of those",
    "expressions of moods": "as the first column, on the set that labels them",
    "appearance of faces": "mean of hair, glasses and facial hair, on the set that labels them",
    "appearance transferred to moods": "the same on the other set",
}


def folder(out: Path, variant: str, seed: int) -> Path:
    """Where a cell lies."""
    return out / f"{re.sub('[^a-z]+', '-', variant).strip('-')}-{seed}"


def cell(out: Path, variant: str, seed: int, threads: int, extra: list[str]) -> dict[str, float]:
    """Trains and evaluates one cell where it has to be; gives its figures."""
    run = folder(out, variant, seed)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    program = [sys.executable, "-m", "mdtranslate"]

    def call(*words: str) -> None:
        with (out / f"{run.name}.log").open("a") as log:
            subprocess.run([*program, *words], env=environment, stdout=log, stderr=log, check=True)

    if not (run / "recipe.toml").exists():
        settings = [*VARIANTS[variant], f"train.seed={seed}", *extra]
        call("run", "stargan-avatars-joint", *settings, "--out", str(run))
    else:
        call("run", str(run))
    report = run / "evaluation" / "report.json"
    if not report.exists():
        call("evaluate", str(run))
    datasets = json.loads(report.read_text())["datasets"]
    faces, moods = (
        {**each["figures"]["edit-accuracy"], **each["figures"]["counterfactual"]} for each in datasets.values()
    )
    kept = [value for name, value in faces.items() if name.startswith("expression/preserves/")]
    values = (
        faces["expression/accuracy"],
        faces["expression/psnr gain"],
        fmean(kept),
        moods["expression/accuracy"],
        fmean(faces[f"{name}/accuracy"] for name in APPEARANCE),
        fmean(moods[f"{name}/accuracy"] for name in APPEARANCE),
    )
    return dict(zip(COLUMNS, values, strict=True))


def table(figures: dict[str, list[dict[str, float]]]) -> str:
    """The figures of every variant's seeds, as Markdown."""
    lines = [f"| | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    for variant, seeds in figures.items():
        words = []
        for column in COLUMNS:
            values = [each[column] for each in seeds]
            form = "{:+.2f} dB" if column == "PSNR gain" else "{:.1%}"
            low, mean, high = (form.format(each) for each in (min(values), fmean(values), max(values)))
            words.append(f"{mean} ({low} to {high})" if len(values) > 1 else mean)
        lines.append(f"| {variant} | {' | '.join(words)} |")
    return "\n".join(lines)


def picture(out: Path, variants: list[str]) -> Image.Image:
    """The first test pictures of `faces` with some expressions, by each variant and as they truly are."""
    choice = resolve("stargan-avatars-joint").recipe.datasets["faces"]
    faces = choice.build()
    records = list(faces.records(Split.TEST))[:ROWS]
    shots = [faces.load(record) for record in records]
    translators = {name: Translator.load(folder(out, name, 0)) for name in variants}
    size = next(iter(translators.values())).image_size
    prepare = Preparation(faces.crop, size)
    columns, titles = [[prepare(each) for each in shots]], ["test picture"]
    for expression in SHOWN:
        for name, translator in translators.items():
            columns.append([np.asarray(translator(each, expression=expression)) for each in shots])
            titles.append(f"{expression}: {name.partition(' (')[0]}")
        changed = (faces.counterfactual(record, {"expression": expression}) for record in records)
        columns.append([prepare(faces.load(each)) for each in changed if each is not None])
        titles.append(f"{expression}: true")
    return draw_grid(np.stack([np.stack(each) for each in columns], axis=1), titles, footer=faces.credit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/joint"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    parser.add_argument("--across", action="store_true", help="a fourth variant: half the targets from the other set")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="for every cell, such as train.steps=100")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    names = list(VARIANTS)[: None if options.across else -1]
    kept = options.out / "settings.json"
    if kept.exists() and json.loads(kept.read_text()) != options.settings:
        sys.exit(f"{options.out}: was begun with other settings ({kept}); choose another --out")
    kept.write_text(json.dumps(options.settings))
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = {
            (name, seed): pool.submit(cell, options.out, name, seed, threads, options.settings)
            for seed in range(options.seeds)
            for name in names
        }
        figures = {name: [jobs[name, seed].result() for seed in range(options.seeds)] for name in names}
    picture(options.out, names).save(options.out / "joint.png")
    print(table(figures))
    print("\n".join(f"- {name}: {meaning}" for name, meaning in COLUMNS.items()))


if __name__ == "__main__":
    main()
