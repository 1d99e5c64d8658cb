"""The dataset `table`: all formats, settings, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from mdtranslate_basics.table import Table
from pyarrow import parquet

from mdtranslate import Split
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.data.recipe_datasets import build_datasets
from mdtranslate.errors import DataError, MdtranslateError

HEADER = ["path", "hair", "smiling", "split"]
ROWS = [
    ["a/1.jpg", "blond", "yes", "train"],
    ["a/2.jpg", "", "no", "train"],
    ["b/3.jpg", "black, dyed", "", "val"],
    ["b/4.jpg", "blond", "yes", "test"],
]
KNOWN = {
    "a/1.jpg": {"hair": "blond", "smiling": True},
    "a/2.jpg": {"smiling": False},
    "b/3.jpg": {"hair": "black, dyed"},
    "b/4.jpg": {"hair": "blond", "smiling": True},
}


def objects() -> list[dict[str, Any]]:
    words = {"yes": True, "no": False, "": None}
    return [{**dict(zip(HEADER, row, strict=True)), "smiling": words[row[2]]} for row in ROWS]


def write(root: Path, suffix: str) -> Path:
    file = root / f"faces{suffix}"
    if suffix == ".csv":
        lines = [HEADER, *ROWS]
        file.write_text(
            "".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\r\n" for row in lines)
        )
    elif suffix == ".tsv":
        file.write_text("\ufeff" + "".join("\t".join(row) + "\n" for row in [HEADER, *ROWS]), "utf-8")
    elif suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, objects())) + "\n\n")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(objects()), file)
    return file


def table(file: Path, **settings: Any) -> Table:
    return Table(Table.Config(file=file, **settings))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_has_the_same_records(tmp_path: Path, suffix: str) -> None:
    dataset = table(write(tmp_path, suffix))
    values = {attribute.name: attribute.values for attribute in dataset.attributes}
    assert values == {"hair": ("black, dyed", "blond"), "smiling": ()}
    records = {split: list(dataset.records(split)) for split in Split}
    assert {split: [record.key for record in group] for split, group in records.items()} == {
        Split.TRAIN: ["a/1.jpg", "a/2.jpg"],
        Split.VAL: ["b/3.jpg"],
        Split.TEST: ["b/4.jpg"],
    }
    for record in (record for group in records.values() for record in group):
        assert record.attributes == KNOWN[record.key], "an empty cell is unknown"
        assert record.image == tmp_path / record.key


def test_spellings_of_yes_and_no(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("path,a,b,c\n1.png,1,TRUE,0.0\n2.png,-1,False,1.0\n3.png,1,true,\n")
    dataset = table(file, test=0, val=0)
    assert all(not attribute.values for attribute in dataset.attributes)
    records = list(dataset.records(Split.TRAIN))
    assert [record.attributes for record in records] == [
        {"a": True, "b": True, "c": False},
        {"a": False, "b": False, "c": True},
        {"a": True, "b": True},
    ]
    file.write_text("path,mood\n1.png,-1\n2.png,0\n3.png,1\n")
    assert table(file).attributes[0].values == ("-1", "0", "1"), "three values are not yes and no"


def test_ignored_columns_may_hold_anything_and_duplicate_names_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    one = {"path": "0.png", "a": "x", "box": [1, 2], "b": True, "split": "train"}
    other = {**one, "path": "1.png", "a": "y", "b": float("nan")}
    file.write_text(json.dumps(one) + "\n" + json.dumps(other) + "\n")
    dataset = table(file, ignore=["box"])
    assert rows(dataset) == [{"a": "x", "b": True}, {"a": "y"}]
    for header, message in (("path,a,a", r"y\.csv: .*'a'"), ("path,,a", r"y\.csv: .*no name")):
        (tmp_path / "y.csv").write_text(f"{header}\n1.png,x,y\n")
        with pytest.raises(DataError, match=message):
            list(table(tmp_path / "y.csv").attributes)


def test_rows_may_lack_columns(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    lines = [{"path": "0.png"}, {"path": "1.png", "a": "x", "split": "val"}, {"a": "y", "path": "2.png"}]
    file.write_text("\n".join(map(json.dumps, [*lines, {"path": "3.png", "b": "no"}])))
    with pytest.raises(DataError, match="row 1: split is ''"):
        list(table(file).records(Split.TRAIN))
    dataset = table(file, ignore=["split"], split="fold", val=0, test=0)
    assert rows(dataset) == [{}, {"a": "x"}, {"a": "y"}, {"b": False}]
    file.write_text("\n".join(map(json.dumps, [*lines, {}])))
    with pytest.raises(DataError, match="row 4 has no path"):
        list(table(file, split="fold", ignore=["split"]).records(Split.TRAIN))


def test_settings_name_the_columns_and_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("id,image,mood,who\n7,1.png,sad,ann\n8,2.png,glad,bob\n")
    dataset = table(file, path="image", ignore=["id", "who"], root=tmp_path / "images", test=0, val=0)
    assert [attribute.name for attribute in dataset.attributes] == ["mood"]
    images = [record.image for record in dataset.records(Split.TRAIN)]
    assert images == [tmp_path / "images/1.png", tmp_path / "images/2.png"]


def test_without_a_column_of_splits_they_are_drawn_by_path(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("path,red\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(400)))
    keys = {split: [record.key for record in table(file).records(split)] for split in Split}
    assert sum(map(len, keys.values())) == 400 and 20 <= len(keys[Split.TEST]) <= 60
    assert not set(keys[Split.TEST]) & set(keys[Split.TRAIN])


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("x.csv", "", {}, "x.csv: has no rows"),
        ("x.csv", "path,a\n", {}, "x.csv: has no rows"),
        ("x.csv", "path,a\n1.png,yes,no\n", {}, "x.csv:2: "),
        ("x.csv", "path,a\n1.png\n", {}, "x.csv:2: "),
        ("x.csv", 'path,a\n1.png,"yes\n', {}, r"x.csv:\d: "),
        ("x.csv", "path,a\n,yes\n", {}, "row 1 has no path"),
        ("x.csv", "path,a\n1.png,yes\n1.png,no\n", {}, "row 2: 1.png"),
        ("x.csv", "path\n1.png\n", {}, "x.csv: .* path"),
        ("x.csv", "pth,a\n1.png,yes\n", {}, "path=path: .*'pth'"),
        ("x.csv", "path,a\n1.png,yes\n", {"ignore": ["b"]}, "ignore=b: "),
        ("x.csv", "path,a,split\n1.png,yes,tset\n", {}, "row 1: split is 'tset'"),
        ("x.csv", "path,a\n1.png,red\n2.png,red\n", {}, r"column 'a' has 1 .* ignore=\[\"a\"\]"),
        ("x.csv", "path,a\n" + "".join(f"{n}.png,v{n}\n" for n in range(99)), {}, "column 'a' has 99 "),
        ("x.jsonl", '{"path": "1.png", "a": true\n', {}, "x.jsonl:1: .*JSON"),
        ("x.jsonl", "[1]\n", {}, "x.jsonl:1: .*object"),
        ("x.jsonl", '{"path": "1.png", "a": [1]}\n', {}, "x.jsonl:1: a: is a list"),
        ("x.parquet", "PAR1", {}, "x.parquet: "),
        ("x.xlsx", "", {}, "x.xlsx: .*.csv, .tsv"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, name: str, content: str, settings: Any, message: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(MdtranslateError, match=message) as caught:
        dataset = table(file, **{"test": 0, "val": 0, **settings})
        _ = dataset.attributes
        list(dataset.records(Split.TRAIN))
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.csv: .*No such file"):
        list(table(tmp_path / "x.csv").records(Split.TRAIN))
    (tmp_path / "x.csv").write_bytes(b"path,a\n\xff.png,yes\n")
    with pytest.raises(DataError, match=r"x\.csv: .*UTF-8"):
        list(table(tmp_path / "x.csv").records(Split.TRAIN))


def rows(dataset: Table) -> list[dict[str, Any]]:
    return [dict(record.attributes) for record in dataset.records(Split.TRAIN)]


def csv(tmp_path: Path, *lines: str, **settings: Any) -> Table:
    file = tmp_path / "x.csv"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return table(file, **{"test": 0, "val": 0, **settings})


def test_words_for_unknown(tmp_path: Path) -> None:
    lines = ["path,a,b", "1,yes,x", "2,NA,?", "3,no,nan", "4,None,y", "5,-,null", "6,n/a,-1"]
    dataset = csv(tmp_path, *lines, unknown=["na", "none", "-", "n/a", "?", "nan", "null", "-1"])
    assert {attribute.name: attribute.values for attribute in dataset.attributes} == {"a": (), "b": ("x", "y")}
    assert rows(dataset) == [{"a": True, "b": "x"}, {}, {"a": False}, {"b": "y"}, {}, {}]
    assert rows(csv(tmp_path, *lines))[5] == {"b": "-1"}, "-1 is not among the defaults"
    assert csv(tmp_path, *lines, unknown=[]).attributes[0].values == ("-", "NA", "None", "n/a", "no", "yes")


def test_a_column_may_mix_spellings_of_yes_and_no(tmp_path: Path) -> None:
    assert rows(csv(tmp_path, "path,a", "1,yes", "2,FALSE", "3,1", "4,0.0")) == [
        {"a": value} for value in (True, False, True, False)
    ]


def test_numbers_are_in_numerical_order(tmp_path: Path) -> None:
    dataset = csv(tmp_path, "path,dose", "1,10", "2,9.5", "3,-2", "4,1e3")
    assert dataset.attributes[0].values == ("-2", "9.5", "10", "1e3")


def test_many_numbers_give_a_note(tmp_path: Path) -> None:
    lines = ["path,age", *(f"{age},{age}" for age in range(20, 60))]
    (note,) = csv(tmp_path, *lines).notes()
    assert note.kind == "many-numbers" and "'age'" in note.message and "bins={age=[...]}" in note.remedy
    assert not [*csv(tmp_path, *lines, bins={"age": [30]}).notes(), *csv(tmp_path, *lines[:8]).notes()]


def test_numbers_in_bins(tmp_path: Path) -> None:
    dataset = csv(tmp_path, "path,age", "1,17", "2,18", "3,64.9", "4,65", "5,", bins={"age": [18, 65]})
    assert dataset.attributes[0].values == ("below 18", "18 to 65", "65 and over")
    assert [row.get("age") for row in rows(dataset)] == ["below 18", "18 to 65", "18 to 65", "65 and over", None]


def test_exclusive_joins_yes_no_columns(tmp_path: Path) -> None:
    lines = ["path,Black,Blond,Male", "1,1,0,1", "2,0,1,0", "3,0,0,1", "4,1,1,0", "5,,1,0"]
    dataset = csv(tmp_path, *lines, exclusive={"hair": ["Black", "Blond"]})
    hair, male = dataset.attributes
    assert (hair.name, hair.values, hair.optional, male.name) == ("hair", ("Black", "Blond"), True, "Male")
    assert [row.get("hair", "unknown") for row in rows(dataset)] == ["Black", "Blond", None, "unknown", "unknown"]


def test_a_group_is_in_one_split(tmp_path: Path) -> None:
    lines = ["path,patient,a", *(f"{n}.png,p{n // 10},{n % 2}" for n in range(400))]
    dataset = csv(tmp_path, *lines, group="patient", val=0.2, test=0.2)
    assert [attribute.name for attribute in dataset.attributes] == ["a"]
    groups = {split: {int(record.key[:-4]) // 10 for record in dataset.records(split)} for split in Split}
    assert sum(map(len, groups.values())) == 40 and all(groups.values())
    lines = ["path,patient,a,split", "1,ann,0,train", "2,bob,1,test", "3,ann,1,test"]
    with pytest.raises(DataError, match=r"row 3: patient 'ann' .*train"):
        rows(csv(tmp_path, *lines, group="patient"))


def test_another_separator(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.csv: .*separator=';'"):
        rows(csv(tmp_path, "\ufeffpath;a", "1;yes", "2;no"))
    assert rows(csv(tmp_path, "\ufeffpath;a", "1;yes", "2;no", separator=";")) == [{"a": True}, {"a": False}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclusive": {"hair": ["Black", "Blnd"]}}, r"exclusive: 'Blnd' .*'Blond'"),
        ({"exclusive": {"hair": ["Black", "Black"]}}, r"exclusive: 'Black' .*twice"),
        ({"exclusive": {"age": ["Black", "Blond"]}}, r"exclusive: 'age' is a column"),
        ({"exclusive": {"hair": ["Black", "age"]}}, r"exclusive: column 'age' "),
        ({"bins": {"aeg": [1]}}, r"bins: 'aeg' .*'age'"),
        ({"bins": {"Black": [0.5], "mood": [1]}}, r"row 1: mood is 'sad'"),
        ({"group": "who"}, r"group=who: "),
    ],
)
def test_a_setting_that_does_not_fit_is_named(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(MdtranslateError, match=message):
        rows(csv(tmp_path, "path,Black,Blond,age,mood", "1,1,0,7,sad", "2,0,1,8,glad", **settings))


def test_bins_must_ascend(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"age: \[18\.0, 18\.0\]"):
        csv(tmp_path, "path,age", "1,7", bins={"age": [18, 18]})


@pytest.mark.parametrize("name", ["a=b", "a,b", "a "])
def test_a_column_name_that_cannot_be_typed_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.jsonl"
    lines = [{"path": f"{n}.png", name: bool(n), "Male": not n} for n in range(2)]
    file.write_text("\n".join(map(json.dumps, lines)))
    recipe = f'datasets={{faces={{name="table", file="{file}"}}}}'
    with pytest.raises(DataError, match=f"dataset faces: attribute '{name}'"):
        build_datasets(resolve("stargan", [recipe]).recipe)
    for override in (f'datasets.faces.ignore=["{name}"]', 'datasets.faces.attributes=["Male"]'):
        (source,) = build_datasets(resolve("stargan", [recipe, override]).recipe)
        assert [attribute.name for attribute in source.attributes] == ["Male"]
