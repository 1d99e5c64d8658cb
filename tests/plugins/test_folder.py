"""The dataset `folder`: all layouts, and wrong roots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from mdtranslate_basics.folder import Folder

from mdtranslate import Split
from mdtranslate.errors import DataError, RecipeError


def fill(folder: Path, count: int = 3, suffix: str = ".jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}{suffix}").touch()


def folder(root: Path, **settings: Any) -> Folder:
    return Folder(Folder.Config(root=root, **settings))


def records_by_split(dataset: Folder) -> dict[Split, list[Any]]:
    return {split: list(dataset.records(split)) for split in Split}


def test_a_folder_per_domain(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 200)
    fill(tmp_path / "dog", 200, ".PNG")
    (tmp_path / "cat" / "notes.txt").touch()
    (tmp_path / ".git").mkdir()
    dataset = folder(tmp_path, attribute="species")
    (attribute,) = dataset.attributes
    assert (attribute.name, attribute.values, attribute.optional) == ("species", ("cat", "dog"), False)
    records = records_by_split(dataset)
    keys = [record.key for group in records.values() for record in group]
    assert len(keys) == len(set(keys)) == 400
    assert 20 <= len(records[Split.TEST]) <= 60 and 8 <= len(records[Split.VAL]) <= 35
    everything = [record for group in records.values() for record in group]
    assert all(record.attributes == {"species": record.key.split("/")[0]} for record in everything)
    assert records[Split.TRAIN][0].image == tmp_path / records[Split.TRAIN][0].key


def test_images_stay_in_their_split_when_others_are_added(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 50)
    fill(tmp_path / "dog", 50)
    before = {record.key: split for split, group in records_by_split(folder(tmp_path)).items() for record in group}
    fill(tmp_path / "cat", 99)
    fill(tmp_path / "dog" / "puppies", 20)
    after = {record.key: split for split, group in records_by_split(folder(tmp_path)).items() for record in group}
    assert len(after) == 169 and before.items() <= after.items()


def test_folders_of_splits(tmp_path: Path) -> None:
    for split, count in [("train", 5), ("validation", 2), ("Test", 3)]:
        for domain in ("cat", "dog", "wild"):
            fill(tmp_path / split / domain, count)
    records = records_by_split(folder(tmp_path))
    assert {split: len(group) for split, group in records.items()} == {Split.TRAIN: 15, Split.VAL: 6, Split.TEST: 9}
    assert all(record.key.startswith("Test/") for record in records[Split.TEST])


def test_a_split_without_a_folder_is_drawn_from_training_images(tmp_path: Path) -> None:
    for split, count in [("train", 100), ("test", 7)]:
        for domain in ("cat", "dog"):
            fill(tmp_path / split / domain, count)
    records = records_by_split(folder(tmp_path, val=0.2))
    assert len(records[Split.TEST]) == 14 and all(record.key.startswith("test/") for record in records[Split.TEST])
    assert 20 <= len(records[Split.VAL]) <= 60 and len(records[Split.VAL]) + len(records[Split.TRAIN]) == 200


def too_high(root: Path) -> Path:
    for split in ("train", "test"):
        for domain in ("cat", "dog"):
            fill(root / "afhq" / split / domain)
    return root


def higher_still(root: Path) -> Path:
    for domain in ("cat", "dog"):
        fill(root / "pets" / domain)
    return root


def too_low(root: Path) -> Path:
    fill(root / "cat")
    fill(root / "dog")
    return root / "cat"


def one_split(root: Path) -> Path:
    return too_high(root) / "afhq" / "train"


def one_domain(root: Path) -> Path:
    fill(root / "cat")
    return root


def no_train(root: Path) -> Path:
    fill(root / "test" / "cat")
    fill(root / "test" / "dog")
    return root


def empty(root: Path) -> Path:
    return root


def nowhere(root: Path) -> Path:
    return root / "nowhere"


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (too_high, "one level too high; .*/afhq "),
        (higher_still, "one level too high; .*/pets "),
        (too_low, "one level too low; "),
        (one_split, "is one split .*/afhq as root"),
        (one_domain, "one domain, 'cat'"),
        (no_train, "has test/ but no train/"),
        (empty, "no folder per domain"),
        (nowhere, "nowhere"),
    ],
)
def test_a_wrong_root_is_explained(tmp_path: Path, layout: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list(folder(layout(tmp_path)).records(Split.TRAIN))
    assert "\n" not in str(caught.value)


def test_system_files_are_ignored(tmp_path: Path) -> None:
    for name in ("cat", "dog", "__MACOSX", "cat/.ipynb_checkpoints"):
        fill(tmp_path / name, 2)
    (tmp_path / "cat" / "._a.jpg").touch()
    dataset = folder(tmp_path)
    assert dataset.attributes[0].values == ("cat", "dog")
    assert sum(map(len, records_by_split(dataset).values())) == 4


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/cat", "train/dog", "val/cat", "validation/dog"], r"\(train, val, validation\)"),
        (["train/cat", "train/dog", "test"], "test/ holds no folder per domain"),
        (["trainA", "trainB", "testA", "testB"], "move them to train/A"),
        (["Training", "val/"], "Training/ .*'aligned'"),
        (["train/cat", "train/dog", "test/cat", "test/bird"], r"test/bird: .*train/bird"),
        (["cat", "dog", "notes/"], r"notes: .*\.png"),
    ],
)
def test_ambiguous_folders_are_refused(tmp_path: Path, folders: list[str], message: str) -> None:
    for name in folders:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            fill(tmp_path / name)
    with pytest.raises(DataError, match=message):
        list(folder(tmp_path).attributes)


def test_folders_of_splits_inside_domains(tmp_path: Path) -> None:
    for domain in ("cat", "dog"):
        fill(tmp_path / domain, 200)
        fill(tmp_path / domain / "test", 5)
        fill(tmp_path / domain / "Validation" / "indoors", 3)
        fill(tmp_path / domain / "train", 7)
    records = records_by_split(folder(tmp_path))
    assert {split: len(group) for split, group in records.items()} == {Split.TRAIN: 414, Split.VAL: 6, Split.TEST: 10}
    assert all("/test/" in record.key for record in records[Split.TEST])
    assert {record.attributes["domain"] for record in records[Split.VAL]} == {"cat", "dog"}


def test_links_are_followed_once(tmp_path: Path) -> None:
    root, store = tmp_path / "pets", tmp_path / "store"
    fill(store, 20)
    fill(root / "cat" / "persian", 10)
    fill(root / "dog", 10)
    (root / "cat" / "siamese").symlink_to(store)
    (root / "cat" / "again").symlink_to(root / "cat")
    keys = [record.key for group in records_by_split(folder(root)).values() for record in group]
    assert len(keys) == len({*keys}) == 40
    assert sum(key.startswith("cat/siamese/") for key in keys) == 20


def test_a_domain_keeps_a_training_image(tmp_path: Path) -> None:
    for domain in ("cat", "dog"):
        fill(tmp_path / domain, 1)
    records = records_by_split(folder(tmp_path, val=0.4, test=0.4))
    assert len(records[Split.TRAIN]) == 2
    for domain in ("cat", "dog"):
        fill(tmp_path / "split" / "train" / domain, domain == "cat")
        fill(tmp_path / "split" / "test" / domain, 2)
    with pytest.raises(DataError, match=r"train/dog: "):
        records_by_split(folder(tmp_path / "split"))


def test_a_group_is_in_one_split(tmp_path: Path) -> None:
    for domain in ("before", "after"):
        (tmp_path / domain).mkdir()
        for number in range(300):
            (tmp_path / domain / f"patient{number // 10}_{number}.png").touch()
    records = records_by_split(folder(tmp_path, group=r"(patient\d+)_", val=0.2, test=0.2))
    groups = {split: {record.key.split("/")[1].split("_")[0] for record in part} for split, part in records.items()}
    assert sum(map(len, groups.values())) == 30 and all(groups.values())
    with pytest.raises(DataError, match=r"group='person' .*after/patient0_0\.png"):
        records_by_split(folder(tmp_path, group="person"))


def test_unread_files_and_unused_folders_are_reported(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split / "cat", 3)
        fill(tmp_path / split / "dog", 3)
    assert not list(folder(tmp_path).notes())
    fill(tmp_path / "train" / "cat", 2, ".TGA")
    fill(tmp_path / "train" / "dog", 1, ".mp4")
    fill(tmp_path / "train" / "dog" / "@eaDir", 4, ".jpg@SynoEAStream")
    (tmp_path / "train" / "cat" / "Thumbs.db").touch()
    (tmp_path / "train" / "cat" / "IMG_1").touch()
    fill(tmp_path / "rest" / "cat")
    one, other = folder(tmp_path).notes()
    assert one.kind == "unused-folders" and one.files == (str(tmp_path / "rest"),)
    assert other.kind == "unread-files" and other.message.endswith(": .tga (2), .mp4 (1), no suffix (1)")


def test_mirrored_domains(tmp_path: Path) -> None:
    for name in ("left", "right", "frontal"):
        fill(tmp_path / name)
    (attribute,) = folder(tmp_path, mirrored=[("left", "right")]).attributes
    assert [attribute.mirrored_value(value) for value in ("left", "right", "frontal")] == ["right", "left", "frontal"]
    with pytest.raises(RecipeError, match=r"mirrored: 'rigth'.*right"):
        _ = folder(tmp_path, mirrored=[("left", "rigth")]).attributes


def test_folders_of_splits_inside_domains_below_train(tmp_path: Path) -> None:
    for place in ("train/a", "train/a/test", "train/b", "train/b/s1/val"):
        fill(tmp_path / place)
    records = records_by_split(folder(tmp_path))
    keys = {split: " ".join(record.key for record in group) for split, group in records.items()}
    assert "a/test" in keys[Split.TEST] and "a/test" not in keys[Split.TRAIN]
    assert "b/s1/val" in keys[Split.VAL]


def test_links_to_folders_above_or_beside_are_reported_and_not_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name, 4)
    (tmp_path / "b/loop").symlink_to("..")
    (tmp_path / "b/other").symlink_to("../a")
    (tmp_path / "loose.png").touch()
    dataset = folder(tmp_path)
    assert sum(map(len, records_by_split(dataset).values())) == 8
    notes = {note.kind: note for note in dataset.notes()}
    assert notes["links-back"].files == (str(tmp_path / "b/loop"), str(tmp_path / "b/other"))
    assert notes["unused-files"].files == (str(tmp_path / "loose.png"),)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "b/inner"):
        fill(tmp_path / name)
    scan = os.scandir

    def refused(path: Any) -> Any:
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"b/inner: cannot be opened \(permission denied\)"):
        records_by_split(folder(tmp_path))
