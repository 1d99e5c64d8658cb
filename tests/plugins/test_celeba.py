"""CelebA from small files that are written as the published ones are."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from layouts import write_celeba
from mdtranslate_stargan.celeba import CelebA
from pydantic import ValidationError

from mdtranslate import Split
from mdtranslate.data.cache.store import is_packed
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
    # The published list: a count, a header that ends in a blank, and values right-aligned in columns of two.
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
def test_every_record_as_the_files_say(tmp_path: Path, newline: str) -> None:
    dataset = celeba(write(tmp_path, newline))
    assert [each.name for each in dataset.attributes] == NAMES
    assert all(each.choices == (False, True) for each in dataset.attributes)
    found = {split: list(dataset.records(split)) for split in Split}
    numbers = {"0": Split.TRAIN, "1": Split.VAL, "2": Split.TEST}
    for file, (values, split) in ROWS.items():
        (record,) = [each for each in found[numbers[str(split)]] if each.key == file]
        assert record.image == tmp_path / "img_align_celeba" / file
        assert record.attributes == {name: value == 1 for name, value in zip(NAMES, values, strict=True)}
    assert [each.key for each in found[Split.TRAIN]] == ["000001.jpg", "000002.jpg", "000005.jpg"]
    assert sum(map(len, found.values())) == len(ROWS)


def test_exclusive_hair(tmp_path: Path) -> None:
    dataset = celeba(write(tmp_path), exclusive=HAIR)
    assert [each.name for each in dataset.attributes] == ["hair", "Male", "Young"]
    assert dataset.attributes[0].values == HAIR["hair"] and dataset.attributes[0].optional
    known = {each.key: each.attributes for split in Split for each in dataset.records(split)}
    assert known["000001.jpg"] == {"hair": "Black_Hair", "Male": True, "Young": False}
    assert known["000002.jpg"]["hair"] == "Blond_Hair" and known["000005.jpg"]["hair"] == "Brown_Hair"
    assert known["000003.jpg"]["hair"] is None, "none of the three"
    assert "hair" not in known["000004.jpg"], "labelled with two: unknown"
    assert known["000004.jpg"] == {"Male": True, "Young": True}


def test_a_part_of_the_images_is_taken_where_that_is_wanted(tmp_path: Path) -> None:
    """Kaggle's and others' copies often hold the first tens of thousands alone."""
    write_celeba(tmp_path)
    for number in range(5, 24, 2):
        (tmp_path / f"img_align_celeba/{number:06d}.jpg").unlink()
    whole, part = celeba(tmp_path), celeba(tmp_path, partial=True)
    assert {split: len(list(whole.records(split))) for split in Split} == dict.fromkeys(Split, 8)
    assert {split: len(list(part.records(split))) for split in Split} == {"train": 6, "val": 4, "test": 4}
    for dataset in (whole, part):
        (note,) = dataset.notes()
        assert "10 of the 24 images" in note.what and ("partial=true" in note.cure) == (dataset is whole)
    with pytest.raises(DataError, match=r"2 of 8 files are missing.*10 of the 24.*partial=true"):
        is_packed(whole, list(whole.records(Split.TRAIN)), 16)


def test_blank_lines_and_tabs_are_no_matter(tmp_path: Path) -> None:
    before = {each.key: each.attributes for each in celeba(write(tmp_path / "a")).records(Split.TRAIN)}
    root = write(tmp_path / "b")
    edit(root / "list_attr_celeba.txt", "000002.jpg ", "\n000002.jpg\t\t")
    edit(root / "list_eval_partition.txt", "000002.jpg ", "\n\n000002.jpg\t ")
    assert {each.key: each.attributes for each in celeba(root).records(Split.TRAIN)} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "list_attr_celeba.txt",
            "-1  1 -1 -1  1",
            "-1  1 -1  1",
            "list_attr_celeba.txt:4: needs a file name and 5 times",
        ),
        ("list_attr_celeba.txt", "-1  1 -1 -1  1", "-1  0 -1 -1  1", "list_attr_celeba.txt:4: needs"),
        ("list_attr_celeba.txt", "000002.jpg -1  1", "\n000002.jpg -1  x", "list_attr_celeba.txt:5: needs"),
        ("list_attr_celeba.txt", "5\n", "6\n", "list_attr_celeba.txt:1: says 6 pictures, but 5 follow"),
        ("list_attr_celeba.txt", "5\n", "", "list_attr_celeba.txt:1: needs the number of pictures"),
        (
            "list_eval_partition.txt",
            "000003.jpg 1",
            "000003.jpg 3",
            "list_eval_partition.txt:3: needs a file name and 0, 1",
        ),
        ("list_eval_partition.txt", "000003.jpg 1", "\n000003.jpg", "list_eval_partition.txt:4: needs"),
        ("list_eval_partition.txt", "000003.jpg 1\n", "", "list_attr_celeba.txt:5: 000003.jpg has no split in"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    root = write(tmp_path)
    edit(root / file, old, new)
    with pytest.raises(DataError) as caught:
        list(celeba(root).records(Split.TRAIN))
    assert f"{root}/{message}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"])
def test_what_is_missing_is_named(tmp_path: Path, file: str) -> None:
    root = write(tmp_path)
    path = root / file
    path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=file):
        list(celeba(root).records(Split.TRAIN))


@pytest.mark.parametrize(("content", "message"), [(b"\xff\xfe\x00", "is no text file"), (b" \n", "is empty")])
def test_no_list_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    root = write(tmp_path)
    (root / "list_attr_celeba.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        _ = celeba(root).attributes


@pytest.mark.parametrize(
    ("exclusive", "message"),
    [
        ({"hair": ("Black_Hair", "Blond_Hiar")}, "'Blond_Hiar', which in .* is not there: did you mean 'Blond_Hair'"),
        ({"hair": ("Black_Hair", "Male"), "sex": ("Male", "Young")}, "'Male', which in .* is there twice"),
        ({"Male": ("Black_Hair", "Blond_Hair")}, "'Male' is an attribute"),
    ],
)
def test_groups_that_cannot_be(tmp_path: Path, exclusive: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _ = celeba(write(tmp_path), exclusive=exclusive).attributes


def test_a_group_has_two_members_or_more(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="at least 2"):
        celeba(tmp_path, exclusive={"hair": ("Black_Hair",)})


def published(root: Path) -> None:
    """As it is published: pictures, labels and splits in folders of their own."""
    places = {"img_align_celeba": "Img", "list_attr_celeba.txt": "Anno", "list_eval_partition.txt": "Eval"}
    for file, folder in places.items():
        (root / folder).mkdir()
        (root / file).rename(root / folder / file)


def torchvisions(root: Path) -> None:
    (root / "celeba").mkdir()
    for file in ("img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"):
        (root / file).rename(root / "celeba" / file)


def kaggles(root: Path) -> None:
    (root / "img_align_celeba" / "img_align_celeba").mkdir()
    _, *lines = (root / "list_attr_celeba.txt").read_text().splitlines()
    names, *rows = (",".join(line.split()) for line in lines)
    (root / "list_attr_celeba.csv").write_text("\n".join([f"image_id,{names}", *rows]) + "\n")
    rows = [",".join(line.split()) for line in (root / "list_eval_partition.txt").read_text().splitlines()]
    (root / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *rows]) + "\n")
    for file in root.glob("*.txt"):
        file.unlink()


@pytest.mark.parametrize("layout", [published, torchvisions, kaggles])
def test_every_layout_has_the_same_records(tmp_path: Path, layout: Any) -> None:
    plain, other = celeba(write(tmp_path / "plain")), celeba(write(tmp_path / "other"))
    layout(tmp_path / "other")
    assert [each.name for each in other.attributes] == NAMES
    for split in Split:
        ours, theirs = list(plain.records(split)), list(other.records(split))
        assert [(each.key, each.attributes) for each in ours] == [(each.key, each.attributes) for each in theirs]
        assert all(each.image is not None and each.image.parent.is_dir() for each in theirs)


def long_list(root: Path, count: int) -> Path:
    (root / "img_align_celeba").mkdir(parents=True)
    rows = "".join(f"{number:06d}.jpg  1\n" for number in range(1, count + 1))
    (root / "list_attr_celeba.txt").write_text(f"{count}\nMale\n{rows}")
    return root


def test_the_split_of_the_released_stargan(tmp_path: Path) -> None:
    root = long_list(tmp_path, 5000)
    # What its preprocessing does, line by line.
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()[2:]
    random.seed(1234)
    random.shuffle(lines)
    expected = {line.split()[0] for i, line in enumerate(lines) if i + 1 < 2000}
    dataset = celeba(root, split="stargan")
    found = {split: {each.key for each in dataset.records(split)} for split in Split}
    assert found[Split.TEST] == expected
    assert len(found[Split.TRAIN]) == 3001 and not found[Split.VAL]
    assert not found[Split.TRAIN] & found[Split.TEST]


def test_the_split_of_attgan(tmp_path: Path) -> None:
    dataset = celeba(long_list(tmp_path, 202_599), split="attgan")
    sizes = {split: len(list(dataset.records(split))) for split in Split}
    assert sizes == {Split.TRAIN: 182_000, Split.VAL: 637, Split.TEST: 19_962}
    assert next(iter(dataset.records(Split.VAL))).key == "182001.jpg"


@pytest.mark.parametrize(("split", "needed"), [("stargan", 2000), ("attgan", 182_638)])
def test_too_few_pictures_for_a_split_are_told(tmp_path: Path, split: str, needed: int) -> None:
    with pytest.raises(DataError, match=f"split={split} needs {needed}"):
        list(celeba(write(tmp_path), split=split).records(Split.TRAIN))


def test_a_root_without_the_list_and_a_picture_listed_twice_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/list: holds no list_attr_celeba\.txt or .*; give the folder that does"):
        _ = celeba(tmp_path / "list").attributes
    root = write(tmp_path)
    edit(root / "list_attr_celeba.txt", "000003.jpg", "000002.jpg")
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt:5: 000002\.jpg is there twice"):
        list(celeba(root).records(Split.TRAIN))
