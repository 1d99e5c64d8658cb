"""One HTML page of a suite's results, which needs no network: tables, plots, pictures, and how to repeat it."""

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
from mdtranslate.bench.image_strips import Shown
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


def page(
    results: Results,
    curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]],
    shown: Mapping[str, Sequence[Shown]],
    credit: str | None,
) -> str:
    """The page. `curves` and `shown`: by budget."""
    suite, order = results.suite, list(results.suite.methods)
    titles = {name: method.title or name for name, method in suite.methods.items()}
    body = [f"<h1>{escape(suite.title)}</h1>"]
    body += [f"<p>{escape(part)}</p>" for part in suite.about.strip().split("\n\n") if part]
    if results.gaps:
        body.append('<ul class="gap">' + "".join(f"<li>{escape(line)}</li>" for line in results.gaps) + "</ul>")
    for name, budget in suite.budgets.items():
        body.append(f"<h2>{escape(budget.title)}</h2>")
        body.append(f"<p>{escape(_answer(results, name))}</p>")
        body.append(_table(results, name))
        body.append('<div class="plots">')
        seen = {row.method: row.figures for row in results.of(name)}
        both = {m: (f["accuracy"], f["preservation"]) for m, f in seen.items() if {"accuracy", "preservation"} <= {*f}}
        if both:
            drawn = plots.points(both, ("accuracy of the edit", "others preserved"), order)
            body.append(f"<figure>{drawn}<figcaption>Right and above is better.</figcaption></figure>")
        if own := {method: each for method, each in curves.get(name, {}).items() if len(each) > 1}:
            drawn = plots.lines(own, ("steps", "edits right while training"), order)
            body.append(f"<figure>{drawn}<figcaption>Looks while it trained, first seed.</figcaption></figure>")
        body.append("</div>")
        body.append(plots.key(order, titles))
        body += [_shots(each, titles) for each in shown.get(name, ())]
    if credit and shown:
        body.append(f'<p class="soft">{escape(credit)}</p>')
    body.append("<h2>How it was measured</h2>")
    body.append(
        f"<p>{escape(table.seeds(results))} Edits of every test picture, seen by one judge: a classifier trained on "
        "real pictures alone, shared by all methods. Bold is the best of a column; costs are not compared. Minutes are "
        "of training beside whatever else ran; pictures per second were measured one method after the other.</p>"
    )
    if results.real:
        body.append(f"<p>{escape(table.seen(results))}</p>")
    body.append(f"<pre>{escape(results.command)}</pre>")
    body.append("<details><summary>Everything needed to repeat each row</summary>")
    body.append(f"<pre>{escape(json.dumps(results.json()['rows'], indent=1))}</pre></details>")
    head = f"<title>{escape(suite.title)}</title><style>{STYLE}</style>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return f'<!doctype html><html lang="en"><head>{meta}{head}</head><body>{"".join(body)}</body></html>\n'


def _answer(results: Results, budget: str) -> str:
    """Which method, at what cost: in a sentence or two."""
    rows = [row for row in results.of(budget) if row.figures]
    if not rows:
        return "No method has a result yet."
    small = min(rows, key=lambda row: fmean(row.figures["parameters"]))
    column = next((each for each in results.suite.columns if each.rpartition("/")[2] == "accuracy"), "accuracy")
    seen = [row for row in rows if row.figures.get(column)]
    if not seen:
        return f"The smallest is {small.title}, with {_cost(small)}."
    best = max(seen, key=lambda row: row.mean(column) or 0)
    edits = "the edits" if column == "accuracy" else f"the edits of {column.rpartition('/')[0]}"
    said = [f"{best.title} is right most often, in {_share(best, column)} of {edits}, with {_cost(best)}."]
    if small is not best:
        said.append(f"The smallest is {small.title}, with {_cost(small)}: {_share(small, column)}.")
    kept = [row for row in rows if row.figures.get("preservation")]
    keeper = max(kept, key=lambda row: row.mean("preservation") or 0) if kept else best
    if keeper is not best:
        shares = f"{_share(keeper, 'preservation')} ({best.title} {_share(best, 'preservation')})"
        right = f"{_share(keeper, column)} of its edits are right"
        said.append(f"{keeper.title} leaves the rest alone best, {shares}; {right}.")
    return " ".join(said)


def _share(row: Row, column: str) -> str:
    mean = row.mean(column)
    return "unknown" if mean is None else f"{mean:.1%}"


def _cost(row: Row) -> str:
    networks, weights = (fmean(row.figures[name]) for name in ("networks", "parameters"))
    of = "one generator" if networks == 1 else f"{networks:.0f} generators"
    return f"{of} and {table.form('parameters', weights)} weights trained"


def _table(results: Results, budget: str) -> str:
    heads = "".join(f"<th>{escape(each)}</th>" for each in ("method", *results.columns))
    lines = []
    for row in results.of(budget):
        cells = [
            f'<td class="best">{escape(text)}</td>' if best else f"<td>{escape(text)}</td>"
            for text, best in table.cells(results, row)
        ]
        lines.append(f"<tr><td>{escape(row.title)}</td>{''.join(cells)}</tr>")
    if results.reference:
        real = "".join(f"<td>{escape(table.reference(results, each))}</td>" for each in results.columns)
        lines.append(f"<tr><td>{table.REAL}</td>{real}</tr>")
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _shots(shown: Shown, titles: Mapping[str, str]) -> str:
    rows = [("test pictures", shown.before), *((titles[name], each) for name, each in shown.by_method.items())]
    if shown.truth is not None:
        rows.append(("true pictures", shown.truth))
    lines = "".join(f"<tr><td>{escape(title)}</td><td>{_picture(each, title)}</td></tr>" for title, each in rows)
    return f'<h3>{escape(shown.edit)}</h3><div class="scroll"><table class="shots">{lines}</table></div>'


def _picture(pictures: NDArray[np.uint8], title: str) -> str:
    """Pictures in a row, as one PNG in the page; small ones are shown larger."""
    strip, file = Image.fromarray(np.concatenate(list(pictures), axis=1)), BytesIO()
    strip.save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    side = max(96, min(160, pictures.shape[1]))
    width, high = side * len(pictures), side
    return f'<img alt="{escape(title)}" width="{width}" height="{high}" src="data:image/png;base64,{data}">'
