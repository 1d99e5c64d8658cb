"""RaFD from small files that are named as the distributed ones are."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mdtranslate_stargan.rafd import ANGLES, EXPRESSIONS, GAZES, RaFD
from PIL import Image

from mdtranslate import Split
from mdtranslate.data.transforms import Preparation
from mdtranslate.errors import DataError

PEOPLE = {
    "01": ("Caucasian", "female"),
    "03": ("Caucasian", "male"),
    "45": ("Moroccan", "male"),
    "63": ("Kid", "female"),
}


def write(root: Path, people: Any = PEOPLE) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for person, (group, gender) in people.items():
        for angle, expression, gaze in product(ANGLES, EXPRESSIONS, GAZES):
            (root / f"Rafd{angle}_{person}_{group}_{gender}_{expression}_{gaze}.jpg").touch()
    return root


def rafd(root: Path, **settings: Any) -> RaFD:
    return RaFD(RaFD.Config(root=root, **settings))


def split_up(dataset: RaFD) -> dict[Split, list[Any]]:
    return {split: list(dataset.records(split)) for split in Split}


def test_every_name_is_read(tmp_path: Path) -> None:
    dataset = rafd(write(tmp_path), angles=ANGLES)
    records = {each.key: each for own in split_up(dataset).values() for each in own}
    assert len(records) == 4 * 5 * 8 * 3
    record = records["Rafd045_63_Kid_female_surprised_left.jpg"]
    assert record.image == tmp_path / record.key
    assert record.attributes == {"expression": "surprised", "gaze": "left", "angle": "045", "gender": "female"}
    assert {each.name: each.values for each in dataset.attributes} == {
        "expression": EXPRESSIONS,
        "gaze": GAZES,
        "angle": ANGLES,
        "gender": ("female", "male"),
    }


def test_the_papers_choice_is_the_default(tmp_path: Path) -> None:
    everybody = {f"{number:02d}": ("Caucasian", "male") for number in range(67)}
    assert sum(map(len, split_up(rafd(write(tmp_path, everybody))).values())) == 4_824


def test_angles_and_gazes_are_chosen(tmp_path: Path) -> None:
    dataset = rafd(write(tmp_path), angles=["090"], gazes=["frontal"])
    records = [each for own in split_up(dataset).values() for each in own]
    assert len(records) == 4 * 8
    assert all(each.key.startswith("Rafd090") and each.key.endswith("_frontal.jpg") for each in records)
    assert [each.name for each in dataset.attributes] == ["expression", "gender"], "what never varies is no attribute"


def test_no_face_is_in_two_splits(tmp_path: Path) -> None:
    everybody = {f"{number:02d}": ("Caucasian", "male") for number in range(67)}
    found = split_up(rafd(write(tmp_path, everybody)))
    people = {split: {each.key.split("_")[1] for each in own} for split, own in found.items()}
    assert {split: len(own) for split, own in people.items()} == {Split.TRAIN: 57, Split.VAL: 3, Split.TEST: 7}
    assert not people[Split.TRAIN] & people[Split.TEST] and not people[Split.VAL] & people[Split.TEST]
    assert people[Split.TEST] != {f"{number:02d}" for number in range(7)}


def test_a_tenth_at_random_as_in_the_paper(tmp_path: Path) -> None:
    found = split_up(rafd(write(tmp_path), split="random"))
    total = sum(map(len, found.values()))
    assert not found[Split.VAL]
    assert 0.05 < len(found[Split.TEST]) / total < 0.15
    assert {each.key for each in found[Split.TEST]} == {
        each.key for each in rafd(tmp_path, split="random").records(Split.TEST)
    }


def test_a_folder_per_expression(tmp_path: Path) -> None:
    for expression in EXPRESSIONS:
        (tmp_path / expression).mkdir()
        for number in range(4):
            (tmp_path / expression / f"face{number}.png").touch()
    dataset = rafd(tmp_path, split="random")
    records = [each for own in split_up(dataset).values() for each in own]
    assert len(records) == 32
    assert all(each.attributes == {"expression": each.key.split("/")[0]} for each in records)
    with pytest.raises(DataError, match=r"face0\.png: does not name the person .* split=random"):
        list(rafd(tmp_path).records(Split.TRAIN))


def test_own_names_in_a_folder_per_expression(tmp_path: Path) -> None:
    write(tmp_path)
    for file in list(tmp_path.iterdir()):
        folder = tmp_path / file.stem.split("_")[4]
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    people = {split: {each.key.split("_")[1] for each in own} for split, own in split_up(rafd(tmp_path)).items()}
    assert people[Split.TEST] and not people[Split.TEST] & people[Split.TRAIN]


@pytest.mark.parametrize("name", ["holiday.jpg", "Rafd090_01_Caucasian_female_amused_frontal.jpg"])
def test_what_tells_no_expression_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).touch()
    with pytest.raises(DataError, match=rf"{name}: neither its name"):
        list(rafd(tmp_path).records(Split.TRAIN))


def test_no_folder_and_no_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        list(rafd(tmp_path / "nowhere").records(Split.TRAIN))
    with pytest.raises(DataError, match="holds no picture of the angles 045, 090, 135"):
        list(rafd(tmp_path).records(Split.TRAIN))


def test_the_crop_is_the_square_that_is_stated(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 681, 3), np.uint8)
    file = write(tmp_path) / "Rafd090_01_Caucasian_female_angry_frontal.jpg"
    Image.fromarray(pixels).save(file, "PNG")
    dataset = rafd(tmp_path)
    (record,) = [each for own in split_up(dataset).values() for each in own if each.image == file]
    assert np.array_equal(Preparation(dataset.crop, 640)(dataset.load(record)), pixels[120:760, 20:660])
    with pytest.raises(ValueError, match="is no square"):
        rafd(tmp_path, crop=(340, 440, 700))
