"""The doctor finds what is wrong with a dataset: a table of squares with one thing wrong at a time."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from runs import mdtranslate

from mdtranslate.config.recipes import resolve
from mdtranslate.doctor.examine import Report, examine, show
from mdtranslate.doctor.findings import Rank
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.training.distributed import World
from mdtranslate.training.run import Job
from mdtranslate.utils.console import Watch

SMALL = [
    *("generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"),
    *("data.image_size=16", "data.batch_size=8", "data.workers=0"),
]
COLOURS = {"red": (220, 40, 40), "green": (40, 220, 40), "blue": (40, 40, 220)}
Row = dict[str, str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def write(folder: Path, rows: list[Row]) -> None:
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


def squares(
    folder: Path, count: int = 240, size: int = 20, change: Callable[[int, Row], None] | None = None
) -> list[Row]:
    """Pictures of a colour and bright or dark, and the rows of their table; `change` spoils a row."""
    folder.mkdir(exist_ok=True)
    draw, rows = np.random.default_rng(0), []
    for number in range(count):
        colour, bright = list(COLOURS)[number % 3], number % 2 == 0
        pixels = draw.integers(0, 20, (size, size, 3)) + np.array(COLOURS[colour]) // (1 if bright else 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        split = ("train", "train", "train", "val", "test")[number // 6 % 5]
        row = {"path": f"{number}.png", "split": split, "colour": colour, "bright": "yes" if bright else "no"}
        if change:
            change(number, row)
        rows.append(row)
    write(folder, rows)
    return rows


def examined(*overrides: str, tables: str = 'a={name="table", file="a/table.csv"}') -> Report:
    resolved = resolve("stargan", [f"datasets={{{tables}}}", *SMALL, *overrides])
    return examine(Job(resolved, World(torch.device("cpu")), Watch()), Path("out"))


def finding(report: Report, words: str) -> Rank:
    (found,) = [each for each in report.findings if words in each.what]
    assert found.cure
    return found.rank


def test_a_sound_dataset_is_counted_and_shown(tmp_path: Path) -> None:
    squares(tmp_path / "a", count=600)
    report = examined()
    assert not report.in_vain and {each.rank for each in report.findings} == {Rank.NOTE}
    assert report.values["a"]["colour=red"] == {"train": 120, "val": 40, "test": 40}
    assert report.domains["a"]["colour=red, bright=yes"] == {"train": 60, "val": 20, "test": 20}
    assert finding(report, "mostly 20 x 20 (100%); modes RGB 100%") is Rank.NOTE
    (sheet,) = report.sheets
    with Image.open(sheet) as image:
        assert image.width > 4 * 96
    assert [each.rank for each in report.findings] == sorted(each.rank for each in report.findings)


def test_what_never_varies_or_is_rare_or_unknown(tmp_path: Path) -> None:
    def spoil(number: int, row: Row) -> None:
        row["hat"] = "a" if number == 0 else "" if number % 3 else "b"
        row["kind"] = {"train": "x"}.get(row["split"], "y")

    squares(tmp_path / "a", change=spoil)
    report = examined()
    assert not report.in_vain
    assert finding(report, "kind is x in every picture of the train split") is Rank.TROUBLE
    assert finding(report, "hat is unknown of 66.") is Rank.NOTE
    assert finding(report, "hat=a is true of 1 of 48 pictures") is Rank.TROUBLE
    assert finding(report, "hat=a never occurs in the test split") is Rank.NOTE
    assert report.values["a"]["hat unknown"]["train"] == 96
    alone = examined(tables='a={name="table", file="a/table.csv", attributes=["kind"]}')
    assert alone.in_vain and finding(alone, "no attribute varies") is Rank.IN_VAIN
    assert finding(alone, "target equals its source in 100%") is Rank.IN_VAIN


def test_names_with_brackets_are_printed_as_they_are(tmp_path: Path) -> None:
    squares(tmp_path / "a", change=lambda number, row: row.update(tag=("[/b]", "[red]")[number % 2]))
    text = io.StringIO()
    show(examined(), Console(file=text, width=150))
    assert "tag=[/b]" in text.getvalue() and "tag=[red]" in text.getvalue()


def test_combinations_that_never_occur_and_values_that_look_alike(tmp_path: Path) -> None:
    def spoil(number: int, row: Row) -> None:
        row["bright"] = "yes" if row["colour"] == "red" else "no"
        row["size"] = ("Big One", "big_one", "small")[number % 3]

    squares(tmp_path / "a", change=spoil)
    report = examined()
    assert finding(report, "combinations never occur, such as colour=blue, bright=no, size=Big One") is Rank.NOTE
    assert finding(report, "the values of size 'Big One' and 'big_one' look like one") is Rank.TROUBLE
    assert finding(examined("data.targets=other"), "combinations never occur") is Rank.TROUBLE


def test_columns_of_one_attribute_are_found_with_the_setting_that_joins_them(tmp_path: Path) -> None:
    def one_hot(number: int, row: Row) -> None:
        own = row.pop("colour")
        row.update({f"is_{colour}": "1" if colour == own else "0" for colour in COLOURS})

    squares(tmp_path / "a", change=one_hot)
    report = examined()
    (found,) = [each for each in report.findings if "never two of" in each.what]
    assert found.rank is Rank.TROUBLE
    assert 'datasets.a.exclusive={NAME=["is_red", "is_green", "is_blue"]}' in found.cure
    joined = 'exclusive={colour=["is_red", "is_green", "is_blue"]}'
    fixed = examined(tables=f'a={{name="table", file="a/table.csv", {joined}}}')
    assert not [each for each in fixed.findings if "never two of" in each.what]


def test_targets_that_want_true_pictures_which_nobody_knows(tmp_path: Path) -> None:
    squares(tmp_path / "a")
    report = examined("data.targets=paired")
    assert report.in_vain and finding(report, "data.targets=paired: a knows no true picture") is Rank.IN_VAIN
    assert not any("combinations" in each.what for each in examined("data.targets=pairs").findings)


def test_labels_that_cannot_be_seen(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)

    def shuffle(number: int, row: Row) -> None:
        row["bright"] = "yes" if draw.random() < 0.5 else "no"

    squares(tmp_path / "a", count=600, change=shuffle)
    report = examined()
    assert finding(report, "bright cannot be seen: a small classifier is right in") is Rank.TROUBLE
    assert finding(report, "the share of the commonest value") is Rank.NOTE
    told = next(each.what for each in report.findings if "a small classifier is right in colour" in each.what)
    assert re.search(r"right in colour \d+% \(\d+%\), bright \d+% \([56]\d%\)", told), told
    assert not report.in_vain
    alone = examined(tables='a={name="table", file="a/table.csv", attributes=["bright"]}')
    assert alone.in_vain and finding(alone, "none of its labels can be seen") is Rank.IN_VAIN
    # What never varies beside it changes nothing: nothing can be learned.
    rows = squares(tmp_path / "a", count=600, change=shuffle)
    write(tmp_path / "a", [{**row, "kind": "x" if row["split"] == "train" else "y"} for row in rows])
    assert examined(tables='a={name="table", file="a/table.csv", attributes=["bright", "kind"]}').in_vain
    squares(tmp_path / "a", count=60)
    assert finding(examined(), "too few pictures to train on and to hold out") is Rank.NOTE


def test_left_and_right_can_be_seen_where_nothing_is_mirrored(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)

    def spoil(number: int, row: Row) -> None:
        pixels = draw.integers(0, 20, (20, 20, 3), np.uint8)
        pixels[:, :10] += 200 if row["bright"] == "yes" else 0
        pixels[:, 10:] += 0 if row["bright"] == "yes" else 200
        Image.fromarray(pixels).save(tmp_path / "a" / row["path"])

    squares(tmp_path / "a", count=600, change=spoil)
    side = 'a={name="table", file="a/table.csv", attributes=["bright"]}'
    report = examined(tables=side)
    assert report.in_vain
    assert any("data.flip=false" in each.cure for each in report.findings)
    assert not examined("data.flip=false", tables=side).in_vain


def test_unreadable_small_and_repeated_pictures(tmp_path: Path) -> None:
    squares(tmp_path / "a", size=10)
    (tmp_path / "a" / "5.png").write_bytes(b"no picture")
    (tmp_path / "a" / "18.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())  # train and val
    (tmp_path / "a" / "3.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())  # other labels
    report = examined()
    assert (
        report.in_vain and finding(report, "1 pictures of train (0.7%) cannot be read: a/5.png: is no") is Rank.IN_VAIN
    )
    assert finding(report, "100% of the pictures are smaller than 16 pixels") is Rank.TROUBLE
    assert finding(report, "1 pictures are in two splits, such as 0.png and 18.png") is Rank.TROUBLE
    assert finding(report, "1 pictures are there twice with different labels, such as 0.png and 3.png") is Rank.TROUBLE
    told = {each["kind"]: each for each in report.json()["findings"]}
    assert {"unreadable", "small-images", "image-in-two-splits", "contradicting-labels"} <= {*told}
    assert told["unreadable"]["files"] == ["a/5.png"] and told["unreadable"]["rank"] == "in vain"
    assert not examined("data.unreadable=skip").in_vain
    assert [each.rank for each in report.findings] == sorted(each.rank for each in report.findings)
    assert len({each.rank for each in report.findings}) == 3, "in order, and not only because there is one kind"
    for number in range(0, 60):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"no picture")
    report = examined("data.unreadable=skip")
    assert report.in_vain and finding(report, "pictures of train (") is Rank.IN_VAIN
    assert finding(report, "100% of the pictures are smaller than 16 pixels") is Rank.TROUBLE, "and looks at the rest"
    for file in (tmp_path / "a").glob("*.png"):
        file.write_bytes(b"no picture")
    assert finding(examined("data.unreadable=skip"), "none of 144 pictures to train on can be read") is Rank.IN_VAIN


def test_names_of_two_datasets(tmp_path: Path) -> None:
    squares(tmp_path / "a", change=lambda number, row: row.update({"size 1": row["colour"], "Size_1": row["bright"]}))
    assert finding(examined(), "the attributes 'size 1' and 'Size_1' look like one") is Rank.TROUBLE
    squares(tmp_path / "a")
    rows = squares(tmp_path / "b", change=lambda number, row: row.update(Colour=row["colour"]))
    write(tmp_path / "b", [{name: row[name] for name in ("path", "split", "Colour", "bright")} for row in rows])
    report = examined(tables='a={name="table", file="a/table.csv"}, b={name="table", file="b/table.csv"}')
    assert finding(report, "a has colour and b has Colour: the same, spelt differently?") is Rank.TROUBLE
    assert finding(report, "a and b both label bright") is Rank.NOTE
    assert finding(report, "a and b have 240 pictures in common, 0 of them in different splits") is Rank.NOTE
    assert finding(report, "b: a drawn target equals its source in") is Rank.NOTE
    assert len(report.sheets) == 2


def test_the_command_prints_and_exits_with_1_in_vain(tmp_path: Path) -> None:
    squares(tmp_path / "a", change=lambda number, row: row.update(kind="x" if row["split"] == "train" else "y"))
    table = 'datasets={a={name="table", file="a/table.csv", attributes=["%s"]}}'
    done = mdtranslate("doctor", "stargan", table % "kind", *SMALL, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "in vain: a: no attribute varies" in done.stdout
    assert (tmp_path / "doctor" / "stargan" / "a.png").exists()
    done = mdtranslate("doctor", "stargan", table % "bright", *SMALL, "--json", "--out", "x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sheets"] == ["x/a.png"]
    done = mdtranslate("doctor", "stargan", table % "brigth", *SMALL, cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'bright'?" in done.stderr


def test_what_is_no_dataset_or_recipe_at_all_is_an_error_as_ever(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a/table\.csv: cannot be read"):
        examined()
    squares(tmp_path / "a")
    with pytest.raises(RecipeError, match="layers need an image_size"):
        examined("discriminator.layers=5")
    with pytest.raises(RecipeError, match="did you mean 'ColorJitter'"):
        examined('data.augment=[{name="ColorJiter"}]')
    report = examined()
    text = io.StringIO()
    show(report, Console(file=text, width=150))
    assert "a: pictures by domain" in text.getvalue() and "note: " in text.getvalue()
