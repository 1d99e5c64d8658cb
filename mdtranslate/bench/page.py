"""One self-contained HTML page of a suite's results: tables, plots, images, and how to reproduce them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mdtranslate.bench import plots, table
from mdtranslate.bench.image_strips import EditStrips
from mdtranslate.bench.results import Results, Row

STYLE = """
:root { color-scheme: light; --ink: #1d2329; --soft: #5b6770; --line: #d8dde2; --best: #e8f1ea; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px 64px; color: var(--ink); }
body { font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 20px; margin: 40px 0 8px; }
h3 { font-size: 16px; margin: 24px 0 6px; }
p { max-width: 72ch; margin: 0 0 12px; }
.soft, figcaption { color: var(--soft); font-size: 14px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 8px 6px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
td.best { font-weight: 700; background: var(--best); padding-left: 6px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 16px; margin: 12px 0; }
figure { margin: 0; }
.grid { stroke: var(--line); fill: none; }
.tick { font-size: 11px; fill: var(--soft); }
.axis { font-size: 12px; fill: var(--ink); }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; }
.key { padding: 0; margin: 8px 0; font-size: 14px; }
.mark { width: 14px; height: 14px; margin-right: 6px; vertical-align: -2px; }
.shots td { border: 0; padding: 2px 12px 2px 0; text-align: left; }
.shots img { display: block; image-rendering: auto; }
.gap { color: #9c2f3d; }
pre { font-size: 12px; background: #f5f6f7; padding: 12px; overflow-x: auto; }
@media (max-width: 640px) { body { padding: 20px 16px 48px; } }
"""


def render_page(
    results: Results,
    curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]],
    strips: Mapping[str, Sequence[EditStrips]],
    credit: str | None,
) -> str:
    """Returns the page as HTML, which loads nothing from elsewhere.

    Args:
        results: The results.
        curves: By budget and method, steps and edit accuracies of the validations during training.
        strips: By budget, the images of each edit.
        credit: Credit line of the dataset.
    """
    suite, order = results.suite, list(results.suite.methods)
    titles = {name: method.title or name for name, method in suite.methods.items()}
    body = [f"<h1>{escape(suite.title)}</h1>"]
    body += [f"<p>{escape(paragraph)}</p>" for paragraph in suite.description.strip().split("\n\n") if paragraph]
    if results.gaps:
        body.append('<ul class="gap">' + "".join(f"<li>{escape(line)}</li>" for line in results.gaps) + "</ul>")
    for name, budget in suite.budgets.items():
        body.append(f"<h2>{escape(budget.title)}</h2>")
        body.append(f"<p>{escape(_summary(results, name))}</p>")
        body.append(_table(results, name))
        body.append(f'<div class="plots">{_plots(results, name, curves.get(name, {}))}</div>')
        body.append(plots.legend(order, titles))
        body += [_strips(edit_strips, titles) for edit_strips in strips.get(name, ())]
    if credit and strips:
        body.append(f'<p class="soft">{escape(credit)}</p>')
    body.append("<h2>How it was measured</h2>")
    body.append(
        f"<p>{escape(table.describe_seeds(results))} All methods are evaluated on edits of every test image, with the "
        "same attribute classifier, which is trained on real images only. Bold is the best value of a column; costs "
        "are not ranked. Minutes of training depend on what else the machine did; images per second were measured one "
        "method after the other.</p>"
    )
    if results.real:
        body.append(f"<p>{escape(table.describe_classifier(results))}</p>")
    body.append(f"<pre>{escape(results.command)}</pre>")
    body.append("<details><summary>What is needed to reproduce each row</summary>")
    body.append(f"<pre>{escape(json.dumps(results.json()['rows'], indent=1))}</pre></details>")
    head = f"<title>{escape(suite.title)}</title><style>{STYLE}</style>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return f'<!doctype html><html lang="en"><head>{meta}{head}</head><body>{"".join(body)}</body></html>\n'


def _summary(results: Results, budget: str) -> str:
    """Returns which method is most accurate, which is smallest and which preserves most, in a few sentences."""
    rows = [row for row in results.rows_of(budget) if row.figures]
    if not rows:
        return "No method has a result yet."
    smallest = min(rows, key=lambda row: fmean(row.figures["parameters"]))
    accuracies = [column for column in results.suite.columns if column.rpartition("/")[2] == "accuracy"]
    column = accuracies[0] if accuracies else "accuracy"
    with_accuracy = [row for row in rows if row.figures.get(column)]
    if not with_accuracy:
        return f"The smallest is {smallest.title}, with {_cost(smallest)}."
    best = max(with_accuracy, key=lambda row: row.mean(column) or 0)
    attribute = column.rpartition("/")[0]
    edits = f"edits of {attribute}" if attribute else "edits"
    sentences = [f"{best.title} is the most accurate, in {_percentage(best, column)} of {edits}, with {_cost(best)}."]
    if smallest is not best:
        accuracy = _percentage(smallest, column)
        sentences.append(f"The smallest is {smallest.title}, with {_cost(smallest)} and an accuracy of {accuracy}.")
    with_preservation = [row for row in rows if row.figures.get("preservation")]
    keeper = max(with_preservation, key=lambda row: row.mean("preservation") or 0) if with_preservation else best
    if keeper is not best:
        sentences.append(
            f"{keeper.title} preserves other attributes best, in {_percentage(keeper, 'preservation')} of edits "
            f"({best.title}: {_percentage(best, 'preservation')}), with an accuracy of {_percentage(keeper, column)}."
        )
    return " ".join(sentences)


def _percentage(row: Row, column: str) -> str:
    mean = row.mean(column)
    return "unknown" if mean is None else f"{mean:.1%}"


def _cost(row: Row) -> str:
    networks, parameters = (fmean(row.figures[name]) for name in ("networks", "parameters"))
    generators = "one generator" if networks == 1 else f"{networks:.0f} generators"
    return f"{generators} and {table.format_figure('parameters', parameters)} trained parameters"


def _table(results: Results, budget: str) -> str:
    heads = "".join(f"<th>{escape(column)}</th>" for column in ("method", *results.columns))
    lines = []
    for row in results.rows_of(budget):
        cells = [
            f'<td class="best">{escape(text)}</td>' if is_best else f"<td>{escape(text)}</td>"
            for text, is_best in table.format_row(results, row)
        ]
        lines.append(f"<tr><td>{escape(row.title)}</td>{''.join(cells)}</tr>")
    if results.reference:
        texts = [table.format_reference(results, column) for column in results.columns]
        cells = [f"<td>{escape(text)}</td>" for text in texts]
        lines.append(f"<tr><td>{table.REAL_IMAGES}</td>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _plots(results: Results, budget: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Returns accuracy against preservation, and accuracy during training, as far as they were measured."""
    order, figures = list(results.suite.methods), []
    trade_offs = {
        row.method: (row.figures["accuracy"], row.figures["preservation"])
        for row in results.rows_of(budget)
        if {"accuracy", "preservation"} <= {*row.figures}
    }
    if trade_offs:
        plot = plots.scatter_plot(trade_offs, ("edit accuracy", "preservation of other attributes"), order)
        figures.append(f"<figure>{plot}<figcaption>Higher is better on both axes.</figcaption></figure>")
    if curves := {method: curve for method, curve in curves.items() if len(curve) > 1}:
        plot = plots.line_plot(curves, ("steps", "edit accuracy in training"), order)
        figures.append(f"<figure>{plot}<figcaption>Validation during training, first seed.</figcaption></figure>")
    return "".join(figures)


def _strips(strips: EditStrips, titles: Mapping[str, str]) -> str:
    rows = [("test images", strips.source), *((titles[name], images) for name, images in strips.by_method.items())]
    if strips.truth is not None:
        rows.append(("ground truth", strips.truth))
    lines = "".join(f"<tr><td>{escape(title)}</td><td>{_strip(images, title)}</td></tr>" for title, images in rows)
    return f'<h3>{escape(strips.edit)}</h3><div class="scroll"><table class="shots">{lines}</table></div>'


def _strip(images: NDArray[np.uint8], title: str) -> str:
    """Returns images side by side as one embedded PNG; small ones are displayed larger."""
    file = BytesIO()
    Image.fromarray(np.concatenate(list(images), axis=1)).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    side = max(96, min(160, images.shape[1]))
    width, height = side * len(images), side
    return f'<img alt="{escape(title)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'
