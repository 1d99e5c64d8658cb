"""The tables of a suite, for the terminal and as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdtranslate.bench.results import Results, Row

REAL_IMAGES = "real images"
PERCENTAGES = ("accuracy", "preservation", "classification error", "precision", "recall", "own")
"""Prefixes of the names of figures that are printed in percent."""


def print_tables(results: Results, console: Console) -> None:
    """Prints a table per budget, with the best value of each figure in bold, and then what is missing."""
    for name, budget in results.suite.budgets.items():
        rows = results.rows_of(name)
        # One column per method, because there are fewer methods than figures.
        titles = [escape(row.title) for row in rows]
        table = Table("", *titles, *([REAL_IMAGES] if results.reference else []))
        table.columns[0].overflow = "fold"  # Truncated names of several attributes would look alike.
        for column, *figures in zip(results.columns, *(format_row(results, row) for row in rows), strict=True):
            texts = [f"[bold]{escape(text)}[/]" if is_best else escape(text) for text, is_best in figures]
            table.add_row(column, *texts, *([format_reference(results, column)] if results.reference else []))
        console.print(f"\n{name}: {budget.title}", style="bold", markup=False)
        console.print(table)
    for line in results.gaps:
        console.print(line, style="yellow", markup=False, soft_wrap=True)


def format_markdown(results: Results) -> str:
    """Returns the tables as Markdown, with the accuracy of the attribute classifier on real images."""
    lines = [f"# {results.suite.title}", ""]
    if results.suite.description:
        lines += [results.suite.description.strip(), ""]
    for name, budget in results.suite.budgets.items():
        lines += [f"## {budget.title}", "", f"| method | {' | '.join(results.columns)} |"]
        lines.append("| --- |" + " ---: |" * len(results.columns))
        for row in results.rows_of(name):
            texts = [f"**{text}**" if is_best else text for text, is_best in format_row(results, row)]
            title = row.title.replace("|", "\\|")
            lines.append(f"| {title} | {' | '.join(texts)} |")
        if results.reference:
            texts = [format_reference(results, column) for column in results.columns]
            lines.append(f"| {REAL_IMAGES} | {' | '.join(texts)} |")
        lines.append("")
    lines += [describe_seeds(results), ""]
    if results.real:
        lines += [describe_classifier(results), ""]
    lines += [f"- {line}" for line in results.gaps]
    return "\n".join(lines).rstrip() + "\n"


def format_csv(results: Results) -> str:
    """Returns one CSV line per budget and method, with the mean, minimum and maximum of every column over seeds.

    Each budget ends with a line for real images, if there are reference values.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{column}{suffix}" for column in results.columns for suffix in ("", " min", " max")]
    writer.writerow(["budget", "method", "title", "seeds", *heads, "gap"])
    for budget in results.suite.budgets:
        for row in results.rows_of(budget):
            fields: list[object] = []
            for column in results.columns:
                values = row.figures.get(column)
                fields += [row.mean(column), min(values), max(values)] if values else ["", "", ""]
            count = len(row.provenance.get("seeds", []))
            writer.writerow([budget, row.method, row.title, count, *fields, row.gap or ""])
        if results.reference:
            fields = [field for column in results.columns for field in (results.reference.get(column, ""), "", "")]
            writer.writerow([budget, "", REAL_IMAGES, "", *fields, ""])
    return out.getvalue()


def describe_seeds(results: Results) -> str:
    """Returns a sentence on what a figure of the tables is."""
    count = len(results.suite.seeds)
    return "One seed per method." if count == 1 else f"Means of {count} seeds; minimum and maximum in parentheses."


def describe_classifier(results: Results) -> str:
    """Returns a sentence on the accuracy of the attribute classifier on real images."""
    accuracies = ", ".join(f"{name} {value:.1%}" for name, value in results.real.items())
    return f"Accuracy of the attribute classifier on real test images: {accuracies}."


def format_reference(results: Results, column: str) -> str:
    """Returns the value of real images in a column as text, or an empty string."""
    value = results.reference.get(column)
    return "" if value is None else format_figure(column, value)


def format_row(results: Results, row: Row) -> Iterator[tuple[str, bool]]:
    """Yields each figure of a row as text, and whether it is the best of its column."""
    for column in results.columns:
        values, mean = row.figures.get(column), row.mean(column)
        if not values or mean is None:
            yield "—", False
            continue
        text = format_figure(column, mean)
        if len(values) > 1 and column not in ("networks", "parameters", "size", "steps"):
            text += f" ({format_figure(column, min(values))} to {format_figure(column, max(values))})"
        yield text, mean == results.best(row.budget, column)


def format_figure(column: str, value: float) -> str:
    """Returns a figure as text, with the unit and precision of its column."""
    name = column.rpartition("/")[2]
    if name.startswith(PERCENTAGES):
        return f"{value:.1%}"
    if column in ("networks", "steps", "images/s"):
        return f"{value:,.0f}"
    if column == "minutes":
        return f"{value:,.1f}"
    if column == "parameters":
        return f"{value / 1e6:.2f} M" if value >= 100_000 else f"{value:,.0f}"
    if column in ("size", "memory"):
        return f"{value / 1e6:,.0f} MB" if value >= 10e6 else f"{value / 1e6:.2g} MB"
    if name.endswith("gain"):
        return f"{value:+.2f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
