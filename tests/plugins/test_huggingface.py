"""Datasets of Hugging Face's library: saved to disk or as a folder of files, and mistakes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from mdtranslate_basics.huggingface import HuggingFace
from PIL import Image
from runs import mdtranslate

from mdtranslate import Split
from mdtranslate.data.cache.store import cache_images
from mdtranslate.errors import DataError, MdtranslateError

FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "species": datasets.ClassLabel(names=["cat", "dog"]),
        "smiling": datasets.Value("bool"),
        "age": datasets.Value("string"),
        "Male": datasets.Value("int8"),
        "score": datasets.Value("float32"),
    }
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def png(seed: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 16, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def table(first: int, count: int) -> datasets.Dataset:
    numbers = range(first, first + count)
    rows = {
        "image": [{"bytes": png(n), "path": None} for n in numbers],
        "species": [-1 if n == 3 else n % 2 for n in numbers],
        "smiling": [None if n == 5 else n % 3 == 0 for n in numbers],
        "age": ["" if n == 7 else ("old", "young")[n % 2] for n in numbers],
        "Male": [1 if n % 4 else -1 for n in numbers],
        "score": [n / 7 for n in numbers],
    }
    return datasets.Dataset.from_dict(rows, features=FEATURES)


def hub(path: Path, **settings: Any) -> HuggingFace:
    return HuggingFace(HuggingFace.Config(path=str(path), **settings))


def test_a_saved_dataset_with_splits(tmp_path: Path) -> None:
    tables = {"train": table(0, 40), "validation": table(40, 6), "test": table(46, 8)}
    datasets.DatasetDict(tables).save_to_disk(tmp_path / "saved")
    dataset = hub(tmp_path / "saved")
    assert {attribute.name: attribute.values for attribute in dataset.attributes} == {
        "species": ("cat", "dog"), "smiling": (), "age": ("old", "young"), "Male": (),
    }  # fmt: skip
    records = {split: list(dataset.records(split)) for split in Split}
    assert {split: len(group) for split, group in records.items()} == {"train": 40, "val": 6, "test": 8}
    assert records[Split.TRAIN][0].attributes == {"species": "cat", "smiling": True, "age": "old", "Male": False}
    train = records[Split.TRAIN]
    assert "species" not in train[3].attributes and "smiling" not in train[5].attributes
    assert "age" not in train[7].attributes
    with Image.open(BytesIO(png(41))) as image:
        assert np.array_equal(dataset.load(records[Split.VAL][1]), np.asarray(image))
    assert hub(tmp_path / "saved").version == dataset.version
    parallel, serial = (
        cache_images(dataset, records, 8, instance="h", purpose="train", workers=workers)
        for records, workers in ((train, 2), (train[:], 0))
    )
    assert np.array_equal(parallel.pixels, serial.pixels)


def test_a_single_split_is_divided_and_other_content_changes_the_version(tmp_path: Path) -> None:
    table(0, 200).save_to_disk(tmp_path / "one")
    table(1, 200).save_to_disk(tmp_path / "other")
    dataset = hub(tmp_path / "one")
    keys = {split: {record.key for record in dataset.records(split)} for split in Split}
    assert sum(map(len, keys.values())) == 200 and len(set().union(*keys.values())) == 200
    assert 2 <= len(keys[Split.VAL]) <= 25 and 8 <= len(keys[Split.TEST]) <= 40
    assert dataset.version != hub(tmp_path / "other").version


def test_a_folder_of_images(tmp_path: Path) -> None:
    for number in range(12):
        file = tmp_path / "pets" / "train" / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    dataset = hub(tmp_path / "pets")
    assert [(attribute.name, attribute.values) for attribute in dataset.attributes] == [("label", ("cat", "dog"))]
    record = next(iter(dataset.records(Split.TRAIN)))
    assert dataset.load(record).shape == (20, 16, 3)


def test_unusual_cells_and_two_image_columns(tmp_path: Path) -> None:
    images = [{"bytes": png(n), "path": None} for n in range(6)]
    rows = {"photo": images, "sketch": images[::-1], "x": ["Yes", "yes", "No", " ", None, "yes "]}
    rows |= {"mood": [-1, 0, 1, -1, 0, 1], "pet": ["cat", "cat ", "dog", "dog", "cat", "dog"]}
    dataset = datasets.Dataset.from_dict(rows)
    for name in ("photo", "sketch"):
        dataset = dataset.cast_column(name, datasets.Image())
    dataset.save_to_disk(tmp_path / "odd")
    photo, sketch = (hub(tmp_path / "odd", image=name, val=0, test=0) for name in ("photo", "sketch"))
    known = [record.attributes for record in photo.records(Split.TRAIN)]
    assert [values.get("x") for values in known] == [True, True, False, None, None, True]
    assert {attribute.name: attribute.values for attribute in photo.attributes} == {
        "x": (), "mood": ("-1", "0", "1"), "pet": ("cat", "dog"),
    }  # fmt: skip
    one, other = (
        cache_images(dataset, list(dataset.records(Split.TRAIN)), 8, instance="h", purpose="t")
        for dataset in (photo, sketch)
    )
    assert one.key != other.key and np.array_equal(one.pixels, other.pixels[::-1])
    with pytest.raises(MdtranslateError, match="photo, sketch"):
        list(hub(tmp_path / "odd").attributes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "imagee"}, r"image=imagee: .*saved .*'image'"),
        ({"ignore": ["agee"]}, r"ignore=agee: .*saved .*'age'"),
        ({"train_split": "tarin"}, r"train_split=tarin: .*saved .*'train'"),
        ({"ignore": ["species", "smiling", "age", "Male"]}, "saved: .*image, species, "),
    ],
)
def test_mistakes_are_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    datasets.DatasetDict({"train": table(0, 10)}).save_to_disk(tmp_path / "saved")
    dataset = hub(tmp_path / "saved", **settings)
    with pytest.raises(MdtranslateError, match=message) as caught:
        list(dataset.attributes)
    assert "\n" not in str(caught.value)


def test_datasets_that_cannot_be_loaded_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: "):
        _ = hub(tmp_path / "nowhere").attributes
    with pytest.raises(DataError, match=r"^nobody/no-such-dataset: ") as caught:
        list(hub(Path("nobody/no-such-dataset")).records(Split.TRAIN))
    assert "\n" not in str(caught.value)
    many = datasets.Dataset.from_dict({"image": [{"bytes": png(0), "path": None}] * 70, "id": [*map(str, range(70))]})
    many.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "ids")
    with pytest.raises(DataError, match="column 'id' has 70 "):
        list(hub(tmp_path / "ids").attributes)
    damaged = datasets.Dataset.from_dict({"image": [{"bytes": b"no image", "path": None}] * 4, "a": ["x", "y"] * 2})
    damaged.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "damaged")
    dataset = hub(tmp_path / "damaged", val=0, test=0)
    with pytest.raises(DataError, match=r"damaged: row 0 of train: "):
        dataset.load(next(iter(dataset.records(Split.TRAIN))))


def test_training(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": table(0, 40)}).save_to_disk(tmp_path / "saved")
    done = mdtranslate(
        *("run", "stargan", 'datasets={pets={name="huggingface", path="saved", attributes=["species", "smiling"]}}'),
        *("generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"),
        *("data.image_size=16", "data.batch_size=4", "train.steps=2", "train.log_every=1", "--out", "run"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "samples" / "000002.png").exists()
