"""Pairs of images, in both layouts, and wrong roots."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mdtranslate_pix2pix.aligned import Aligned
from PIL import Image
from runs import mdtranslate

from mdtranslate import Split
from mdtranslate.errors import DataError


def aligned(root: Path, **settings: Any) -> Aligned:
    return Aligned(Aligned.Config(root=root, **settings))


def save(file: Path, *greys: int) -> None:
    """Saves an image of squares of these grey levels side by side."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = np.concatenate([np.full((32, 32, 3), grey, np.uint8) for grey in greys], axis=1)
    Image.fromarray(image).save(file)


def fill(root: Path, layout: str, counts: dict[str, int]) -> None:
    for split, count in counts.items():
        for number in range(count):
            if layout == "halves":
                save(root / split / f"{number}.png", number, 100 + number)
            else:
                save(root / "A" / split / f"{number}.png", number)
                save(root / "B" / split / f"{number}.png", 100 + number)


@pytest.mark.parametrize("layout", ["halves", "folders"])
def test_a_pair_is_two_records_that_are_mutual_counterfactuals(tmp_path: Path, layout: str) -> None:
    fill(tmp_path, layout, {"train": 6, "val": 2, "test": 3})
    dataset = aligned(tmp_path, values=("label", "photo"), attribute="kind")
    assert [(attribute.name, attribute.values) for attribute in dataset.attributes] == [("kind", ("label", "photo"))]
    for split, count in ((Split.TRAIN, 6), (Split.VAL, 2), (Split.TEST, 3)):
        records = list(dataset.records(split))
        assert len(records) == 2 * count and len({record.key for record in records}) == 2 * count
        for number, record in enumerate(records):
            side = number % 2
            assert record.attributes == {"kind": ("label", "photo")[side]}
            image = dataset.load(record)
            assert image.shape == (32, 32, 3) and image[0, 0, 0] == 100 * side + number // 2
            other = dataset.counterfactual(record, {"kind": ("photo", "label")[side]})
            assert other == records[number ^ 1]
            assert dataset.counterfactual(record, dict(record.attributes)) == record
            assert dataset.counterfactual(record, {"colour": "red"}) is None


def test_pairs_stay_together_in_drawn_splits(tmp_path: Path) -> None:
    fill(tmp_path, "folders", {"train": 60})
    dataset = aligned(tmp_path, val=0.2, test=0.2)
    keys = {split: [record.key.partition("#")[0] for record in dataset.records(split)] for split in Split}
    assert all(group and group[::2] == group[1::2] for group in keys.values())
    assert sum(map(len, keys.values())) == 120 and not set(keys[Split.TRAIN]) & set(keys[Split.TEST])


def test_mistakes_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "right", "halves", {"train": 2})
    fill(tmp_path / "apart", "folders", {"train": 2})
    (tmp_path / "apart/B/train/1.png").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare/train").mkdir(parents=True)
    fill(tmp_path / "high/facades", "halves", {"train": 2})
    fill(tmp_path / "alone", "folders", {"train": 2})
    shutil.rmtree(tmp_path / "alone/B")
    for name in ("under/train/A", "under/train/B", "under/test/A", "under/test/B"):
        fill(tmp_path / name, "halves", {"": 2})
    for side in "AB":  # Two separate datasets of images side by side.
        fill(tmp_path / "two" / side, "halves", {"train": 1 + (side == "B")})
        (tmp_path / f"two/{side}/train/0.png").rename(tmp_path / f"two/{side}/train/{side}.png")
    assert len(list(aligned(tmp_path / "two/A", val=0, test=0).records(Split.TRAIN))) == 2
    fill(tmp_path / "twice", "halves", {"train": 1, "val": 1, "Validation": 1})
    fill(tmp_path / "late", "folders", {"test": 2})
    Image.new("RGB", (64, 32)).save(tmp_path / "high/flat.png")
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (64, 32)).save(tmp_path / "flat/0.png")
    for root, message in [
        ("nowhere", r"nowhere: "),
        ("right/train", r"right/train: .*/right "),
        ("empty", r"empty: .*train/.* A/train and B/train"),
        ("bare", r"bare/train: "),
        ("apart/A", r"apart/A: .*/apart "),
        ("under", r"under: .*test/A .* A/test"),
        ("twice", r"twice: .*\(Validation, train, val\)"),
        ("alone", r"alone: has A/ but no B/"),
        ("high", r"high: .*/high/facades "),
        ("late", r"late: .*A/ has no train/"),
        ("flat", r"flat: .*train/"),
        ("apart", r"A/train/1\.png: .*B/train/1\.png"),
    ]:
        with pytest.raises(DataError, match=message):
            list(aligned(tmp_path / root).records(Split.TRAIN))
    Image.new("RGB", (33, 32)).save(tmp_path / "right/train/0.png")
    dataset = aligned(tmp_path / "right", val=0, test=0)
    with pytest.raises(DataError, match=r"0\.png: is 33 pixels"):
        dataset.load(next(iter(dataset.records(Split.TRAIN))))
    with pytest.raises(ValueError, match="both are 'A'"):
        aligned(tmp_path / "right", values=("A", "A"))


def test_pix2pix_trains_on_pairs(tmp_path: Path) -> None:
    fill(tmp_path / "pairs", "halves", {"train": 8, "val": 2, "test": 2})
    done = mdtranslate(
        "run", "pix2pix-aligned", "datasets.aligned.root=pairs", "data.load_size=36", "data.image_size=32",
        "generator.member.channels=4", "discriminator.member.channels=4", "discriminator.member.layers=2",
        "train.steps=6", "train.validate_every=0", "train.log_every=3", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "per-pair: 2 networks of unet-generator" in done.stderr
    assert (tmp_path / "run/translator").is_dir()


def test_pairs_may_differ_in_size_but_not_in_proportions(tmp_path: Path) -> None:
    fill(tmp_path, "folders", {"train": 2})
    first = tmp_path / "A/train/0.png"
    Image.new("RGB", (16, 16), (7, 7, 7)).save(first)
    dataset = aligned(tmp_path)
    one, other = list(dataset.records(Split.TRAIN))[:2]
    assert dataset.load(one).shape == (16, 16, 3) and dataset.load(other).shape == (32, 32, 3)
    Image.new("RGB", (16, 24)).save(first)
    for record in (one, other):
        with pytest.raises(DataError, match=r"0\.png: is .* and .*0\.png .*proportions"):
            dataset.load(record)
