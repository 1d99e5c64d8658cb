"""What the cells of a suite gave: a row per method and budget, with mean and spread over seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from mdtranslate.bench.run import read_json
from mdtranslate.bench.suite import Cell, Suite

COSTS: Final = ("networks", "parameters", "steps", "minutes", "pictures/s")
"""Columns that every table has: generators trained apart, weights trained in all, steps, minutes, speed afterwards."""

NEUTRAL: Final = (*COSTS, "change", "changed")
"""Columns of which none is the best: costs, and how much an edit moves."""

LOWER: Final = ("l1", "fid", "kid", "error", "distance", *COSTS)
"""What figures begin with of which less is better."""


@dataclass(frozen=True)
class Row:
    """One method at one budget."""

    budget: str
    method: str
    title: str
    figures: Mapping[str, Sequence[float]]
    """By column: the value of each seed; a column that no report has is missing."""
    gap: str | None
    """Why there are none, or fewer than seeds."""
    source: Mapping[str, Any]
    """What is needed to repeat it."""

    def mean(self, column: str) -> float | None:
        """Over seeds."""
        values = self.figures.get(column)
        return fmean(values) if values else None


@dataclass(frozen=True)
class Results:
    """Everything that a suite gave."""

    suite: Suite
    rows: tuple[Row, ...]
    real: Mapping[str, float]
    """The judge's accuracy on the real test pictures, by attribute."""
    gaps: tuple[str, ...]
    """What is missing and why, a line each."""
    command: str = ""
    """What was typed."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the tables: the suite's, and what it cost."""
        return (*self.suite.columns, *COSTS)

    def of(self, budget: str) -> list[Row]:
        """The rows of one table."""
        return [row for row in self.rows if row.budget == budget]

    def best(self, budget: str, column: str) -> float | None:
        """The best mean of a column; None where none is the best."""
        if column in NEUTRAL or column.rpartition("/")[2] in NEUTRAL:
            return None
        means = [mean for row in self.of(budget) if (mean := row.mean(column)) is not None]
        return (min if column.startswith(LOWER) else max)(means) if means else None

    def json(self) -> dict[str, Any]:
        """For programs, and to make tables of again."""
        rows = [
            {
                "budget": row.budget,
                "method": row.method,
                "figures": {name: list(values) for name, values in row.figures.items()},
                "gap": row.gap,
                **row.source,
            }
            for row in self.rows
        ]
        return {
            "command": self.command,
            "suite": self.suite.model_dump(mode="json"),
            "real": dict(self.real),
            "rows": rows,
            "gaps": list(self.gaps),
        }


def read(path: Path) -> Results:
    """The results in a file that `Results.json` wrote."""
    tree = read_json(path)
    suite = Suite.model_validate(tree["suite"])
    rows = []
    for row in tree["rows"]:
        source = {name: value for name, value in row.items() if name not in ("budget", "method", "figures", "gap")}
        title = suite.methods[row["method"]].title or row["method"]
        rows.append(Row(row["budget"], row["method"], title, row["figures"], row["gap"], source))
    return Results(suite, tuple(rows), tree["real"], tuple(tree["gaps"]), tree["command"])


def collect(suite: Suite, cells: Sequence[Cell], failed: Mapping[Cell, str], wrong: Mapping[str, str]) -> Results:
    """Reads the reports of the cells. `failed`: why a cell has none; `wrong`: why a method has none."""
    rows, gaps, real = [], list[str](), dict[str, float]()
    for budget in suite.budgets:
        for method in suite.methods:
            own = [cell for cell in cells if (cell.budget, cell.method) == (budget, method)]
            reports = {cell: read_json(cell.folder / "run" / "evaluation" / "report.json") for cell in own}
            there = {cell: report for cell, report in reports.items() if report and cell not in failed}
            reasons = [wrong[method]] if method in wrong else list(dict.fromkeys(failed[c] for c in own if c in failed))
            title = suite.methods[method].title or method
            figures: dict[str, list[float]] = {}
            for cell, report in there.items():
                for column, value in _figures(suite, cell, report):
                    figures.setdefault(column, []).append(value)
            if there:
                for missing in (column for column in suite.columns if column not in figures):
                    gaps.append(f"{budget}, {title}: no {missing}: no metric of the suite gives it on these pictures")
            gap = "; ".join(reasons) or None
            if gap:
                gaps.append(f"{budget}, {title}: {gap}")
            rows.append(Row(budget, method, title, figures, gap, _source(there)))
            for report in there.values():
                for name, dataset in report["datasets"].items():
                    many = len(report["datasets"]) > 1
                    for attribute, value in dataset["judge"]["accuracy_on_real_pictures"].items():
                        real[f"{name}: {attribute}" if many else attribute] = value
    return Results(suite, tuple(rows), real, tuple(gaps))


def _figures(suite: Suite, cell: Cell, report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The columns of one cell: over several datasets, the mean of theirs."""
    found: dict[str, list[float]] = {}
    for dataset in report["datasets"].values():
        figures = {name: value for each in dataset["figures"].values() for name, value in each.items()}
        for column in suite.columns:
            if column in figures:
                found.setdefault(column, []).append(figures[column])
            elif parts := [figures[f"{each}/{column}"] for each in dataset["edited"] if f"{each}/{column}" in figures]:
                found.setdefault(column, []).append(fmean(parts))
    yield from ((column, fmean(values)) for column, values in found.items())
    facts, cost = read_json(cell.folder / "cell.json"), report["cost"]
    yield "networks", float(facts["networks"])
    yield "steps", float(facts["steps"])
    yield "parameters", float(sum(cost["parameters"].values()))
    yield "minutes", cost["training_seconds"] / 60
    yield "pictures/s", cost["pictures_per_second"]


def _source(there: Mapping[Cell, Mapping[str, Any]]) -> dict[str, Any]:
    """What is needed to repeat a row, of its first cell; seeds of all."""
    if not there:
        return {}
    cell, report = next(iter(there.items()))
    run = cell.folder / "run"
    environment = json.loads((run / "environment.json").read_text("utf-8"))[-1]
    dataset = next(iter(report["datasets"].values()))
    text = "".join(line for line in (run / "recipe.toml").open(encoding="utf-8") if not line.startswith("seed ="))
    return {
        "seeds": [each.seed for each in there],
        "recipe_hash": hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
        "data_hash": {name: each["digest"] for name, each in report["datasets"].items()},
        "split": report["split"],
        "counts": {
            name: {"pictures": each["pictures"], "edits": sum(each["edits"].values())}
            for name, each in report["datasets"].items()
        },
        "judge": dataset["judge"].get("key"),
        "facts": dataset.get("facts", {}),
        "hardware": environment["hardware"],
        "versions": {"mdtranslate": environment["mdtranslate"], **environment["packages"]},
        "git": environment["git"],
        "made": report["made"],
    }


def curve(cell: Cell) -> list[tuple[int, float]]:
    """Steps, and the share of edits that looks while training saw right."""
    lines = _lines(cell.folder / "run" / "log.jsonl")
    return [(line["step"], line["check/edit_accuracy"]) for line in lines if "check/edit_accuracy" in line]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
