"""RaFD, from empty files with the names of the distributed ones."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mdtranslate_stargan.rafd import ANGLES, EXPRESSIONS, GAZES, RaFD
from PIL import Image

from mdtranslate import Split
from mdtranslate.data.transforms import CropAndResize
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


def records_by_split(dataset: RaFD) -> dict[Split, list[Any]]:
    return {split: list(dataset.records(split)) for split in Split}


def test_file_names_are_parsed(tmp_path: Path) -> None:
    dataset = rafd(write(tmp_path), angles=ANGLES)
    records = {record.key: record for group in records_by_split(dataset).values() for record in group}
    assert len(records) == 4 * 5 * 8 * 3
    record = records["Rafd045_63_Kid_female_surprised_left.jpg"]
    assert record.image == tmp_path / record.key
    assert record.attributes == {"expression": "surprised", "gaze": "left", "angle": "045", "gender": "female"}
    assert {attribute.name: attribute.values for attribute in dataset.attributes} == {
        "expression": EXPRESSIONS,
        "gaze": GAZES,
        "angle": ANGLES,
        "gender": ("female", "male"),
    }


def test_the_default_is_the_selection_of_the_paper(tmp_path: Path) -> None:
    people = {f"{number:02d}": ("Caucasian", "male") for number in range(67)}
    assert sum(map(len, records_by_split(rafd(write(tmp_path, people))).values())) == 4_824


def test_angles_and_gazes_are_selected(tmp_path: Path) -> None:
    dataset = rafd(write(tmp_path), angles=["090"], gazes=["frontal"])
    records = [record for group in records_by_split(dataset).values() for record in group]
    assert len(records) == 4 * 8
    assert all(record.key.startswith("Rafd090") and record.key.endswith("_frontal.jpg") for record in records)
    assert [attribute.name for attribute in dataset.attributes] == ["expression", "gender"]


def test_no_face_is_in_two_splits(tmp_path: Path) -> None:
    records = records_by_split(rafd(write(tmp_path, {f"{n:02d}": ("Caucasian", "male") for n in range(67)})))
    people = {split: {record.key.split("_")[1] for record in group} for split, group in records.items()}
    assert {split: len(group) for split, group in people.items()} == {Split.TRAIN: 57, Split.VAL: 3, Split.TEST: 7}
    assert not people[Split.TRAIN] & people[Split.TEST] and not people[Split.VAL] & people[Split.TEST]
    assert people[Split.TEST] != {f"{number:02d}" for number in range(7)}


def test_random_split_of_the_paper(tmp_path: Path) -> None:
    records = records_by_split(rafd(write(tmp_path), split="random"))
    total = sum(map(len, records.values()))
    assert not records[Split.VAL]
    assert 0.05 < len(records[Split.TEST]) / total < 0.15
    repeated = rafd(tmp_path, split="random").records(Split.TEST)
    assert {record.key for record in records[Split.TEST]} == {record.key for record in repeated}


def test_a_folder_per_expression(tmp_path: Path) -> None:
    for expression in EXPRESSIONS:
        (tmp_path / expression).mkdir()
        for number in range(4):
            (tmp_path / expression / f"face{number}.png").touch()
    dataset = rafd(tmp_path, split="random")
    records = [record for group in records_by_split(dataset).values() for record in group]
    assert len(records) == 32
    assert all(record.attributes == {"expression": record.key.split("/")[0]} for record in records)
    with pytest.raises(DataError, match=r"face0\.png: .* split=random"):
        list(rafd(tmp_path).records(Split.TRAIN))


def test_original_names_in_a_folder_per_expression(tmp_path: Path) -> None:
    write(tmp_path)
    for file in list(tmp_path.iterdir()):
        folder = tmp_path / file.stem.split("_")[4]
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    records = records_by_split(rafd(tmp_path))
    people = {split: {record.key.split("_")[1] for record in group} for split, group in records.items()}
    assert people[Split.TEST] and not people[Split.TEST] & people[Split.TRAIN]


@pytest.mark.parametrize("name", ["holiday.jpg", "Rafd090_01_Caucasian_female_amused_frontal.jpg"])
def test_a_file_without_expression_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).touch()
    with pytest.raises(DataError, match=f"{name}: "):
        list(rafd(tmp_path).records(Split.TRAIN))


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        list(rafd(tmp_path / "nowhere").records(Split.TRAIN))
    with pytest.raises(DataError, match="045, 090, 135"):
        list(rafd(tmp_path).records(Split.TRAIN))


def test_the_crop_setting_is_in_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 681, 3), np.uint8)
    file = write(tmp_path) / "Rafd090_01_Caucasian_female_angry_frontal.jpg"
    Image.fromarray(pixels).save(file, "PNG")
    dataset = rafd(tmp_path)
    records = [record for group in records_by_split(dataset).values() for record in group]
    (record,) = [record for record in records if record.image == file]
    assert np.array_equal(CropAndResize(dataset.crop, 640)(dataset.load(record)), pixels[120:760, 20:660])
    with pytest.raises(ValueError, match=r"crop \[340, 440, 700\]"):
        rafd(tmp_path, crop=(340, 440, 700))
