"""The report on the terminal: the judge on real pictures first, then what edits do, and where they fall short.

A figure is shown where its name says it belongs (`hair/accuracy`, `hair/preserves/Male`, `hair/l1`, `hair/psnr`, ...),
whichever metric gave it; what has no table of its own is listed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
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
    _show_cost(report, console)
    for result in report.results:
        figures = {name: value for each in result.figures.values() for name, value in each.items()}
        edits = sum(result.edits.values())
        missing = f" ({len(result.left_out)} cannot be read and are left out)" if result.left_out else ""
        title = f"\n{result.dataset}: {result.pictures} test pictures{missing}, {edits} edits"
        console.print(title, style="bold", markup=False)
        for title, table in _tables(result, figures, console.width):
            # Not the table's own title, which wraps at the table's width.
            console.print(f"\n{title}", markup=False, soft_wrap=True)
            console.print(table)
        if "preservation" in figures:
            console.print(f"others preserved on average: {figures['preservation']:.1%}")
        if "l1" in figures:
            console.print(f"reconstruction L1, all edits: {figures['l1']:.3f}")
        for line in (*_blind(result), *_confusion(result, figures)):
            console.print(line, style="yellow", markup=False, soft_wrap=True)
        for name, value in figures.items():
            if not _has_table(name):
                console.print(f"{name}: {value:.4g}", markup=False, soft_wrap=True)


def _show_cost(report: Report, console: Console) -> None:
    cost = report.cost
    weights = " and ".join(f"{count / 1e6:.2f} M of the {role}" for role, count in cost["parameters"].items())
    console.print(f"weights: {weights}; the translator takes {cost['translator_bytes'] / 1e6:.1f} MB", markup=False)
    trained = "" if cost["training_seconds"] is None else f"trained for {cost['training_seconds'] / 60:.1f} minutes; "
    console.print(f"{trained}translates {cost['pictures_per_second']:.0f} pictures/s here", markup=False)


def _tables(result: Result, figures: Mapping[str, float], width: int) -> Iterator[tuple[str, Table]]:
    """Those for which there are figures."""
    gain = ["PSNR gain"] if any(name.endswith("/psnr gain") for name in figures) else []
    real = _table("attribute", "accuracy", "commonest value")
    for name, accuracy in result.accuracy.items():
        real.add_row(escape(name), _percent(accuracy), _percent(result.commonest.get(name)))
    yield "the judge on real test pictures", real
    if any(f"{name}/accuracy" in figures for name in result.edited):
        title = (
            "after an edit (row) the judge sees: bold, the edited attribute as wanted; others, the attribute as it was"
        )
        for columns in _columns(result, width):
            yield title, _matrix(result, figures, columns)
            title = "and the other attributes"
    if any(f"{name}/l1" in figures for name in result.edited):
        there_and_back = _table("edited", "L1")
        for name in result.edited:
            there_and_back.add_row(_row(result, name), _number(figures.get(f"{name}/l1"), "{:.3f}"))
        yield "reconstruction after an edit and back: mean absolute difference on the scale of -1 to 1", there_and_back
    if any(f"{edit}/accuracy" in figures for edit in result.edits):
        each = _table("edit", "pictures", "as wanted", *gain)
        for edit, count in ((edit, count) for edit, count in result.edits.items() if "," not in edit):
            each.add_row(_row(result, edit), str(count), *_success(figures, edit, bool(gain)))
        yield "each edit by itself", each
    if result.together:
        each = _table("edited at once", "all as wanted", *gain)
        for scope in result.together:
            each.add_row(escape(scope), *_success(figures, scope, bool(gain)))
        yield "several attributes at once", each
    shown = {name: _LIKENESS[name] for name in _LIKENESS if any(f"{each}/{name}" in figures for each in result.edited)}
    if shown:
        heads = [head for name, _ in shown.values() for head in (name, "nothing", "gain")]
        likeness = _table("edited", *heads)
        for edited in result.edited:
            cells = [
                _number(figures.get(f"{edited}/{name}{end}"), form.replace(":", ":+") if end == " gain" else form)
                for name, (_, form) in shown.items()
                for end in ("", _IDLE, " gain")
            ]
            likeness.add_row(_row(result, edited), *cells)
        yield "likeness to the true picture, beside that of doing nothing", likeness


def _columns(result: Result, width: int) -> Iterator[list[str]]:
    """The judged attributes, the edited ones first, in as many tables as a console of that width needs."""
    first = max(map(len, (_row(result, each) for each in result.edited))) + 4
    room, columns = width - first, list[str]()
    for name in sorted(result.attributes, key=lambda name: name not in result.edited):
        if columns and room < _cell(name):
            yield columns
            room, columns = width - first, []
        columns.append(name)
        room -= _cell(name)
    yield columns


def _cell(head: str) -> int:
    """Width of a column of percentages: what it holds, a blank on both sides, and a line."""
    return max(len(head), len("100.0%")) + 3


def _matrix(result: Result, figures: Mapping[str, float], columns: Sequence[str]) -> Table:
    table = _table("edited", *columns)
    for edited in result.edited:
        cells = []
        for judged in columns:
            own = judged == edited
            value = figures.get(f"{edited}/accuracy" if own else f"{edited}/preserves/{judged}")
            colour = "bold " if own else ""
            colour += "red" if value is not None and value < GOOD else "default"
            cells.append(f"[{colour}]{_percent(value)}[/]")
        table.add_row(_row(result, edited), *cells)
    return table


def _success(figures: Mapping[str, float], edit: str, gain: bool) -> Iterator[str]:
    """How often an edit is as wanted, and what it gains on doing nothing where true pictures are known."""
    yield _percent(figures.get(f"{edit}/accuracy"))
    if gain:
        yield _number(figures.get(f"{edit}/psnr gain"), "{:+.2f}")


def _row(result: Result, edited: str) -> str:
    """An edited attribute, or an edit of it, with the dataset that taught it where that is not the edited pictures'."""
    owner = result.transferred.get(edited.partition("=")[0])
    return escape(edited if owner is None else f"{edited} (of {owner})")


def _blind(result: Result) -> Iterator[str]:
    """A line for every attribute of which the judge's word is worth no more than a guess."""
    for name, share in result.commonest.items():
        if share < 1 and result.accuracy.get(name, 1.0) <= share:
            yield f"{name}: the judge is right no more often than a guess, so its word on edits of {name} means nothing"


def _confusion(result: Result, figures: Mapping[str, float]) -> Iterator[str]:
    """A line for every edit that is wrong too often: what the edited attribute was taken for instead."""
    for edit in (each for each in result.edits if "," not in each):
        accuracy = figures.get(f"{edit}/accuracy")
        if accuracy is None or accuracy >= GOOD:
            continue
        prefix = f"{edit}/judged/"
        shares = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
        seen = sorted(shares.items(), key=lambda pair: -pair[1])
        yield f"{edit}: {accuracy:.1%}; seen as {', '.join(f'{name} {share:.1%}' for name, share in seen if share)}"


def _has_table(name: str) -> bool:
    return name.rpartition("/")[2] in _TABLED or "/preserves/" in name or "/judged/" in name


def _table(*heads: str) -> Table:
    table = Table()
    for number, head in enumerate(heads):
        table.add_column(escape(head), justify="right" if number else "left", no_wrap=True)
    return table


def _percent(value: float | None) -> str:
    return _number(value, "{:.1%}")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
