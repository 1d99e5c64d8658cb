"""What the cells of a suite gave: a row per method and budget, with mean and spread over seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from mdtranslate.bench.suite import Cell, Suite
from mdtranslate.errors import nearest
from mdtranslate.utils.files import read_json, read_lines

COSTS: Final = ("networks", "parameters", "size", "steps", "minutes", "memory", "pictures/s")
"""Columns that every table has: generators trained apart, weights trained in all, bytes of the translator, steps,
minutes of training, most bytes of memory in training, speed afterwards."""

SPEED: Final = "pictures_per_second"
"""Of a cell, measured when no other was running."""

NEUTRAL: Final = (*COSTS, "change", "changed")
"""Columns of which none is the best: costs, and how much an edit moves."""

LOWER: Final = ("l1", "fid", "kid", "classification error", "distance")
"""What figures begin with of which less is better, after the edit and "identity" that may stand before."""


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
    reference: Mapping[str, float]
    """By column, what real pictures would have there: no method can be expected to do better."""
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
        name = column.rpartition("/")[2].removeprefix("identity ")
        return (min if name.startswith(LOWER) else max)(means) if means else None

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
            "reference": dict(self.reference),
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
    return Results(suite, tuple(rows), tree["real"], tree["reference"], tuple(tree["gaps"]), tree["command"])


def collect(suite: Suite, cells: Sequence[Cell], failed: Mapping[Cell, str], wrong: Mapping[str, str]) -> Results:
    """Reads the reports of the cells. `failed`: why a cell has none; `wrong`: why a method has none."""
    rows, gaps = [], list[str]()
    judged: dict[str, Mapping[str, Any]] = {}
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
            gaps += [f"{budget}, {title}: {line}" for cell in list(there)[:1] for line in lacking(suite, cell)]
            gap = "; ".join(reasons) or None
            if gap:
                gaps.append(f"{budget}, {title}: {gap}")
            rows.append(Row(budget, method, title, figures, gap, _source(there)))
            for report in there.values():
                judged |= report["datasets"]
    if len({json.dumps([row.source[key] for key in ("judge", "data_hash")]) for row in rows if row.source}) > 1:
        gaps.append("not all methods were seen by the same judge on the same pictures: their figures do not compare")
    real, reference = _real(suite, judged)
    return Results(suite, tuple(rows), real, reference, tuple(gaps))


def _real(suite: Suite, judged: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """What the judge sees right in real pictures: by attribute, and by column of the tables."""
    by_dataset = {name: each["judge"]["accuracy_on_real_pictures"] for name, each in judged.items()}
    real = {
        f"{name}: {attribute}" if len(by_dataset) > 1 else attribute: value
        for name, own in by_dataset.items()
        for attribute, value in own.items()
    }
    edited = [own[each] for name, own in by_dataset.items() for each in judged[name]["edited"] if each in own]
    reference = {f"{attribute}/accuracy": value for attribute, value in real.items()}
    if edited:
        reference |= {"accuracy": fmean(edited), "classification error": 1 - fmean(edited)}
    return real, {column: value for column, value in reference.items() if column in suite.columns}


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
    yield "size", float(cost["translator_bytes"])
    if cost["training_seconds"] is not None:
        yield "minutes", cost["training_seconds"] / 60
    if cost["peak_bytes"] is not None:
        yield "memory", float(cost["peak_bytes"])
    yield "pictures/s", facts.get(SPEED, cost["pictures_per_second"])


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


def lacking(suite: Suite, cell: Cell) -> Iterator[str]:
    """The columns of the tables that the report of a cell has not, and the nearest that it has."""
    report = read_json(cell.folder / "run" / "evaluation" / "report.json")
    there, names = dict(_figures(suite, cell, report)), {*COSTS}
    for dataset in report["datasets"].values():
        own = {name for figures in dataset["figures"].values() for name in figures}
        names |= own | {name.partition("/")[2] for name in own if name.partition("/")[0] in dataset["edited"]}
    for column in suite.columns:
        if column not in there:
            near = nearest(column, names)
            hint = f"; {near}" if near.startswith("did") else ""
            yield f"no {column}: no metric of the suite gives it on these pictures{hint}"


def curve(cell: Cell) -> list[tuple[int, float]]:
    """Steps, and the share of edits that looks while training saw right."""
    lines = read_lines(cell.folder / "run" / "log.jsonl")
    return [(line["step"], line["check/edit_accuracy"]) for line in lines if "check/edit_accuracy" in line]
