"""Steps of budgets, tables, plots, the summary of the page, and why a cell failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mdtranslate.bench import plots, table
from mdtranslate.bench.cells import TRIAL_STEPS, _CellRunner, _ChildProcesses, _failure_reason
from mdtranslate.bench.page import _summary
from mdtranslate.bench.results import Results, Row, read_results
from mdtranslate.bench.suite import Cell, Suite, list_cells, training_steps


def test_steps_of_budgets_of_images() -> None:
    budgets = {"e": {"per_generator": 800}, "t": {"total": 1600}}
    suite = Suite.model_validate({"title": "x", "methods": {"m": {"recipe": "r"}}, "budgets": budgets})
    per_generator, total = suite.budgets["e"], suite.budgets["t"]

    def recipe(batch_size: int, critic_steps: int = 1) -> Any:
        train, data = SimpleNamespace(critic_steps=critic_steps), SimpleNamespace(batch_size=batch_size)
        return SimpleNamespace(train=train, data=data)

    assert training_steps(recipe(16), per_generator, 1) == 50 and training_steps(recipe(16), total, 1) == 100
    assert training_steps(recipe(16, 5), per_generator, 1) == 250, "only images of generator updates count"
    assert training_steps(recipe(16), per_generator, 56) == 2_800 and training_steps(recipe(16), total, 56) == 100
    assert training_steps(recipe(1), per_generator, 2) == 1_600 and training_steps(recipe(3), total, 2) == 534
    assert [cell.seed for cell in list_cells(suite.model_copy(update={"seeds": (3, 4)}), Path())] == [3, 3, 4, 4]


def test_steps_of_a_budget_of_seconds(tmp_path: Path) -> None:
    """They follow from the speed that is measured after some warm-up steps."""
    suite = Suite.model_validate({"title": "x", "methods": {"m": {"recipe": "r"}}, "budgets": {"b": {"seconds": 5}}})
    method: Any = SimpleNamespace(recipe=SimpleNamespace(train=SimpleNamespace(critic_steps=1)))
    runner = _CellRunner(Cell("b", "m", 0, tmp_path), suite, method, "cpu", 1, _ChildProcesses(), print)

    def call(*arguments: str) -> None:
        (tmp_path / "trial").mkdir()
        steps = range(10, 2 * TRIAL_STEPS + 1, 10)
        lines = [{"step": step, "seconds": 9.0 if step <= TRIAL_STEPS else 2.0} for step in steps]
        (tmp_path / "trial/timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    runner._call = call  # type: ignore[method-assign]
    assert runner._steps() == 25, "ten steps in two seconds"
    assert not (tmp_path / "trial").exists()


def results_of(*l1_values: tuple[float, ...]) -> Results:
    """Results of methods `m0`, `m1`, ... with these values of L1, one per seed."""
    suite = Suite.model_validate(
        {
            "title": "x",
            "methods": {f"m{index}": {"recipe": "r"} for index in range(len(l1_values))},
            "budgets": {"b": {"total": 1}},
            "columns": ["l1"],
            "seeds": [0, 1],
        }
    )
    rows = [Row("b", f"m{index}", f"m{index}", {"l1": values}, None, {}) for index, values in enumerate(l1_values)]
    return Results(suite, tuple(rows), {}, {}, ())


@pytest.mark.parametrize(
    ("exit_code", "output", "reason"),
    [
        (2, "step 5/8 x\nerror: this is wrong\n", "this is wrong"),
        (1, "Traceback\n  File\nValueError: no\nmdtranslate failed in a way\n", "ValueError: no"),
        (3, "", "run ended with exit code 3"),
    ],
)
def test_why_a_cell_failed(exit_code: int, output: str, reason: str) -> None:
    assert _failure_reason("run", exit_code, output) == reason


def test_killed_cell_names_signal_and_usual_cause() -> None:
    reason = _failure_reason("run", -9, "step 550/600  12 it/s\n")
    assert "run" in reason and "SIGKILL" in reason and "memory" in reason


def test_lower_is_better_for_distances_whatever_the_prefix() -> None:
    results = results_of((0.1, 0.1), (0.9, 0.9))
    for column in ("l1", "hair/l1", "identity l1", "hair=Blond/fid (classifier)", "classification error", "accuracy"):
        rows = tuple(replace(row, figures={column: row.figures["l1"]}) for row in results.rows)
        assert replace(results, rows=rows).best("b", column) == (0.9 if column == "accuracy" else 0.1), column


def test_summary_uses_the_available_figures() -> None:
    results = results_of((0.5, 0.7), (0.9, 0.9))
    costs = {"networks": [1.0, 1.0], "parameters": [5e5, 5e5]}
    rows = [replace(row, figures={"hair/accuracy": row.figures["l1"], **costs}) for row in results.rows]
    suite = results.suite.model_copy(update={"columns": ("hair/accuracy",)})
    with_accuracy = replace(results, rows=tuple(rows), suite=suite)
    summary = _summary(with_accuracy, "b")
    assert summary.startswith("m1 ") and "90.0%" in summary and "hair" in summary and "one generator" in summary
    summary = _summary(replace(with_accuracy, suite=results.suite), "b")
    assert summary == "The smallest is m0, with one generator and 0.50 M trained parameters."


def test_tables_show_the_spread_and_mark_the_best() -> None:
    results = results_of((0.1, 0.3), (0.5, 0.5))
    rows = (replace(results.rows[0], title="m|0"), results.rows[1])
    assert "| m\\|0 |" in table.format_markdown(replace(results, rows=rows)), "a bar in a title does not end a cell"
    text = table.format_markdown(results)
    assert "| m0 | **0.2 (0.1 to 0.3)** |" in text and "| m1 | 0.5 (0.5 to 0.5) |" in text, "lower L1 is better"
    assert "2 seeds" in text
    assert table.format_figure("accuracy", 0.987) == "98.7%" and table.format_figure("psnr gain", 1.0) == "+1.00"
    assert table.format_figure("hair+Male/accuracy", 0.5) == "50.0%"
    assert table.format_figure("parameters", 2.5e6) == "2.50 M"
    assert table.format_figure("parameters", 14_900) == "14,900"
    assert table.format_figure("size", 4.2e7) == "42 MB" and table.format_figure("size", 34_000) == "0.034 MB"


def test_plots_place_values_between_their_ticks() -> None:
    plot = plots.scatter_plot({"a": ([0.5], [0.25]), "b": ([1.0], [0.75])}, ("x", "y"), ["a", "b"])
    assert plot.count("<svg") == plot.count("</svg>") == 1 and "nan" not in plot
    assert ">40%<" in plot and ">100%<" in plot and "120%" not in plot
    for values in ([0.5], [0.0, 1.0], [0.97, 0.99], [1.0]):
        ticks = plots._ticks(values, True)
        assert ticks[0] <= min(values) + 1e-9 and ticks[-1] >= max(values) - 1e-9 and len(ticks) >= 2
        assert ticks[0] >= 0 and ticks[-1] <= 1 + 1e-9
    assert plots._ticks([0, 2000], False)[-1] >= 2000
    assert plots.marker(["a", "b"], "a") != plots.marker(["a", "b"], "b")


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = results_of((0.1, 0.3), (0.5, 0.5))
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results.json()))
    assert read_results(file).json() == results.json()
