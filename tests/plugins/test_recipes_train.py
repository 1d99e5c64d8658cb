"""Each of the paper's recipes trains, evaluates and translates, on small files in exactly the real layouts."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from mdtranslate_stargan.rafd import EXPRESSIONS
from PIL import Image
from runs import mdtranslate

from mdtranslate import Split

SMALL = [
    *("generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=4"),
    *("data.image_size=32", "data.batch_size=4", "data.workers=0", "train.steps=4", "train.critic_steps=2"),
    *("train.sample_pictures=4", "train.log_every=2"),
]
CELEBA = ["datasets.celeba.root=celeba", "datasets.celeba.split=official"]
RAFD = ["datasets.rafd.root=rafd", "datasets.rafd.split=person"]
RECIPES = {
    "stargan-celeba": CELEBA,
    "stargan-celeba-released": CELEBA,
    "stargan-rafd": RAFD,
    "stargan-joint": [*CELEBA, *RAFD],
    "stargan-avatars-joint": [f"datasets.{name}.{split}=8" for name in ("faces", "moods") for split in Split],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    draw = np.random.default_rng(0)
    images = folder / "celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    names = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]
    labels, splits = [], []
    for number in range(24):
        Image.fromarray(draw.integers(0, 256, (218, 178, 3), np.uint8)).save(images / f"{number:06d}.jpg")
        values = [number % 4 == 0, number % 4 == 1, number % 4 == 2, number % 2 == 0, number % 3 == 0]
        labels.append(f"{number:06d}.jpg " + " ".join(f"{1 if each else -1:2d}" for each in values))
        splits.append(f"{number:06d}.jpg {max(0, number // 8 - 0)}")
    (folder / "celeba" / "list_attr_celeba.txt").write_text("\n".join(["24", " ".join(names), *labels]) + "\n")
    (folder / "celeba" / "list_eval_partition.txt").write_text("\n".join(splits) + "\n")
    (folder / "rafd").mkdir()
    for person, expression in product(("01", "02", "03"), EXPRESSIONS):
        pixels = draw.integers(0, 256, (1024, 681, 3), np.uint8)
        name = f"Rafd090_{person}_Caucasian_female_{expression}_frontal.jpg"
        Image.fromarray(pixels).save(folder / "rafd" / name, quality=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_trains(home: Path, name: str) -> None:
    done = mdtranslate("run", name, *RECIPES[name], *SMALL, "--out", name, cwd=home)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (home / name / "log.jsonl").read_text().splitlines()]
    assert {"discriminator/wgan-gp.penalty", "generator/domain-classification"} <= set(lines[-1])
    with Image.open(home / name / "samples" / "000004.png") as grid:
        assert grid.width > 400


def test_a_joint_model_edits_photos_of_either_dataset(home: Path) -> None:
    run = "stargan-joint"
    if not (home / run).is_dir():
        test_the_recipe_trains(home, run)
    photo = home / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 200, 3), np.uint8)).save(photo)
    done = mdtranslate("translate", run, str(photo), "--set", "expression=happy", "--out", "happy", cwd=home)
    assert done.returncode == 0, done.stderr
    done = mdtranslate("translate", run, str(photo), "--all", "--out", "all", cwd=home)
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (home / "all").iterdir()}
    assert {f"photo.expression={each}.png" for each in EXPRESSIONS} <= made
    assert {"photo.hair=Blond_Hair.png", "photo.all.png"} <= made
