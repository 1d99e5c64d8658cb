"""The tables of a suite, for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdtranslate.bench.results import Results, Row

REAL = "real pictures"
SHARES = ("accuracy", "preservation", "classification error", "precision", "recall")


def show(results: Results, console: Console) -> None:
    """Prints a table for each budget, the best of each column in bold, and what is missing."""
    for name, budget in results.suite.budgets.items():
        rows = results.of(name)
        # Methods across: they are fewer than figures.
        table = Table("", *(escape(row.title) for row in rows), *([REAL] if results.reference else []))
        table.columns[0].overflow = "fold"  # Names of several attributes are long, and cut short they are alike.
        for head, *own in zip(results.columns, *(cells(results, row) for row in rows), strict=True):
            texts = [f"[bold]{escape(text)}[/]" if best else escape(text) for text, best in own]
            table.add_row(head, *texts, *([reference(results, head)] if results.reference else []))
        console.print(f"\n{name}: {budget.title}", style="bold", markup=False)
        console.print(table)
    for line in results.gaps:
        console.print(line, style="yellow", markup=False, soft_wrap=True)


def markdown(results: Results) -> str:
    """The same as Markdown, with what the judge sees in real pictures."""
    lines = [f"# {results.suite.title}", ""]
    if results.suite.about:
        lines += [results.suite.about.strip(), ""]
    for name, budget in results.suite.budgets.items():
        lines += [f"## {budget.title}", "", f"| method | {' | '.join(results.columns)} |"]
        lines.append("| --- |" + " ---: |" * len(results.columns))
        for row in results.of(name):
            texts = [f"**{text}**" if best else text for text, best in cells(results, row)]
            title = row.title.replace("|", "\\|")
            lines.append(f"| {title} | {' | '.join(texts)} |")
        if results.reference:
            lines.append(f"| {REAL} | {' | '.join(reference(results, each) for each in results.columns)} |")
        lines.append("")
    lines += [seeds(results), ""]
    if results.real:
        lines += [seen(results), ""]
    lines += [f"- {line}" for line in results.gaps]
    return "\n".join(lines).rstrip() + "\n"


def comma_separated(results: Results) -> str:
    """A line per method and budget: mean, least and most of every column. Real pictures and gaps have theirs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = ("", " min", " max")
    heads = [f"{column}{end}" for column in results.columns for end in ends]
    writer.writerow(["budget", "method", "title", "seeds", *heads, "gap"])
    for budget in results.suite.budgets:
        for row in results.of(budget):
            fields: list[object] = []
            for column in results.columns:
                values = row.figures.get(column)
                fields += [row.mean(column), min(values), max(values)] if values else ["", "", ""]
            count = len(row.source.get("seeds", []))
            writer.writerow([budget, row.method, row.title, count, *fields, row.gap or ""])
        if results.reference:
            fields = [each for column in results.columns for each in (results.reference.get(column, ""), "", "")]
            writer.writerow([budget, "", REAL, "", *fields, ""])
    return out.getvalue()


def seeds(results: Results) -> str:
    """What a cell of the tables is."""
    count = len(results.suite.seeds)
    return "Figures are of one seed." if count == 1 else f"Means of {count} seeds, in brackets the least and the most."


def seen(results: Results) -> str:
    """How far the judge can be believed."""
    shares = ", ".join(f"{name} {value:.1%}" for name, value in results.real.items())
    return f"On the real test pictures the judge is right in: {shares}."


def reference(results: Results, column: str) -> str:
    """What real pictures have in a column."""
    value = results.reference.get(column)
    return "" if value is None else form(column, value)


def cells(results: Results, row: Row) -> Iterator[tuple[str, bool]]:
    """Each figure of a row as text, and whether it is the best of its column. Costs never are."""
    for column in results.columns:
        values, mean = row.figures.get(column), row.mean(column)
        if not values or mean is None:
            yield "—", False
            continue
        text = form(column, mean)
        if len(values) > 1 and column not in ("networks", "parameters", "size", "steps"):
            text += f" ({form(column, min(values))} to {form(column, max(values))})"
        yield text, mean == results.best(row.budget, column)


def form(column: str, value: float) -> str:
    """A figure as text."""
    name = column.rpartition("/")[2]
    if name.startswith(SHARES):
        return f"{value:.1%}"
    if column in ("networks", "steps", "pictures/s"):
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
