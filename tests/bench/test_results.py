"""What a suite's results say: budgets in steps, tables, plots, the page's answer, and why a cell failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mdtranslate.bench import plots, table
from mdtranslate.bench.cells import TRIAL, _Children, _reason, _Worker
from mdtranslate.bench.page import _answer
from mdtranslate.bench.results import Results, Row, read
from mdtranslate.bench.suite import Cell, Suite, cells, steps


def test_budgets_in_steps() -> None:
    suite = Suite.model_validate(
        {"title": "x", "methods": {"m": {"recipe": "r"}}, "budgets": {"e": {"each": 800}, "t": {"total": 1600}}}
    )
    each, total = suite.budgets["e"], suite.budgets["t"]

    def recipe(batch: int, critic: int = 1) -> Any:
        return SimpleNamespace(train=SimpleNamespace(critic_steps=critic), data=SimpleNamespace(batch_size=batch))

    assert steps(recipe(16), each, 1) == 50 and steps(recipe(16), total, 1) == 100
    assert steps(recipe(16, 5), each, 1) == 250, "pictures that the generator is updated with"
    assert steps(recipe(16), each, 56) == 2_800 and steps(recipe(16), total, 56) == 100
    assert steps(recipe(1), each, 2) == 1_600 and steps(recipe(3), total, 2) == 534
    assert [cell.seed for cell in cells(suite.model_copy(update={"seeds": (3, 4)}), Path())] == [3, 3, 4, 4]


def test_steps_of_a_budget_of_seconds(tmp_path: Path) -> None:
    """From the speed that is measured after some steps that only warm up."""
    suite = Suite.model_validate({"title": "x", "methods": {"m": {"recipe": "r"}}, "budgets": {"b": {"seconds": 5}}})
    meant: Any = SimpleNamespace(recipe=SimpleNamespace(train=SimpleNamespace(critic_steps=1)))
    worker = _Worker(Cell("b", "m", 0, tmp_path), suite, meant, "cpu", 1, _Children(), print)

    def call(*words: str) -> None:
        (tmp_path / "trial").mkdir()
        lines = [{"step": step, "seconds": 9.0 if step <= TRIAL else 2.0} for step in range(10, 2 * TRIAL + 1, 10)]
        (tmp_path / "trial/timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    worker._call = call  # type: ignore[method-assign]
    assert worker._steps() == 25, "ten steps in two seconds"
    assert not (tmp_path / "trial").exists()


def rows(*values: tuple[float, ...]) -> Results:
    suite = Suite.model_validate(
        {
            "title": "x",
            "methods": {f"m{n}": {"recipe": "r"} for n in range(len(values))},
            "budgets": {"b": {"total": 1}},
            "columns": ["l1"],
            "seeds": [0, 1],
        }
    )
    return Results(
        suite, tuple(Row("b", f"m{n}", f"m{n}", {"l1": own}, None, {}) for n, own in enumerate(values)), {}, {}, ()
    )


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (2, "step 5/8 x\nerror: this is wrong\n", "this is wrong"),
        (1, "Traceback\n  File\nValueError: no\nmdtranslate failed in a way\n", "ValueError: no"),
        (-9, "step 550/600  12 it/s\n", "run was ended by SIGKILL; mostly that is too little memory"),
        (3, "", "run ended with exit code 3"),
    ],
)
def test_why_a_cell_failed(code: int, said: str, reason: str) -> None:
    assert _reason("run", code, said) == reason


def test_less_is_better_whatever_stands_before() -> None:
    suite = rows((0.1, 0.1), (0.9, 0.9))
    for column in ("l1", "hair/l1", "identity l1", "hair=Blond/fid (judge)", "classification error", "accuracy"):
        results = replace(suite, rows=tuple(replace(r, figures={column: r.figures["l1"]}) for r in suite.rows))
        assert results.best("b", column) == (0.9 if column == "accuracy" else 0.1), column


def test_the_page_answers_from_what_there_is() -> None:
    one = rows((0.5, 0.7), (0.9, 0.9))
    costs = {"networks": [1.0, 1.0], "parameters": [5e5, 5e5]}
    seen = [replace(row, figures={"hair/accuracy": row.figures["l1"], **costs}) for row in one.rows]
    named = replace(one, rows=tuple(seen), suite=one.suite.model_copy(update={"columns": ("hair/accuracy",)}))
    assert _answer(named, "b").startswith("m1 is right most often, in 90.0% of the edits of hair, with one generator")
    assert (
        _answer(replace(named, suite=one.suite), "b")
        == "The smallest is m0, with one generator and 0.50 M weights trained."
    )


def test_tables_show_the_spread_and_mark_the_best() -> None:
    results = rows((0.1, 0.3), (0.5, 0.5))
    text = table.markdown(replace(results, rows=(replace(results.rows[0], title="m|0"), results.rows[1])))
    assert "| m\\|0 |" in text, "a bar of a title is no column's"
    text = table.markdown(results)
    assert "| m0 | **0.2 (0.1 to 0.3)** |" in text and "| m1 | 0.5 (0.5 to 0.5) |" in text, (
        "of differences less is better"
    )
    assert "Means of 2 seeds" in text
    assert table.form("accuracy", 0.987) == "98.7%" and table.form("psnr gain", 1.0) == "+1.00"
    assert table.form("hair+Male/accuracy", 0.5) == "50.0%" and table.form("parameters", 2.5e6) == "2.50 M"
    assert [table.form("parameters", 14_900), table.form("size", 4.2e7), table.form("size", 34_000)] == [
        "14,900", "42 MB", "0.034 MB"
    ]  # fmt: skip


def test_plots_place_values_between_their_ticks() -> None:
    drawn = plots.points({"a": ([0.5], [0.25]), "b": ([1.0], [0.75])}, ("x", "y"), ["a", "b"])
    assert drawn.count("<svg") == drawn.count("</svg>") == 1 and "nan" not in drawn
    assert ">40%<" in drawn and ">100%<" in drawn and "120%" not in drawn
    for values in ([0.5], [0.0, 1.0], [0.97, 0.99], [1.0]):
        ticks = plots._ticks(values, True)
        assert ticks[0] <= min(values) + 1e-9 and ticks[-1] >= max(values) - 1e-9 and len(ticks) >= 2
        assert ticks[0] >= 0 and ticks[-1] <= 1 + 1e-9
    assert plots._ticks([0, 2000], False)[-1] >= 2000
    assert plots.mark(["a", "b"], "a") != plots.mark(["a", "b"], "b")


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = rows((0.1, 0.3), (0.5, 0.5))
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results.json()))
    assert read(file).json() == results.json()
