"""Findings of the doctor about a table of squares with one fault at a time."""

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

from mdtranslate.config.recipe_loader import resolve
from mdtranslate.doctor.findings import Finding, Rank
from mdtranslate.doctor.inspection import Report, inspect_datasets, print_report
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.training.distributed import World
from mdtranslate.training.job import TrainingJob
from mdtranslate.utils.console import ProgressDisplay

SMALL = [
    *("generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"),
    *("data.image_size=16", "data.batch_size=8", "data.workers=0"),
]
COLOURS = {"red": (220, 40, 40), "green": (40, 220, 40), "blue": (40, 40, 220)}
Row = dict[str, str]


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def write(folder: Path, rows: list[Row]) -> None:
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


def squares(
    folder: Path, count: int = 240, size: int = 20, change: Callable[[int, Row], None] | None = None
) -> list[Row]:
    """Writes images of a colour, bright or dark, and their table; `change` modifies a row. Returns the rows."""
    folder.mkdir(exist_ok=True)
    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        colour, bright = list(COLOURS)[number % 3], number % 2 == 0
        pixels = rng.integers(0, 20, (size, size, 3)) + np.array(COLOURS[colour]) // (1 if bright else 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        split = ("train", "train", "train", "val", "test")[number // 6 % 5]
        row = {"path": f"{number}.png", "split": split, "colour": colour, "bright": "yes" if bright else "no"}
        if change:
            change(number, row)
        rows.append(row)
    write(folder, rows)
    return rows


def inspect(*overrides: str, tables: str = 'a={name="table", file="a/table.csv"}') -> Report:
    resolved = resolve("stargan", [f"datasets={{{tables}}}", *SMALL, *overrides])
    return inspect_datasets(TrainingJob(resolved, World(torch.device("cpu")), ProgressDisplay()), Path("out"))


def finding(report: Report, kind: str, *words: str) -> Finding:
    """Returns the only finding of a kind whose message has all these words."""
    (match,) = [item for item in report.findings if item.kind == kind and all(word in item.message for word in words)]
    assert match.remedy
    return match


def rank(report: Report, kind: str, *words: str) -> Rank:
    return finding(report, kind, *words).rank


def kinds(report: Report) -> set[str]:
    return {item.kind for item in report.findings}


def test_counts_and_contact_sheet_of_a_sound_dataset(tmp_path: Path) -> None:
    squares(tmp_path / "a", count=600)
    report = inspect()
    assert not report.has_errors and {item.rank for item in report.findings} == {Rank.INFO}
    assert report.values["a"]["colour=red"] == {"train": 120, "val": 40, "test": 40}
    assert report.domains["a"]["colour=red, bright=yes"] == {"train": 60, "val": 20, "test": 20}
    assert rank(report, "sizes", "a:", "20 x 20 (100%)", "RGB 100%") is Rank.INFO
    (sheet,) = report.sheets
    with Image.open(sheet) as image:
        assert image.width > 4 * 96
    assert [item.rank for item in report.findings] == sorted(item.rank for item in report.findings)


def test_constant_rare_and_unknown_values(tmp_path: Path) -> None:
    def add_columns(number: int, row: Row) -> None:
        row["hat"] = "a" if number == 0 else "" if number % 3 else "b"
        row["kind"] = {"train": "x"}.get(row["split"], "y")

    squares(tmp_path / "a", change=add_columns)
    report = inspect()
    assert not report.has_errors
    assert rank(report, "constant-attribute", "a: kind", "x") is Rank.WARNING
    assert rank(report, "unknown-values", "a: hat", "66.") is Rank.INFO
    assert rank(report, "rare-value", "a: hat=a", "1 of 48") is Rank.WARNING
    assert rank(report, "value-not-in-test", "hat=a", "test") is Rank.INFO
    assert report.values["a"]["hat unknown"]["train"] == 96
    kind_only = inspect(tables='a={name="table", file="a/table.csv", attributes=["kind"]}')
    assert kind_only.has_errors and rank(kind_only, "nothing-varies", "a:") is Rank.ERROR
    assert rank(kind_only, "target-equals-source", "a:", "100%") is Rank.ERROR


