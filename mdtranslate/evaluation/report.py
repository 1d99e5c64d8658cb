"""The report on the terminal: the judge on real pictures first, then what edits do, and where they fall short.

A figure is shown where its name says it belongs (`hair/accuracy`, `hair/preserves/Male`, `hair/l1`, `hair/psnr`, ...),
whichever metric gave it; what has no table of its own is listed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from mdtranslate.evaluation.evaluate import Report, Result

GOOD: Final = 0.9
"""Edits below this accuracy are shown with what they were taken for."""

_IDLE: Final = " of doing nothing"
_LIKENESS: Final = {"psnr": ("PSNR", "{:.2f}"), "ssim": ("SSIM", "{:.3f}")}
_TABLED: Final = {
    "accuracy", "l1", "preservation", *(name + end for name in _LIKENESS for end in ("", _IDLE, " gain")),
}  # fmt: skip


def show(report: Report, console: Console) -> None:
    """Prints a report."""
    for result in report.results:
        figures = {name: value for each in result.figures.values() for name, value in each.items()}
        console.print(f"\n{result.dataset}: {result.pictures} test pictures, {sum(result.edits.values())} edits", style="bold")
        for table in _tables(result, figures):
            console.print(table)
        if "preservation" in figures:
            console.print(f"others preserved on average: {figures['preservation']:.1%}")
        if "l1" in figures:
            console.print(f"reconstruction L1, all edits: {figures['l1']:.3f}")
        for line in _confusion(result, figures):
            console.print(line, style="yellow", markup=False)
        for name, value in figures.items():
            if not _has_table(name):
                console.print(f"{name}: {value:.4g}", markup=False)


def _tables(result: Result, figures: Mapping[str, float]) -> Iterator[Table]:
    """Those for which there are figures."""
    real = _table("the judge on real test pictures", "", *result.accuracy)
    real.add_row("accuracy", *(_percent(each) for each in result.accuracy.values()))
    yield real
    if any(f"{name}/accuracy" in figures for name in result.edited):
        yield _matrix(result, figures)
    if any(f"{name}/l1" in figures for name in result.edited):
        there_and_back = _table("reconstruction after an edit and back: L1 on the scale of -1 to 1", "", *result.edited)
        there_and_back.add_row("L1", *(_number(figures.get(f"{name}/l1"), "{:.3f}") for name in result.edited))
        yield there_and_back
    shown = {name: style for name, style in _LIKENESS.items() if any(f"{each}/{name}" in figures for each in result.edited)}
    if shown:
        heads = [head for name, _ in shown.values() for head in (name, "nothing", "gain")]
        likeness = _table("likeness to the true picture, beside doing nothing", "edited", *heads)
        for edited in result.edited:
            cells = [
                _number(figures.get(f"{edited}/{name}{end}"), form.replace(":", ":+") if end == " gain" else form)
                for name, (_, form) in shown.items()
                for end in ("", _IDLE, " gain")
            ]
            likeness.add_row(edited, *cells)
        yield likeness


def _matrix(result: Result, figures: Mapping[str, float]) -> Table:
    table = _table("after an edit the judge sees", "edited", *result.attributes)
    for edited in result.edited:
        cells = []
        for judged in result.attributes:
            own = judged == edited
            value = figures.get(f"{edited}/accuracy" if own else f"{edited}/preserves/{judged}")
            colour = "bold " if own else ""
            colour += "red" if value is not None and value < GOOD else "default"
            cells.append(f"[{colour}]{_percent(value)}[/]")
        table.add_row(edited, *cells)
    table.caption = "bold: the edited attribute has the wanted value; others: the attribute is what it was"
    return table


def _confusion(result: Result, figures: Mapping[str, float]) -> Iterator[str]:
    """A line for every edit that is wrong too often: what the edited attribute was taken for instead."""
    for edit in result.edits:
        accuracy = figures.get(f"{edit}/accuracy")
        if accuracy is None or accuracy >= GOOD:
            continue
        prefix = f"{edit}/judged/"
        shares = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
        seen = sorted(shares.items(), key=lambda pair: -pair[1])
        yield f"{edit}: {accuracy:.1%}; seen as {', '.join(f'{name} {share:.1%}' for name, share in seen if share)}"


def _has_table(name: str) -> bool:
    return name.rpartition("/")[2] in _TABLED or "/preserves/" in name or "/judged/" in name


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    return table


def _percent(value: float | None) -> str:
    return _number(value, "{:.1%}")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
