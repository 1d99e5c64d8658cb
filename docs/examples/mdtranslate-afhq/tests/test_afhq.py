"""Both versions' layouts, on small pictures."""

import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from mdtranslate_afhq.dataset import AFHQ
from PIL import Image

from mdtranslate import Split
from mdtranslate.errors import DataError
from mdtranslate.testing import dataset_checks


def write(root: Path, second: str, suffix: str, first: str | None = "train") -> Path:
    draw = np.random.default_rng(0)
    for folder, count in (*([(first, 30)] if first else ()), (second, 4)):
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


def keys(root: Path, split: Split, val: float = 0.2) -> list[str]:
    return [record.key for record in AFHQ(AFHQ.Config(root=root, val=val)).records(split)]


def test_folders_for_all_splits_are_what_they_are_called(tmp_path):
    write(write(tmp_path, "val", ".jpg"), "test", ".png", first=None)
    assert [len(keys(tmp_path, split)) for split in Split] == [90, 12, 12]
    assert {key.partition("/")[0] for key in keys(tmp_path, Split.VAL)} == {"val"}
    # For every domain, also for one that has pictures in one of them alone.
    shutil.rmtree(tmp_path / "test" / "cat")
    assert {key.rpartition("/")[0] for key in keys(tmp_path, Split.TEST)} == {"test/dog", "test/wild"}


def test_what_macos_leaves_behind_is_no_picture(tmp_path):
    write(tmp_path, "test", ".jpg")
    before = [keys(tmp_path, split) for split in Split]
    for folder in ("train", "test"):
        (tmp_path / folder / "cat" / "._flickr_cat_000000.jpg").write_bytes(b"Mac OS X")
    assert [keys(tmp_path, split) for split in Split] == before


def test_what_is_not_there_is_empty_and_a_wrong_folder_is_named(tmp_path):
    write(tmp_path, "val", ".jpg")
    shutil.rmtree(tmp_path / "val")
    assert keys(tmp_path, Split.TEST) == [] and keys(tmp_path, Split.VAL)
    shutil.rmtree(tmp_path / "train" / "dog")
    assert {key.split("/")[1] for key in keys(tmp_path, Split.TRAIN)} == {"cat", "wild"}
    for wrong in (tmp_path / "train", tmp_path / "nowhere"):
        with pytest.raises(DataError, match=f"{wrong}: has no folder train, val or test"):
            keys(wrong, Split.TRAIN)


def test_that_its_recipe_trains(tiny_run):
    small = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
    run = tiny_run(f"datasets.afhq.root='{first_version()}'", *small, recipe="stargan-afhq")
    assert (run / "translator").is_dir()
