"""CelebA, from small files in the published format."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from layouts import write_celeba
from mdtranslate_stargan.celeba import CelebA
from pydantic import ValidationError

from mdtranslate import Split
from mdtranslate.data.cache.store import is_cached
from mdtranslate.errors import DataError, RecipeError

NAMES = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]
HAIR = {"hair": ("Black_Hair", "Blond_Hair", "Brown_Hair")}
ROWS = {
    "000001.jpg": ([1, -1, -1, 1, -1], 0),
    "000002.jpg": ([-1, 1, -1, -1, 1], 0),
    "000003.jpg": ([-1, -1, -1, -1, 1], 1),
    "000004.jpg": ([1, -1, 1, 1, 1], 2),
    "000005.jpg": ([-1, -1, 1, -1, -1], 0),
}


def write(root: Path, newline: str = "\n") -> Path:
    (root / "img_align_celeba").mkdir(parents=True)
    # The published list: a count, a header with a trailing space, and values right-aligned in columns of two.
    lines = [str(len(ROWS)), " ".join(NAMES) + " "]
    lines += [f"{file} " + " ".join(f"{value:2d}" for value in values) for file, (values, _) in ROWS.items()]
    (root / "list_attr_celeba.txt").write_bytes((newline.join(lines) + newline).encode())
    splits = [f"{file} {split}" for file, (_, split) in ROWS.items()]
    (root / "list_eval_partition.txt").write_bytes((newline.join(splits) + newline).encode())
    return root


def celeba(root: Path, **settings: Any) -> CelebA:
    return CelebA(CelebA.Config(root=root, **settings))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_records_match_the_files(tmp_path: Path, newline: str) -> None:
    dataset = celeba(write(tmp_path, newline))
    assert [attribute.name for attribute in dataset.attributes] == NAMES
    assert all(attribute.choices == (False, True) for attribute in dataset.attributes)
    records = {split: list(dataset.records(split)) for split in Split}
    splits = {"0": Split.TRAIN, "1": Split.VAL, "2": Split.TEST}
    for file, (values, split) in ROWS.items():
        (record,) = [record for record in records[splits[str(split)]] if record.key == file]
        assert record.image == tmp_path / "img_align_celeba" / file
        assert record.attributes == {name: value == 1 for name, value in zip(NAMES, values, strict=True)}
    assert [record.key for record in records[Split.TRAIN]] == ["000001.jpg", "000002.jpg", "000005.jpg"]
    assert sum(map(len, records.values())) == len(ROWS)


def test_exclusive_hair(tmp_path: Path) -> None:
    dataset = celeba(write(tmp_path), exclusive=HAIR)
    assert [attribute.name for attribute in dataset.attributes] == ["hair", "Male", "Young"]
    assert dataset.attributes[0].values == HAIR["hair"] and dataset.attributes[0].optional
    known = {record.key: record.attributes for split in Split for record in dataset.records(split)}
    assert known["000001.jpg"] == {"hair": "Black_Hair", "Male": True, "Young": False}
    assert known["000002.jpg"]["hair"] == "Blond_Hair" and known["000005.jpg"]["hair"] == "Brown_Hair"
    assert known["000003.jpg"]["hair"] is None, "none of the three"
    assert "hair" not in known["000004.jpg"], "labelled with two: unknown"
    assert known["000004.jpg"] == {"Male": True, "Young": True}


def test_partial_skips_missing_images(tmp_path: Path) -> None:
    """Kaggle's and others' copies often hold only the first tens of thousands of images."""
    write_celeba(tmp_path)
    for number in range(5, 24, 2):
        (tmp_path / f"img_align_celeba/{number:06d}.jpg").unlink()
    complete, partial = celeba(tmp_path), celeba(tmp_path, partial=True)
    assert {split: len(list(complete.records(split))) for split in Split} == dict.fromkeys(Split, 8)
    assert {split: len(list(partial.records(split))) for split in Split} == {"train": 6, "val": 4, "test": 4}
    for dataset in (complete, partial):
        (note,) = dataset.notes()
        assert "10 of the 24 images" in note.message and ("partial=true" in note.remedy) == (dataset is complete)
    with pytest.raises(DataError, match=r"10 of the 24.*partial=true"):
        is_cached(complete, list(complete.records(Split.TRAIN)), 16)


def test_blank_lines_and_tabs_are_ignored(tmp_path: Path) -> None:
    before = {record.key: record.attributes for record in celeba(write(tmp_path / "a")).records(Split.TRAIN)}
    root = write(tmp_path / "b")
    edit(root / "list_attr_celeba.txt", "000002.jpg ", "\n000002.jpg\t\t")
    edit(root / "list_eval_partition.txt", "000002.jpg ", "\n\n000002.jpg\t ")
    assert {record.key: record.attributes for record in celeba(root).records(Split.TRAIN)} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "location"),
    [
        ("list_attr_celeba.txt", "-1  1 -1 -1  1", "-1  1 -1  1", "list_attr_celeba.txt:4:"),
        ("list_attr_celeba.txt", "-1  1 -1 -1  1", "-1  0 -1 -1  1", "list_attr_celeba.txt:4:"),
        ("list_attr_celeba.txt", "000002.jpg -1  1", "\n000002.jpg -1  x", "list_attr_celeba.txt:5:"),
        ("list_attr_celeba.txt", "5\n", "6\n", "list_attr_celeba.txt:1:"),
        ("list_attr_celeba.txt", "5\n", "", "list_attr_celeba.txt:1:"),
        ("list_eval_partition.txt", "000003.jpg 1", "000003.jpg 3", "list_eval_partition.txt:3:"),
        ("list_eval_partition.txt", "000003.jpg 1", "\n000003.jpg", "list_eval_partition.txt:4:"),
        ("list_eval_partition.txt", "000003.jpg 1\n", "", "list_attr_celeba.txt:5: 000003.jpg"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, file: str, old: str, new: str, location: str) -> None:
    root = write(tmp_path)
    edit(root / file, old, new)
    with pytest.raises(DataError) as caught:
        list(celeba(root).records(Split.TRAIN))
    assert f"{root}/{location}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    root = write(tmp_path)
    path = root / file
    path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=file):
        list(celeba(root).records(Split.TRAIN))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b" \n"])
def test_a_binary_or_empty_list_is_named(tmp_path: Path, content: bytes) -> None:
    root = write(tmp_path)
    (root / "list_attr_celeba.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt"):
        _ = celeba(root).attributes


@pytest.mark.parametrize(
    ("exclusive", "message"),
    [
        ({"hair": ("Black_Hair", "Blond_Hiar")}, "exclusive: .*'Blond_Hiar'.*'Blond_Hair'"),
        ({"hair": ("Black_Hair", "Male"), "sex": ("Male", "Young")}, "exclusive: .*'Male' twice"),
        ({"Male": ("Black_Hair", "Blond_Hair")}, "exclusive: 'Male'"),
    ],
)
def test_invalid_groups_are_refused(tmp_path: Path, exclusive: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _ = celeba(write(tmp_path), exclusive=exclusive).attributes


def test_a_group_has_two_members_or_more(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="at least 2"):
        celeba(tmp_path, exclusive={"hair": ("Black_Hair",)})


def published(root: Path) -> None:
    """The published layout: images, labels and splits in separate folders."""
    places = {"img_align_celeba": "Img", "list_attr_celeba.txt": "Anno", "list_eval_partition.txt": "Eval"}
    for file, folder in places.items():
        (root / folder).mkdir()
        (root / file).rename(root / folder / file)


def torchvision(root: Path) -> None:
    (root / "celeba").mkdir()
    for file in ("img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"):
        (root / file).rename(root / "celeba" / file)


def kaggle(root: Path) -> None:
    (root / "img_align_celeba" / "img_align_celeba").mkdir()
    _, *lines = (root / "list_attr_celeba.txt").read_text().splitlines()
    names, *rows = (",".join(line.split()) for line in lines)
    (root / "list_attr_celeba.csv").write_text("\n".join([f"image_id,{names}", *rows]) + "\n")
    rows = [",".join(line.split()) for line in (root / "list_eval_partition.txt").read_text().splitlines()]
    (root / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *rows]) + "\n")
    for file in root.glob("*.txt"):
        file.unlink()


@pytest.mark.parametrize("layout", [published, torchvision, kaggle])
def test_every_layout_has_the_same_records(tmp_path: Path, layout: Any) -> None:
    plain, other = celeba(write(tmp_path / "plain")), celeba(write(tmp_path / "other"))
    layout(tmp_path / "other")
    assert [attribute.name for attribute in other.attributes] == NAMES
    for split in Split:
        expected, actual = list(plain.records(split)), list(other.records(split))
        assert [(record.key, record.attributes) for record in actual] == [
            (record.key, record.attributes) for record in expected
        ]
        assert all(record.image is not None and record.image.parent.is_dir() for record in actual)


def long_list(root: Path, count: int) -> Path:
    (root / "img_align_celeba").mkdir(parents=True)
    rows = "".join(f"{number:06d}.jpg  1\n" for number in range(1, count + 1))
    (root / "list_attr_celeba.txt").write_text(f"{count}\nMale\n{rows}")
    return root


def test_the_split_of_the_released_stargan(tmp_path: Path) -> None:
    root = long_list(tmp_path, 5000)
    # The released preprocessing, line by line.
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()[2:]
    random.seed(1234)
    random.shuffle(lines)
    expected = {line.split()[0] for i, line in enumerate(lines) if i + 1 < 2000}
    dataset = celeba(root, split="stargan")
    keys = {split: {record.key for record in dataset.records(split)} for split in Split}
    assert keys[Split.TEST] == expected
    assert len(keys[Split.TRAIN]) == 3001 and not keys[Split.VAL]
    assert not keys[Split.TRAIN] & keys[Split.TEST]


def test_the_split_of_attgan(tmp_path: Path) -> None:
    dataset = celeba(long_list(tmp_path, 202_599), split="attgan")
    sizes = {split: len(list(dataset.records(split))) for split in Split}
    assert sizes == {Split.TRAIN: 182_000, Split.VAL: 637, Split.TEST: 19_962}
    assert next(iter(dataset.records(Split.VAL))).key == "182001.jpg"


@pytest.mark.parametrize(("split", "needed"), [("stargan", 2000), ("attgan", 182_638)])
def test_too_few_images_for_a_split_are_reported(tmp_path: Path, split: str, needed: int) -> None:
    with pytest.raises(DataError, match=f"split={split} .*{needed}"):
        list(celeba(write(tmp_path), split=split).records(Split.TRAIN))


def test_a_root_without_the_list_and_an_image_listed_twice_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/list: .*list_attr_celeba\.txt"):
        _ = celeba(tmp_path / "list").attributes
    root = write(tmp_path)
    edit(root / "list_attr_celeba.txt", "000003.jpg", "000002.jpg")
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt:5: 000002\.jpg"):
        list(celeba(root).records(Split.TRAIN))
