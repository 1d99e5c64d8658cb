"""Values of table cells: words for unknown, spellings, contradicting rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_table import csv, table

from mdtranslate import Split
from mdtranslate.errors import DataError, RecipeError


def test_mirrored_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,gaze\na.png,left\nb.png,right\nc.png,frontal\n")
    (gaze,) = table(tmp_path / "t.csv", mirrored={"gaze": [("left", "right")]}).attributes
    assert gaze.mirrored_value("left") == "right" and gaze.mirrored_value("frontal") == "frontal"
    for wrong, name in (({"gase": [("left", "right")]}, "gase"), ({"gaze": [("left", "rigth")]}, "rigth")):
        with pytest.raises(RecipeError, match=f"mirrored: .*'{name}'"):
            _ = table(tmp_path / "t.csv", mirrored=wrong).attributes


def test_unknown_words_that_are_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    """CheXpert's uncertain labels are -1.0."""
    dataset = csv(tmp_path, "path,edema", "a.png,1.0", "b.png,0.0", "c.png,-1.0", "d.png,", unknown=["-1"])
    assert [(attribute.name, attribute.values) for attribute in dataset.attributes] == [("edema", ())]


def test_different_spellings_of_a_value(tmp_path: Path) -> None:
    dataset = csv(tmp_path, "path,a", *(f"{n}.png,{word}" for n, word in enumerate(["yes", "n", "Y", "no"])))
    assert dataset.attributes[0].values == ()
    with pytest.raises(DataError, match=r"column 'a': '1' and '1\.0'"):
        _ = csv(tmp_path, "path,a", *(f"{n}.png,{word}" for n, word in enumerate(["1", "1.0", "2", "10"]))).attributes
    dataset = csv(tmp_path, "path,a", *(f"{n}.png,{word}" for n, word in enumerate(["Cat", "cat", "dog", "missing"])))
    assert [note.kind for note in dataset.notes()] == ["unknown-as-value", "similar-values"]


def test_contradicting_rows_and_rows_without_a_group_are_counted(tmp_path: Path) -> None:
    lines = ["path,A,B,patient", "a.png,1,1,NA", "b.png,1,0,", "c.png,0,1,7"]
    notes = list(csv(tmp_path, *lines, exclusive={"h": ["A", "B"]}, group="patient").notes())
    assert [(note.kind, note.message[:9]) for note in notes] == [
        ("contradicting-columns", "1 of 3 ro"),
        ("missing-group", "2 of 3 ro"),
    ]


def test_different_spellings_of_a_path_are_the_same_file(tmp_path: Path) -> None:
    dataset = csv(tmp_path, "path,a", "x/1.png,1", "./x/1.png,0")
    with pytest.raises(DataError, match=r"row 2: \./x/1\.png"):
        for split in Split:
            list(dataset.records(split))
