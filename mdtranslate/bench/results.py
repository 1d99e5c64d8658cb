"""Results of a suite: a row per method and budget, with the values of all seeds."""

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

COSTS: Final = ("networks", "parameters", "size", "steps", "minutes", "memory", "images/s")
"""Columns of every table: number of generators trained separately, parameters trained in all, bytes of the translator,
steps, minutes of training, peak memory of training in bytes, and speed of the translator."""

SPEED: Final = "images_per_second"
"""Key of cell.json: speed of the cell's translator, measured while no other cell was running."""

UNRANKED: Final = (*COSTS, "change", "changed")
"""Columns without a best value: costs, and how much an edit changes an image."""

LOWER_IS_BETTER: Final = ("l1", "fid", "kid", "classification error", "distance")
"""Prefixes of the names of figures, after the edit or attribute and the word `identity` that may precede them."""


@dataclass(frozen=True)
class Row:
    """One method at one budget.

    Attributes:
        budget: Name of the budget.
        method: Name of the method.
        title: Title of the method.
        figures: By column, the value of each seed; columns that no report has are missing.
        gap: Why figures are missing, or None.
        provenance: What is needed to reproduce the row; empty without figures.
    """

    budget: str
    method: str
    title: str
    figures: Mapping[str, Sequence[float]]
    gap: str | None
    provenance: Mapping[str, Any]

    def mean(self, column: str) -> float | None:
        """Returns the mean of a column over seeds, or None if it is missing."""
        values = self.figures.get(column)
        return fmean(values) if values else None


@dataclass(frozen=True)
class Results:
    """All results of a suite.

    Attributes:
        suite: The suite.
        rows: A row per budget and method.
        real: By attribute, the accuracy of the attribute classifier on real test images.
        reference: By column, the value of real images, which no method can be expected to surpass.
        gaps: What is missing and why, one line each.
        command: The command that made the results.
    """

    suite: Suite
    rows: tuple[Row, ...]
    real: Mapping[str, float]
    reference: Mapping[str, float]
    gaps: tuple[str, ...]
    command: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the tables: those of the suite, then the costs."""
        return (*self.suite.columns, *COSTS)

    def rows_of(self, budget: str) -> list[Row]:
        """Returns the rows of one budget."""
        return [row for row in self.rows if row.budget == budget]

    def best(self, budget: str, column: str) -> float | None:
        """Returns the best mean of a column, or None if the column is not ranked or empty."""
        name = column.rpartition("/")[2]
        if column in UNRANKED or name in UNRANKED:
            return None
        means = [mean for row in self.rows_of(budget) if (mean := row.mean(column)) is not None]
        better = min if name.removeprefix("identity ").startswith(LOWER_IS_BETTER) else max
        return better(means) if means else None

    def json(self) -> dict[str, Any]:
        """Returns the content of `results.json`, which `read_results` reads."""
        rows = [
            {
                "budget": row.budget,
                "method": row.method,
                "figures": {name: list(values) for name, values in row.figures.items()},
                "gap": row.gap,
                **row.provenance,
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


def read_results(path: Path) -> Results:
    """Reads a `results.json` file."""
    tree = read_json(path)
    suite = Suite.model_validate(tree["suite"])
    rows = []
    for row in tree["rows"]:
        provenance = {name: value for name, value in row.items() if name not in ("budget", "method", "figures", "gap")}
        title = suite.methods[row["method"]].title or row["method"]
        rows.append(Row(row["budget"], row["method"], title, row["figures"], row["gap"], provenance))
    return Results(suite, tuple(rows), tree["real"], tree["reference"], tuple(tree["gaps"]), tree["command"])


def collect_results(
    suite: Suite, cells: Sequence[Cell], failures: Mapping[Cell, str], invalid: Mapping[str, str]
) -> Results:
    """Collects the evaluation reports of all cells.

    Args:
        suite: The suite.
        cells: All its cells.
        failures: The cells that failed, and why.
        invalid: By name, methods that cannot be run, and why.
    """
    rows, gaps = [], list[str]()
    datasets: dict[str, Mapping[str, Any]] = {}
    for budget in suite.budgets:
        for method in suite.methods:
            row_cells = [cell for cell in cells if (cell.budget, cell.method) == (budget, method)]
            all_reports = {cell: _read_report(cell) for cell in row_cells}
            reports = {cell: report for cell, report in all_reports.items() if report and cell not in failures}
            title = suite.methods[method].title or method
            figures: dict[str, list[float]] = {}
            for cell, report in reports.items():
                datasets |= report["datasets"]
                for column, value in _cell_figures(suite, cell, report):
                    figures.setdefault(column, []).append(value)
            for cell in list(reports)[:1]:
                gaps += [f"{budget}, {title}: {line}" for line in missing_columns(suite, cell)]
            reasons = dict.fromkeys(failures[cell] for cell in row_cells if cell in failures)
            gap = invalid[method] if method in invalid else "; ".join(reasons) or None
            if gap:
                gaps.append(f"{budget}, {title}: {gap}")
            rows.append(Row(budget, method, title, figures, gap, _provenance(reports)))
    evaluations = [[row.provenance["classifier"], row.provenance["data_hash"]] for row in rows if row.provenance]
    if len({json.dumps(evaluation) for evaluation in evaluations}) > 1:
        gaps.append(
            "methods were evaluated with different attribute classifiers or test images: figures are not comparable"
        )
    real, reference = _classifier_accuracy(suite, datasets)
    return Results(suite, tuple(rows), real, reference, tuple(gaps))


def _classifier_accuracy(
    suite: Suite, datasets: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the classifier's accuracy on real images, by attribute and by column of the tables."""
    accuracies = {name: dataset["classifier"]["accuracy_on_real_images"] for name, dataset in datasets.items()}
    real = {
        f"{name}: {attribute}" if len(accuracies) > 1 else attribute: value
        for name, accuracy in accuracies.items()
        for attribute, value in accuracy.items()
    }
    edited = [
        accuracy[attribute]
        for name, accuracy in accuracies.items()
        for attribute in datasets[name]["edited"]
        if attribute in accuracy
    ]
    reference = {f"{attribute}/accuracy": value for attribute, value in real.items()}
    if edited:
        reference |= {"accuracy": fmean(edited), "classification error": 1 - fmean(edited)}
    reference |= {column: 1.0 for column in suite.columns if column.rpartition("/")[2].startswith("gap closed (")}
    return real, {column: value for column, value in reference.items() if column in suite.columns}


