"""Every recipe of the papers trains and translates, on small files in the published layouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from layouts import write_celeba, write_rafd
from mdtranslate_stargan.rafd import EXPRESSIONS
from PIL import Image
from runs import mdtranslate

from mdtranslate import Split

BRIEF = [
    *("data.image_size=32", "data.batch_size=4", "data.workers=0", "train.steps=4", "train.critic_steps=2"),
    *("train.sample_images=4", "train.log_every=2"),
]
SMALL = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=4"]
BANKS = [
    "generator.member.channels=4",
    "discriminator.member.channels=4",
    "discriminator.member.layers=2",
    "train.critic_steps=1",
]
RESNETS = [*BANKS, "generator.member.blocks=1"]
AVATARS = [f"datasets.avatars.{split}=8" for split in Split]
CELEBA = ["datasets.celeba.root=celeba", "datasets.celeba.split=official"]
PHOTOS = [*CELEBA, 'datasets.celeba.attributes=["hair", "Male", "Young"]']
RAFD = ["datasets.rafd.root=rafd", "datasets.rafd.split=person"]
RECIPES = {
    "stargan-celeba": CELEBA,
    "stargan-celeba-released": CELEBA,
    "stargan-celeba-64": PHOTOS,
    "stargan-celeba-128": PHOTOS,
    "stargan-rafd": [*RAFD, "train.precision=bf16"],
    "stargan-joint": [*CELEBA, *RAFD],
    "stargan-avatars-joint": [f"datasets.{name}.{split}=8" for name in ("faces", "moods") for split in Split],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    write_celeba(folder / "celeba")
    write_rafd(folder / "rafd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder


BASELINES = {
    "cyclegan": [*RESNETS, *AVATARS],
    "cyclegan-avatars": [*RESNETS, *AVATARS, "train.precision=bf16"],
    "diat": [*RESNETS, *AVATARS, "train.precision=bf16"],
    "pix2pix": [*BANKS, *AVATARS],
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_trains(home: Path, name: str) -> None:
    done = mdtranslate("run", name, *RECIPES[name], *BRIEF, *SMALL, "--out", name, cwd=home)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (home / name / "log.jsonl").read_text().splitlines()]
    adversarial = "logistic.real" if name in ("stargan-celeba-64", "stargan-celeba-128") else "wgan-gp.penalty"
    assert {f"discriminator/{adversarial}", "generator/domain-classification"} <= set(lines[-1])
    with Image.open(home / name / "samples" / "000004.png") as grid:
        assert grid.width > 400


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_trains_and_translates(home: Path, name: str) -> None:
    done = mdtranslate("run", name, *BRIEF, *BASELINES[name], "--out", name, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "per-value: " in done.stderr
    log = (home / name / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == 4
    with Image.open(home / name / "samples" / "000004.png") as grid:
        assert grid.width > 60
    photo = home / "face.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(photo)
    known = [] if name == "diat" else ["--from", "Eyeglasses=no"]
    words = ["translate", name, str(photo), *known, "--set", "Eyeglasses=yes", "--out", f"{name}-results"]
    done = mdtranslate(*words, cwd=home)
    assert done.returncode == 0, done.stderr
    assert len(list((home / f"{name}-results").glob("*.png"))) == 1
    if known:
        done = mdtranslate("translate", name, str(photo), "--set", "Eyeglasses=yes", "--out", "none", cwd=home)
        assert done.returncode == 2 and "Eyeglasses" in done.stderr


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
    files = {path.name for path in (home / "all").iterdir()}
    assert {f"photo.expression={name}.png" for name in EXPRESSIONS} <= files
    assert {"photo.hair=Blond_Hair.png", "photo.all.png"} <= files
