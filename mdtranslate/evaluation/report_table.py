"""The report on the terminal: realism, accuracy of the classifier on real images, what edits achieve, where they fail.

The name of a figure decides in which table it appears (`hair/accuracy`, `hair/preserves/Male`, `hair/l1`, `hair/psnr`,
...), whichever metric computed it. Figures without a table are listed at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdtranslate.evaluation.report import DatasetResult, Report

GOOD_ACCURACY: Final = 0.9  # Edits below this accuracy are listed with what they are classified as instead.

BASELINE: Final = " of the identity baseline"
SIMILARITIES: Final = {"psnr": ("PSNR", "{:.2f}"), "ssim": ("SSIM", "{:.3f}")}
GAP_CLOSED: Final = {"gap closed", "gap closed low", "gap closed high", "identity gap closed", "own"}
"""Figures of realism, without the feature network in parentheses that ends their names."""

FIGURES_WITH_TABLE: Final = {
    "accuracy", "l1", "preservation", *(name + end for name in SIMILARITIES for end in ("", BASELINE, " gain")),
}  # fmt: skip


def print_report(report: Report, console: Console) -> None:
    """Prints the tables of a report."""
    _print_cost(report, console)
    for result in report.results:
        figures = {name: value for by_name in result.figures.values() for name, value in by_name.items()}
        num_edits = sum(result.edits.values())
        left_out = f" ({len(result.left_out)} cannot be read and are left out)" if result.left_out else ""
        heading = f"\n{result.dataset}: {result.num_images} test images{left_out}, {num_edits} edits"
        console.print(heading, style="bold", markup=False)
        for title, table in _tables(result, figures, console.width):
            # Not the table's own title, which wraps at the table's width.
            console.print(f"\n{title}", markup=False, soft_wrap=True)
            console.print(table)
        if "preservation" in figures:
            console.print(f"mean preservation of other attributes: {figures['preservation']:.1%}")
        if "l1" in figures:
            console.print(f"reconstruction L1, mean over all edits: {figures['l1']:.3f}")
        for line in (*_classifier_warnings(result), *_metric_notes(result), *_failed_edits(result, figures)):
            console.print(line, style="yellow", markup=False, soft_wrap=True)
        for name, value in figures.items():
            if not _has_table(name):
                console.print(f"{name}: {value:.4g}", markup=False, soft_wrap=True)


def _print_cost(report: Report, console: Console) -> None:
    cost = report.cost
    parameters = ", ".join(f"{role} {count / 1e6:.2f} M" for role, count in cost["parameters"].items())
    console.print(f"parameters: {parameters}; translator: {cost['translator_bytes'] / 1e6:.1f} MB", markup=False)
    seconds = cost["training_seconds"]
    training = "" if seconds is None else f"training time: {seconds / 60:.1f} minutes; "
    console.print(f"{training}speed on this machine: {cost['images_per_second']:.0f} images/s", markup=False)


def _tables(result: DatasetResult, figures: Mapping[str, float], width: int) -> Iterator[tuple[str, Table]]:
    """Yields title and table for every kind of figure that the report has."""
    yield from _gap_tables(result, figures)
    yield "accuracy of the attribute classifier on real test images", _classifier_table(result)
    if any(f"{name}/accuracy" in figures for name in result.edited):
        title = (
            "attribute classifier after an edit (row): the edited attribute has the target value (bold), the others "
            "are unchanged"
        )
        for columns in _split_columns(result, width):
            yield title, _accuracy_table(result, figures, columns)
            title = "other attributes"
    if any(f"{name}/l1" in figures for name in result.edited):
        table = _new_table("edited", "L1")
        for name in result.edited:
            table.add_row(_row_head(result, name), _format(figures.get(f"{name}/l1"), "{:.3f}"))
        yield "reconstruction after an edit and back: mean absolute difference on the scale of -1 to 1", table
    has_gain = any(name.endswith("/psnr gain") for name in figures)
    gain_head = ["PSNR gain"] if has_gain else []
    if any(f"{edit}/accuracy" in figures for edit in result.edits):
        table = _new_table("edit", "images", "accuracy", *gain_head)
        for edit, count in result.edits.items():
            if "," not in edit:
                table.add_row(_row_head(result, edit), str(count), *_accuracy_cells(figures, edit, has_gain))
        yield "edits of one attribute", table
    if result.joint_edits:
        table = _new_table("edited", "all correct", *gain_head)
        for scope in result.joint_edits:
            table.add_row(escape(scope), *_accuracy_cells(figures, scope, has_gain))
        yield "joint edits of several attributes", table
    measured = [name for name in SIMILARITIES if any(f"{edited}/{name}" in figures for edited in result.edited)]
    if measured:
        yield (
            "similarity to the ground truth, and that of the unedited source image",
            _similarity_table(result, figures, measured),
        )


def _gap_tables(result: DatasetResult, figures: Mapping[str, float]) -> Iterator[tuple[str, Table]]:
    """Yields a table for each feature network by which realism was measured."""
    for network in (name.removeprefix("own ") for name in figures if re.fullmatch(r"own \(.+\)", name)):

        def cells(prefix: str, name: str = "gap closed", network: str = network) -> Iterator[str]:
            yield _format(figures.get(f"{prefix}{name} {network}"), "{:.2f}")
            ends = [_format(figures.get(f"{prefix}{name} {end} {network}"), "{:.2f}") for end in ("low", "high")]
            yield " to ".join(filter(None, ends))

        table, accuracies = _new_table("edit", "gap closed", "90 % interval", "own", "accuracy"), list[float]()
        for edit in (edit for edit in result.edits if "," not in edit):
            share, accuracy = figures.get(f"{edit}/own {network}"), figures.get(f"{edit}/accuracy")
            table.add_row(_row_head(result, edit), *cells(f"{edit}/"), _percent(share), _percent(accuracy))
            accuracies += [] if accuracy is None else [accuracy]
        table.add_section()
        mean_accuracy = fmean(accuracies) if accuracies else None
        table.add_row("mean", *cells(""), _percent(figures[f"own {network}"]), _percent(mean_accuracy))
        table.add_row("identity", *cells("", "identity gap closed"), "", "")
        yield (
            f"realism {network}: gap closed between unedited images (0) and real images of the value (1); own: share "
            "of edits that are nearest to their own source",
            table,
        )


def _classifier_table(result: DatasetResult) -> Table:
    table = _new_table("attribute", "accuracy", "most frequent value")
    for name, accuracy in result.accuracy.items():
        table.add_row(escape(name), _percent(accuracy), _percent(result.majority_share.get(name)))
    return table


def _accuracy_table(result: DatasetResult, figures: Mapping[str, float], columns: Sequence[str]) -> Table:
    """Edited attributes by classified attributes, low shares in red."""
    table = _new_table("edited", *columns)
    for edited in result.edited:
        cells = []
        for classified in columns:
            is_edited = classified == edited
            value = figures.get(f"{edited}/accuracy" if is_edited else f"{edited}/preserves/{classified}")
            style = "bold " if is_edited else ""
            style += "red" if value is not None and value < GOOD_ACCURACY else "default"
            cells.append(f"[{style}]{_percent(value)}[/]")
        table.add_row(_row_head(result, edited), *cells)
    return table


def _similarity_table(result: DatasetResult, figures: Mapping[str, float], measured: Sequence[str]) -> Table:
    heads = [head for name in measured for head in (SIMILARITIES[name][0], "identity", "gain")]
    table = _new_table("edited", *heads)
    for edited in result.edited:
        cells = []
        for name in measured:
            form = SIMILARITIES[name][1]
            cells.append(_format(figures.get(f"{edited}/{name}"), form))
            cells.append(_format(figures.get(f"{edited}/{name}{BASELINE}"), form))
            cells.append(_format(figures.get(f"{edited}/{name} gain"), form.replace(":", ":+")))
        table.add_row(_row_head(result, edited), *cells)
    return table


def _split_columns(result: DatasetResult, width: int) -> Iterator[list[str]]:
    """Yields the classified attributes, edited ones first, in as many groups as tables of `width` characters need."""
    head_width = max(map(len, (_row_head(result, name) for name in result.edited))) + 4
    free, columns = width - head_width, list[str]()
    for name in sorted(result.attributes, key=lambda name: name not in result.edited):
        if columns and free < _column_width(name):
            yield columns
            free, columns = width - head_width, []
        columns.append(name)
        free -= _column_width(name)
    yield columns


def _column_width(head: str) -> int:
    """Returns the width of a column of percentages: its content, a blank on both sides, and a line."""
    return max(len(head), len("100.0%")) + 3


def _accuracy_cells(figures: Mapping[str, float], edit: str, has_gain: bool) -> Iterator[str]:
    """Yields the accuracy of an edit and, if there is ground truth, its PSNR gain over the identity baseline."""
    yield _percent(figures.get(f"{edit}/accuracy"))
    if has_gain:
        yield _format(figures.get(f"{edit}/psnr gain"), "{:+.2f}")


def _row_head(result: DatasetResult, edited: str) -> str:
    """Returns the name of an attribute or edit, with the dataset that labels it if that is another one."""
    owner = result.transferred.get(edited.partition("=")[0])
    return escape(edited if owner is None else f"{edited} (of {owner})")


def _classifier_warnings(result: DatasetResult) -> Iterator[str]:
    """Yields a line for every attribute on which the classifier is no better than a constant prediction."""
    for name, share in result.majority_share.items():
        if share < 1 and result.accuracy.get(name, 1.0) <= share:
            yield (
                f"{name}: on real images the classifier is no better than always predicting the most frequent value, "
                f"so figures of {name} mean nothing"
            )


def _metric_notes(result: DatasetResult) -> Iterator[str]:
    """Yields what metrics say about figures that are missing or not what they could be."""
    for name, metadata in result.metadata.items():
        if "hint" in metadata:
            yield f"{name}: {metadata['hint']}"
        for edit, reason in metadata.get("not measured", {}).items():
            yield f"{edit}: {name} cannot be measured: {reason}"


def _failed_edits(result: DatasetResult, figures: Mapping[str, float]) -> Iterator[str]:
    """Yields a line for every edit with low accuracy: the values that the classifier predicts."""
    for edit in (edit for edit in result.edits if "," not in edit):
        accuracy = figures.get(f"{edit}/accuracy")
        if accuracy is None or accuracy >= GOOD_ACCURACY:
            continue
        prefix = f"{edit}/predicted/"
        shares = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
        ranked = sorted(shares.items(), key=lambda pair: -pair[1])
        predictions = ", ".join(f"{name} {share:.1%}" for name, share in ranked if share)
        yield f"{edit}: {accuracy:.1%}; predicted: {predictions}"


def _has_table(name: str) -> bool:
    figure = name.rpartition("/")[2]
    if figure.partition(" (")[0] in GAP_CLOSED:
        return True
    return figure in FIGURES_WITH_TABLE or "/preserves/" in name or "/predicted/" in name


def _new_table(*heads: str) -> Table:
    table = Table()
    for number, head in enumerate(heads):
        table.add_column(escape(head), justify="right" if number else "left", no_wrap=True)
    return table


def _percent(value: float | None) -> str:
    return _format(value, "{:.1%}")


def _format(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
