"""Tables in every format, and every mistake in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from mdtranslate_basics.table import Table
from pyarrow import parquet

from mdtranslate import Split
from mdtranslate.config.recipes import resolve
from mdtranslate.data.source import build_sources
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
    assert {each.name: each.values for each in dataset.attributes} == {"hair": ("black, dyed", "blond"), "smiling": ()}
    found = {split: list(dataset.records(split)) for split in Split}
    assert {split: [each.key for each in own] for split, own in found.items()} == {
        Split.TRAIN: ["a/1.jpg", "a/2.jpg"],
        Split.VAL: ["b/3.jpg"],
        Split.TEST: ["b/4.jpg"],
    }
    for each in (record for own in found.values() for record in own):
        assert each.attributes == KNOWN[each.key], "an empty cell is unknown"
        assert each.image == tmp_path / each.key


def test_yes_and_no_in_every_spelling(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("path,a,b,c\n1.png,1,TRUE,0.0\n2.png,-1,False,1.0\n3.png,1,true,\n")
    dataset = table(file, test=0, val=0)
    assert all(not each.values for each in dataset.attributes)
    records = list(dataset.records(Split.TRAIN))
    assert [each.attributes for each in records] == [
        {"a": True, "b": True, "c": False},
        {"a": False, "b": False, "c": True},
        {"a": True, "b": True},
    ]
    file.write_text("path,mood\n1.png,-1\n2.png,0\n3.png,1\n")
    assert table(file).attributes[0].values == ("-1", "0", "1"), "three values are no yes and no"


def test_columns_that_are_ignored_may_hold_anything_and_twins_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    one = {"path": "0.png", "a": "x", "box": [1, 2], "b": True, "split": "train"}
    other = {**one, "path": "1.png", "a": "y", "b": float("nan")}
    file.write_text(json.dumps(one) + "\n" + json.dumps(other) + "\n")
    dataset = table(file, ignore=["box"])
    assert [each.attributes for each in dataset.records(Split.TRAIN)] == [{"a": "x", "b": True}, {"a": "y"}]
    for header, what in (("path,a,a", "column 'a' is there twice"), ("path,,a", "a column has no name")):
        (tmp_path / "y.csv").write_text(f"{header}\n1.png,x,y\n")
        with pytest.raises(DataError, match=what):
            list(table(tmp_path / "y.csv").attributes)


def test_rows_may_lack_columns(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    rows = [{"path": "0.png"}, {"path": "1.png", "a": "x", "split": "val"}, {"a": "y", "path": "2.png"}]
    file.write_text("\n".join(map(json.dumps, [*rows, {"path": "3.png", "b": "no"}])))
    with pytest.raises(DataError, match="row 1: split is ''"):
        list(table(file).records(Split.TRAIN))
    known = [
        each.attributes for each in table(file, ignore=["split"], split="fold", val=0, test=0).records(Split.TRAIN)
    ]
    assert known == [{}, {"a": "x"}, {"a": "y"}, {"b": False}]
    file.write_text("\n".join(map(json.dumps, [*rows, {}])))
    with pytest.raises(DataError, match="row 4 has no path"):
        list(table(file, split="fold", ignore=["split"]).records(Split.TRAIN))


def test_settings_name_the_columns_and_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("id,image,mood,who\n7,1.png,sad,ann\n8,2.png,glad,bob\n")
    dataset = table(file, path="image", ignore=["id", "who"], root=tmp_path / "pictures", test=0, val=0)
    assert [each.name for each in dataset.attributes] == ["mood"]
    assert [each.image for each in dataset.records(Split.TRAIN)] == [
        tmp_path / "pictures" / "1.png",
        tmp_path / "pictures" / "2.png",
    ]


def test_without_a_column_splits_are_drawn_by_path(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("path,red\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(400)))
    found = {split: [each.key for each in table(file).records(split)] for split in Split}
    assert sum(map(len, found.values())) == 400 and 20 <= len(found[Split.TEST]) <= 60
    assert not set(found[Split.TEST]) & set(found[Split.TRAIN])


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("x.csv", "", {}, "x.csv: has no rows"),
        ("x.csv", "path,a\n", {}, "x.csv: has no rows"),
        ("x.csv", "path,a\n1.png,yes,no\n", {}, "x.csv:2: has not as many cells"),
        ("x.csv", "path,a\n1.png\n", {}, "x.csv:2: has not as many cells"),
        ("x.csv", 'path,a\n1.png,"yes\n', {}, r"x.csv:\d: "),
        ("x.csv", "path,a\n,yes\n", {}, "row 1 has no path"),
        ("x.csv", "path,a\n1.png,yes\n1.png,no\n", {}, "row 2: 1.png is there already"),
        ("x.csv", "path\n1.png\n", {}, "has no column besides path"),
        ("x.csv", "pth,a\n1.png,yes\n", {}, "path=path: .* no such column; did you mean 'pth'"),
        ("x.csv", "path,a\n1.png,yes\n", {"ignore": ["b"]}, "ignore=b: .* no such column"),
        ("x.csv", "path,a,split\n1.png,yes,tset\n", {}, "row 1: split is 'tset'; train, val or test"),
        ("x.csv", "path,a\n1.png,red\n2.png,red\n", {}, r"column 'a' holds 1 .* ignore=\[\"a\"\]"),
        ("x.csv", "path,a\n" + "".join(f"{n}.png,v{n}\n" for n in range(99)), {}, "column 'a' holds 99 different"),
        ("x.jsonl", '{"path": "1.png", "a": true\n', {}, "x.jsonl:1: is not JSON"),
        ("x.jsonl", "[1]\n", {}, "x.jsonl:1: is no object"),
        ("x.jsonl", '{"path": "1.png", "a": [1]}\n', {}, "x.jsonl:1: a: is a list"),
        ("x.parquet", "PAR1", {}, "x.parquet: cannot be read"),
        ("x.xlsx", "", {}, "x.xlsx: .xlsx is none of .csv, .tsv"),
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


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.csv: cannot be read: No such file"):
        list(table(tmp_path / "x.csv").records(Split.TRAIN))
    (tmp_path / "x.csv").write_bytes(b"path,a\n\xff.png,yes\n")
    with pytest.raises(DataError, match=r"x\.csv: is not UTF-8"):
        list(table(tmp_path / "x.csv").records(Split.TRAIN))


def rows(dataset: Table) -> list[dict[str, Any]]:
    return [dict(each.attributes) for each in dataset.records(Split.TRAIN)]


def csv(tmp_path: Path, *lines: str, **settings: Any) -> Table:
    file = tmp_path / "x.csv"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return table(file, **{"test": 0, "val": 0, **settings})


def test_spelt_out_missing_values_are_unknown(tmp_path: Path) -> None:
    lines = ["path,a,b", "1,yes,x", "2,NA,?", "3,no,nan", "4,None,y", "5,-,null", "6,n/a,-1"]
    dataset = csv(tmp_path, *lines, unknown=["na", "none", "-", "n/a", "?", "nan", "null", "-1"])
    assert {each.name: each.values for each in dataset.attributes} == {"a": (), "b": ("x", "y")}
    assert rows(dataset) == [{"a": True, "b": "x"}, {}, {"a": False}, {"b": "y"}, {}, {}]
    assert rows(csv(tmp_path, *lines))[5] == {"b": "-1"}, "not among the defaults"
    assert csv(tmp_path, *lines, unknown=[]).attributes[0].values == ("-", "NA", "None", "n/a", "no", "yes")


def test_yes_and_no_may_be_spelt_in_several_ways_in_one_column(tmp_path: Path) -> None:
    assert rows(csv(tmp_path, "path,a", "1,yes", "2,FALSE", "3,1", "4,0.0")) == [
        {"a": value} for value in (True, False, True, False)
    ]


def test_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    dataset = csv(tmp_path, "path,dose", "1,10", "2,9.5", "3,-2", "4,1e3")
    assert dataset.attributes[0].values == ("-2", "9.5", "10", "1e3")


def test_many_numbers_are_a_note(tmp_path: Path) -> None:
    lines = ["path,age", *(f"{age},{age}" for age in range(20, 60))]
    (note,) = csv(tmp_path, *lines).notes()
    assert note.kind == "many-numbers" and "'age'" in note.what and "bins={age=[...]}" in note.cure
    assert not [*csv(tmp_path, *lines, bins={"age": [30]}).notes(), *csv(tmp_path, *lines[:8]).notes()]


def test_numbers_in_bins(tmp_path: Path) -> None:
    dataset = csv(tmp_path, "path,age", "1,17", "2,18", "3,64.9", "4,65", "5,", bins={"age": [18, 65]})
    assert dataset.attributes[0].values == ("below 18", "18 to 65", "65 and over")
    assert [each.get("age") for each in rows(dataset)] == ["below 18", "18 to 65", "18 to 65", "65 and over", None]


def test_yes_no_columns_of_which_at_most_one_holds(tmp_path: Path) -> None:
    lines = ["path,Black,Blond,Male", "1,1,0,1", "2,0,1,0", "3,0,0,1", "4,1,1,0", "5,,1,0"]
    dataset = csv(tmp_path, *lines, exclusive={"hair": ["Black", "Blond"]})
    hair, male = dataset.attributes
    assert (hair.name, hair.values, hair.optional, male.name) == ("hair", ("Black", "Blond"), True, "Male")
    assert [each.get("hair", "unknown") for each in rows(dataset)] == ["Black", "Blond", None, "unknown", "unknown"]


def test_a_group_is_in_one_split(tmp_path: Path) -> None:
    lines = ["path,patient,a", *(f"{n}.png,p{n // 10},{n % 2}" for n in range(400))]
    dataset = csv(tmp_path, *lines, group="patient", val=0.2, test=0.2)
    assert [each.name for each in dataset.attributes] == ["a"]
    homes = {split: {int(each.key[:-4]) // 10 for each in dataset.records(split)} for split in Split}
    assert sum(map(len, homes.values())) == 40 and all(homes.values())
    lines = ["path,patient,a,split", "1,ann,0,train", "2,bob,1,test", "3,ann,1,test"]
    with pytest.raises(DataError, match=r"row 3: patient 'ann' is in test, and above in train"):
        rows(csv(tmp_path, *lines, group="patient"))


def test_another_separator(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.csv: its header has no commas, but semicolons: separator=';'"):
        rows(csv(tmp_path, "\ufeffpath;a", "1;yes", "2;no"))
    assert rows(csv(tmp_path, "\ufeffpath;a", "1;yes", "2;no", separator=";")) == [{"a": True}, {"a": False}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclusive": {"hair": ["Black", "Blnd"]}}, r"exclusive: 'Blnd': .*did you mean 'Blond'"),
        ({"exclusive": {"hair": ["Black", "Black"]}}, r"exclusive: 'Black': .*names it twice"),
        ({"exclusive": {"age": ["Black", "Blond"]}}, r"exclusive: 'age' is a column"),
        ({"exclusive": {"hair": ["Black", "age"]}}, r"exclusive: 'age' holds more than yes and no"),
        ({"bins": {"aeg": [1]}}, r"bins: 'aeg': .*did you mean 'age'"),
        ({"bins": {"Black": [0.5], "mood": [1]}}, r"row 1: mood is 'sad', and bins want a number"),
        ({"group": "who"}, r"group=who: .* no such column"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(MdtranslateError, match=message):
        rows(csv(tmp_path, "path,Black,Blond,age,mood", "1,1,0,7,sad", "2,0,1,8,glad", **settings))


def test_bins_ascend(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"age: \[18\.0, 18\.0\] do not ascend"):
        csv(tmp_path, "path,age", "1,7", bins={"age": [18, 18]})


@pytest.mark.parametrize("name", ["a=b", "a,b", "a "])
def test_a_column_that_nobody_could_ask_for_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.jsonl"
    rows = [{"path": f"{n}.png", name: bool(n), "Male": not n} for n in range(2)]
    file.write_text("\n".join(map(json.dumps, rows)))
    recipe = f'datasets={{faces={{name="table", file="{file}"}}}}'
    with pytest.raises(DataError, match=f"dataset faces: nobody could ask for attribute '{name}': a name without ="):
        build_sources(resolve("stargan", [recipe]).recipe)
    for leave_out in (f'datasets.faces.ignore=["{name}"]', 'datasets.faces.attributes=["Male"]'):
        (source,) = build_sources(resolve("stargan", [recipe, leave_out]).recipe)
        assert [each.name for each in source.attributes] == ["Male"]