def _cell_figures(suite: Suite, cell: Cell, report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields the columns of one cell; with several datasets, means over datasets."""
    values_of: dict[str, list[float]] = {}
    for dataset in report["datasets"].values():
        figures = {name: value for by_name in dataset["figures"].values() for name, value in by_name.items()}
        for column in suite.columns:
            names = [f"{attribute}/{column}" for attribute in dataset["edited"]]
            if column in figures:
                values_of.setdefault(column, []).append(figures[column])
            elif values := [figures[name] for name in names if name in figures]:
                values_of.setdefault(column, []).append(fmean(values))
    for column, values in values_of.items():
        yield column, fmean(values)
    metadata, cost = read_json(cell.folder / "cell.json"), report["cost"]
    yield "networks", float(metadata["networks"])
    yield "steps", float(metadata["steps"])
    yield "parameters", float(sum(cost["parameters"].values()))
    yield "size", float(cost["translator_bytes"])
    if cost["training_seconds"] is not None:
        yield "minutes", cost["training_seconds"] / 60
    if cost["peak_bytes"] is not None:
        yield "memory", float(cost["peak_bytes"])
    yield "images/s", metadata.get(SPEED, cost["images_per_second"])


def _provenance(reports: Mapping[Cell, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what is needed to reproduce a row: the seeds of all cells, everything else of the first one."""
    if not reports:
        return {}
    cell, report = next(iter(reports.items()))
    run = cell.folder / "run"
    environment = json.loads((run / "environment.json").read_text("utf-8"))[-1]
    dataset = next(iter(report["datasets"].values()))
    recipe = "".join(line for line in (run / "recipe.toml").open(encoding="utf-8") if not line.startswith("seed ="))
    return {
        "seeds": [cell.seed for cell in reports],
        "recipe_hash": hashlib.blake2b(recipe.encode(), digest_size=8).hexdigest(),
        "data_hash": {name: dataset["digest"] for name, dataset in report["datasets"].items()},
        "split": report["split"],
        "counts": {
            name: {"images": dataset["images"], "edits": sum(dataset["edits"].values())}
            for name, dataset in report["datasets"].items()
        },
        "classifier": dataset["classifier"].get("key"),
        "metadata": dataset.get("metadata", {}),
        "hardware": environment["hardware"],
        "versions": {"mdtranslate": environment["mdtranslate"], **environment["packages"]},
        "git": environment["git"],
        "created": report["created"],
    }


def missing_columns(suite: Suite, cell: Cell) -> Iterator[str]:
    """Yields a message for each column of the suite that the cell's report lacks, with a similar name if any."""
    report = _read_report(cell)
    columns, names = dict(_cell_figures(suite, cell, report)), {*COSTS}
    for dataset in report["datasets"].values():
        figures = {name for by_name in dataset["figures"].values() for name in by_name}
        edited = {name.partition("/")[2] for name in figures if name.partition("/")[0] in dataset["edited"]}
        names |= figures | edited
    for column in suite.columns:
        if column not in columns:
            similar = nearest(column, names)
            hint = f"; {similar}" if similar.startswith("did") else ""
            yield f"no {column}: no metric of the suite reports it for these images{hint}"


def _read_report(cell: Cell) -> dict[str, Any]:
    return read_json(cell.folder / "run" / "evaluation" / "report.json")


def accuracy_curve(cell: Cell) -> list[tuple[int, float]]:
    """Returns steps and edit accuracies of the validations during training."""
    key = "validation/edit_accuracy"
    return [(line["step"], line[key]) for line in read_lines(cell.folder / "run" / "log.jsonl") if key in line]
