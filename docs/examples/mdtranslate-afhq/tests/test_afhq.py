"""Both versions' layouts, on small pictures."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from mdtranslate_afhq.dataset import AFHQ
from PIL import Image

from mdtranslate import Split
from mdtranslate.errors import DataError
from mdtranslate.testing import dataset_checks


def write(root: Path, second: str, suffix: str) -> Path:
    draw = np.random.default_rng(0)
    for folder, count in (("train", 30), (second, 4)):
        for domain in ("cat", "dog", "wild"):
            (root / folder / domain).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (24, 24, 3), np.uint8)
                Image.fromarray(pixels).save(root / folder / domain / f"flickr_{domain}_{number:06}{suffix}")
    return root


@functools.cache
def first_version() -> Path:
    return write(Path(tempfile.mkdtemp()), "val", ".jpg")


@dataset_checks(lambda: AFHQ(AFHQ.Config(root=first_version(), val=0.2)))
def test_the_contract(check):
    check()


@pytest.mark.parametrize(("second", "suffix"), [("val", ".jpg"), ("test", ".png")])
def test_both_versions(tmp_path, second, suffix):
    dataset = AFHQ(AFHQ.Config(root=write(tmp_path, second, suffix), val=0.2))
    train, val, test = ([record.key for record in dataset.records(split)] for split in Split)
    assert len(train) + len(val) == 90 and 5 < len(val) < 35 and len(test) == 12
    assert test[0] == f"{second}/cat/flickr_cat_000000{suffix}"


def test_a_wrong_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="has no folder train/cat"):
        list(AFHQ(AFHQ.Config(root=tmp_path)).records(Split.TRAIN))


def test_that_its_recipe_trains(tiny_run):
    small = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
    run = tiny_run(f"datasets.afhq.root='{first_version()}'", *small, recipe="stargan-afhq")
    assert (run / "translator").is_dir()