def test_names_with_brackets_are_printed_verbatim(tmp_path: Path) -> None:
    squares(tmp_path / "a", change=lambda number, row: row.update(tag=("[/b]", "[red]")[number % 2]))
    text = io.StringIO()
    print_report(inspect(), Console(file=text, width=150))
    assert "tag=[/b]" in text.getvalue() and "tag=[red]" in text.getvalue()


def test_missing_combinations_and_similar_values(tmp_path: Path) -> None:
    def correlate(number: int, row: Row) -> None:
        row["bright"] = "yes" if row["colour"] == "red" else "no"
        row["size"] = ("Big One", "big_one", "small")[number % 3]

    squares(tmp_path / "a", change=correlate)
    report = inspect()
    assert rank(report, "missing-combinations", "colour=blue, bright=no, size=Big One") is Rank.INFO
    assert rank(report, "similar-names", "values of size", "'Big One'", "'big_one'") is Rank.WARNING
    assert rank(inspect("data.targets=other-domain"), "missing-combinations") is Rank.WARNING


def test_one_hot_columns_name_the_setting_that_joins_them(tmp_path: Path) -> None:
    def one_hot(number: int, row: Row) -> None:
        value = row.pop("colour")
        row.update({f"is_{colour}": "1" if colour == value else "0" for colour in COLOURS})

    squares(tmp_path / "a", change=one_hot)
    columns = finding(inspect(), "one-hot-columns")
    assert columns.rank is Rank.WARNING
    assert 'datasets.a.exclusive={NAME=["is_red", "is_green", "is_blue"]}' in columns.remedy
    joined = 'exclusive={colour=["is_red", "is_green", "is_blue"]}'
    assert "one-hot-columns" not in kinds(inspect(tables=f'a={{name="table", file="a/table.csv", {joined}}}'))


def test_paired_targets_without_ground_truth(tmp_path: Path) -> None:
    squares(tmp_path / "a")
    report = inspect("data.targets=paired")
    assert report.has_errors and rank(report, "targets", "data.targets=paired", "a") is Rank.ERROR
    assert "missing-combinations" not in kinds(inspect("data.targets=domain-pairs"))


