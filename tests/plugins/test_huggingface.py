"""Datasets of Hugging Face's library: saved to disk, as a folder of files, and every mistake in them."""

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
from mdtranslate.data.cache.store import pack
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


def part(first: int, count: int) -> datasets.Dataset:
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
    parts = {"train": part(0, 40), "validation": part(40, 6), "test": part(46, 8)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    own = hub(tmp_path / "saved")
    assert {each.name: each.values for each in own.attributes} == {
        "species": ("cat", "dog"), "smiling": (), "age": ("old", "young"), "Male": (),
    }  # fmt: skip
    records = {split: list(own.records(split)) for split in Split}
    assert {split: len(each) for split, each in records.items()} == {"train": 40, "val": 6, "test": 8}
    assert records[Split.TRAIN][0].attributes == {"species": "cat", "smiling": True, "age": "old", "Male": False}
    train = records[Split.TRAIN]
    assert "species" not in train[3].attributes and "smiling" not in train[5].attributes
    assert "age" not in train[7].attributes
    with Image.open(BytesIO(png(41))) as image:
        assert np.array_equal(own.load(records[Split.VAL][1]), np.asarray(image))
    assert hub(tmp_path / "saved").version == own.version
    together = pack(own, train, 8, instance="h", what="train", workers=2)
    assert np.array_equal(together.pixels, pack(own, train[:], 8, instance="h", what="train", workers=0).pixels)


def test_one_split_is_divided_and_a_changed_one_is_another_version(tmp_path: Path) -> None:
    part(0, 200).save_to_disk(tmp_path / "one")
    part(1, 200).save_to_disk(tmp_path / "other")
    own = hub(tmp_path / "one")
    keys = {split: {record.key for record in own.records(split)} for split in Split}
    assert sum(map(len, keys.values())) == 200 and len(set().union(*keys.values())) == 200
    assert 2 <= len(keys[Split.VAL]) <= 25 and 8 <= len(keys[Split.TEST]) <= 40
    assert own.version != hub(tmp_path / "other").version


def test_a_folder_of_pictures_as_the_library_reads_it(tmp_path: Path) -> None:
    for number in range(12):
        file = tmp_path / "pets" / "train" / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    own = hub(tmp_path / "pets")
    assert [(each.name, each.values) for each in own.attributes] == [("label", ("cat", "dog"))]
    record = next(iter(own.records(Split.TRAIN)))
    assert own.load(record).shape == (20, 16, 3)


def test_odd_words_and_two_columns_of_pictures(tmp_path: Path) -> None:
    pictures = [{"bytes": png(n), "path": None} for n in range(6)]
    rows = {"photo": pictures, "sketch": pictures[::-1], "x": ["Yes", "yes", "No", " ", None, "yes "]}
    rows |= {"mood": [-1, 0, 1, -1, 0, 1], "pet": ["cat", "cat ", "dog", "dog", "cat", "dog"]}
    made = datasets.Dataset.from_dict(rows)
    for name in ("photo", "sketch"):
        made = made.cast_column(name, datasets.Image())
    made.save_to_disk(tmp_path / "odd")
    photo, sketch = (hub(tmp_path / "odd", image=name, val=0, test=0) for name in ("photo", "sketch"))
    known = [record.attributes for record in photo.records(Split.TRAIN)]
    assert [each.get("x") for each in known] == [True, True, False, None, None, True]
    assert {each.name: each.values for each in photo.attributes} == {
        "x": (), "mood": ("-1", "0", "1"), "pet": ("cat", "dog"),
    }  # fmt: skip
    one, other = (pack(own, list(own.records(Split.TRAIN)), 8, instance="h", what="t") for own in (photo, sketch))
    assert one.key != other.key and np.array_equal(one.pixels, other.pixels[::-1])
    with pytest.raises(MdtranslateError, match="has pictures in photo, sketch"):
        list(hub(tmp_path / "odd").attributes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "imagee"}, r"image=imagee: .*saved has no such column of pictures; did you mean 'image'\?"),
        ({"ignore": ["agee"]}, r"ignore=agee: .*saved has no such column; did you mean 'age'\?"),
        ({"train_split": "tarin"}, r"train_split=tarin: .*saved has no such split; did you mean 'train'\?"),
        ({"ignore": ["species", "smiling", "age", "Male"]}, "has no column that could be an attribute among image, "),
    ],
)
def test_mistakes_are_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    datasets.DatasetDict({"train": part(0, 10)}).save_to_disk(tmp_path / "saved")
    own = hub(tmp_path / "saved", **settings)
    with pytest.raises(MdtranslateError, match=message) as caught:
        list(own.attributes)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        _ = hub(tmp_path / "nowhere").attributes
    with pytest.raises(DataError, match=r"^nobody/no-such-dataset: cannot be loaded: ") as caught:
        list(hub(Path("nobody/no-such-dataset")).records(Split.TRAIN))
    assert "\n" not in str(caught.value)
    many = datasets.Dataset.from_dict({"image": [{"bytes": png(0), "path": None}] * 70, "id": [*map(str, range(70))]})
    many.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "ids")
    with pytest.raises(DataError, match="column 'id' holds 70 different values"):
        list(hub(tmp_path / "ids").attributes)
    damaged = datasets.Dataset.from_dict({"image": [{"bytes": b"no picture", "path": None}] * 4, "a": ["x", "y"] * 2})
    damaged.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "damaged")
    own = hub(tmp_path / "damaged", val=0, test=0)
    with pytest.raises(DataError, match=r"damaged: row 0 of train: is no picture of a known format"):
        own.load(next(iter(own.records(Split.TRAIN))))


def test_it_trains(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": part(0, 40)}).save_to_disk(tmp_path / "saved")
    done = mdtranslate(
        *("run", "stargan", 'datasets={pets={name="huggingface", path="saved", attributes=["species", "smiling"]}}'),
        *("generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"),
        *("data.image_size=16", "data.batch_size=4", "train.steps=2", "train.log_every=1", "--out", "run"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "samples" / "000002.png").exists()
