"""The contract, and the layouts of both versions, on small images."""

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
    """Writes 30 images of each domain to the first folder and 4 to the second."""
    rng = np.random.default_rng(0)
    for folder, count in (*([(first, 30)] if first else ()), (second, 4)):
        for domain in ("cat", "dog", "wild"):
            (root / folder / domain).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (24, 24, 3), np.uint8)
                Image.fromarray(pixels).save(root / folder / domain / f"flickr_{domain}_{number:06}{suffix}")
    return root


@functools.cache
def first_version() -> Path:
    return write(Path(tempfile.mkdtemp()), "val", ".jpg")


@dataset_checks(lambda: AFHQ(AFHQ.Config(root=first_version(), val=0.2)))
def test_contract(check):
    check()


def keys(root: Path, split: Split, val: float = 0.2) -> list[str]:
    return [record.key for record in AFHQ(AFHQ.Config(root=root, val=val)).records(split)]


@pytest.mark.parametrize(("second", "suffix"), [("val", ".jpg"), ("test", ".png")])
def test_both_versions(tmp_path, second, suffix):
    write(tmp_path, second, suffix)
    train, val, test = (keys(tmp_path, split) for split in Split)
    assert len(train) + len(val) == 90 and 5 < len(val) < 35 and len(test) == 12
    assert test[0] == f"{second}/cat/flickr_cat_000000{suffix}"


def test_folders_for_all_splits_are_used_as_they_are(tmp_path):
    write(write(tmp_path, "val", ".jpg"), "test", ".png", first=None)
    assert [len(keys(tmp_path, split)) for split in Split] == [90, 12, 12]
    assert {key.partition("/")[0] for key in keys(tmp_path, Split.VAL)} == {"val"}
    # A domain that is missing in one folder is not replaced by images of another.
    shutil.rmtree(tmp_path / "test" / "cat")
    assert {key.rpartition("/")[0] for key in keys(tmp_path, Split.TEST)} == {"test/dog", "test/wild"}


def test_hidden_files_are_ignored(tmp_path):
    write(tmp_path, "test", ".jpg")
    before = [keys(tmp_path, split) for split in Split]
    for folder in ("train", "test"):
        (tmp_path / folder / "cat" / "._flickr_cat_000000.jpg").write_bytes(b"Mac OS X")
    assert [keys(tmp_path, split) for split in Split] == before


def test_missing_folders(tmp_path):
    write(tmp_path, "val", ".jpg")
    shutil.rmtree(tmp_path / "val")
    assert keys(tmp_path, Split.TEST) == [] and keys(tmp_path, Split.VAL)
    shutil.rmtree(tmp_path / "train" / "dog")
    assert {key.split("/")[1] for key in keys(tmp_path, Split.TRAIN)} == {"cat", "wild"}
    for wrong in (tmp_path / "train", tmp_path / "nowhere"):
        with pytest.raises(DataError, match=str(wrong)):
            keys(wrong, Split.TRAIN)


def test_the_recipe_trains(tiny_run):
    settings = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
    run = tiny_run(f"datasets.afhq.root='{first_version()}'", *settings, recipe="stargan-afhq")
    assert (run / "translator").is_dir()