def test_labels_that_cannot_be_recognised(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def shuffle(number: int, row: Row) -> None:
        row["bright"] = "yes" if rng.random() < 0.5 else "no"

    squares(tmp_path / "a", count=600, change=shuffle)
    report = inspect()
    assert rank(report, "label-not-visible", "a: bright") is Rank.WARNING
    visibility = finding(report, "label-visibility", "a:")
    assert visibility.rank is Rank.INFO
    assert re.search(r"colour \d+% \(\d+%\), bright \d+% \([56]\d%\)", visibility.message), visibility.message
    assert not report.has_errors
    bright_only = inspect(tables='a={name="table", file="a/table.csv", attributes=["bright"]}')
    assert bright_only.has_errors and rank(bright_only, "labels-not-visible", "a:") is Rank.ERROR
    # Another attribute that never varies changes nothing: still nothing can be learned.
    rows = squares(tmp_path / "a", count=600, change=shuffle)
    write(tmp_path / "a", [{**row, "kind": "x" if row["split"] == "train" else "y"} for row in rows])
    assert inspect(tables='a={name="table", file="a/table.csv", attributes=["bright", "kind"]}').has_errors
    squares(tmp_path / "a", count=60)
    assert rank(inspect(), "too-few-images", "a:") is Rank.INFO


def test_left_and_right_are_recognised_without_flips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def paint_side(number: int, row: Row) -> None:
        pixels = rng.integers(0, 20, (20, 20, 3), np.uint8)
        pixels[:, :10] += 200 if row["bright"] == "yes" else 0
        pixels[:, 10:] += 0 if row["bright"] == "yes" else 200
        Image.fromarray(pixels).save(tmp_path / "a" / row["path"])

    squares(tmp_path / "a", count=600, change=paint_side)
    tables = 'a={name="table", file="a/table.csv", attributes=["bright"]}'
    report = inspect(tables=tables)
    assert report.has_errors
    assert any("data.flip=false" in item.remedy for item in report.findings)
    assert not inspect("data.flip=false", tables=tables).has_errors


def test_unreadable_small_and_repeated_images(tmp_path: Path) -> None:
    squares(tmp_path / "a", size=10)
    (tmp_path / "a" / "5.png").write_bytes(b"no image")
    (tmp_path / "a" / "18.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())  # train and val
    (tmp_path / "a" / "3.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())  # other labels
    report = inspect()
    assert report.has_errors and rank(report, "unreadable", "a: 1 ", "train (0.7%)", "a/5.png") is Rank.ERROR
    assert rank(report, "small-images", "a: 100%", "16 pixels") is Rank.WARNING
    assert rank(report, "image-in-two-splits", "a: 1 ", "0.png and 18.png") is Rank.WARNING
    assert rank(report, "contradicting-labels", "a: 1 ", "0.png and 3.png") is Rank.WARNING
    by_kind = {entry["kind"]: entry for entry in report.json()["findings"]}
    assert by_kind["unreadable"]["files"] == ["a/5.png"] and by_kind["unreadable"]["rank"] == "error"
    assert not inspect("data.unreadable=skip").has_errors
    assert [item.rank for item in report.findings] == sorted(item.rank for item in report.findings)
    assert len({item.rank for item in report.findings}) == 3, "sorted, and not only because there is one rank"
    for number in range(0, 60):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"no image")
    report = inspect("data.unreadable=skip")
    assert report.has_errors and rank(report, "unreadable", "train (") is Rank.ERROR
    assert rank(report, "small-images", "100%", "16 pixels") is Rank.WARNING, "the rest is inspected all the same"
    for file in (tmp_path / "a").glob("*.png"):
        file.write_bytes(b"no image")
    assert rank(inspect("data.unreadable=skip"), "no-readable-image", "a:", "144") is Rank.ERROR


def test_names_of_two_datasets(tmp_path: Path) -> None:
    squares(tmp_path / "a", change=lambda number, row: row.update({"size 1": row["colour"], "Size_1": row["bright"]}))
    assert rank(inspect(), "similar-names", "a: the attributes", "'size 1'", "'Size_1'") is Rank.WARNING
    squares(tmp_path / "a")
    rows = squares(tmp_path / "b", change=lambda number, row: row.update(Colour=row["colour"]))
    write(tmp_path / "b", [{name: row[name] for name in ("path", "split", "Colour", "bright")} for row in rows])
    report = inspect(tables='a={name="table", file="a/table.csv"}, b={name="table", file="b/table.csv"}')
    assert rank(report, "similar-names", "a has colour", "b has Colour") is Rank.WARNING
    assert rank(report, "shared-attribute", "a and b", "bright") is Rank.INFO
    assert rank(report, "shared-images", "a and b", "240 images", "0 of them") is Rank.INFO
    assert rank(report, "target-equals-source", "b:") is Rank.INFO
    assert len(report.sheets) == 2


def test_exit_code_is_1_if_training_cannot_succeed(tmp_path: Path) -> None:
    squares(tmp_path / "a", change=lambda number, row: row.update(kind="x" if row["split"] == "train" else "y"))
    table = 'datasets={a={name="table", file="a/table.csv", attributes=["%s"]}}'
    done = mdtranslate("doctor", "stargan", table % "kind", *SMALL, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "error: a: no attribute varies" in done.stdout
    assert (tmp_path / "doctor" / "stargan" / "a.png").exists()
    done = mdtranslate("doctor", "stargan", table % "bright", *SMALL, "--json", "--out", "x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["sheets"] == ["x/a.png"] and printed["has_errors"] is False
    done = mdtranslate("doctor", "stargan", table % "brigth", *SMALL, cwd=tmp_path)
    assert done.returncode == 2 and "'bright'" in done.stderr


def test_invalid_datasets_and_recipes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a/table\.csv"):
        inspect()
    squares(tmp_path / "a")
    with pytest.raises(RecipeError, match="image_size"):
        inspect("discriminator.layers=5")
    with pytest.raises(RecipeError, match="ColorJitter"):
        inspect('data.augment=[{name="ColorJiter"}]')
    text = io.StringIO()
    print_report(inspect(), Console(file=text, width=150))
    assert "a: images by domain" in text.getvalue() and "info: " in text.getvalue()
