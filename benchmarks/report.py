"""Writes docs/benchmarks.md from what `mdtranslate bench` left in benchmarks/results:

python benchmarks/report.py
"""

from __future__ import annotations

from pathlib import Path

from mdtranslate.bench.results import Results, read
from mdtranslate.bench.table import form, markdown
from mdtranslate.utils.files import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md"
ORDER = ("quick", "expressions", "attributes")
OURS = "stargan"

INTRODUCTION = """\
# Benchmarks

*Made by `python benchmarks/report.py` from `benchmarks/results/`; do not edit.*

    mdtranslate bench benchmarks/quick.toml --jobs 2

trains every method of a suite on the same data, has one judge look at all of them, and leaves a page, tables and
pictures. A cell (a method at a budget with a seed) is a run in a folder of its own: what was interrupted is gone on
with, what is done is not done again, and a cell that fails is a gap with its reason while the others go on. A suite
is a TOML file: [Suites](suites.md) has its keys.

A budget is one of three, and each asks another question:

- `total`: all generators of a method together translate so many pictures in training. A bank of 56 has a 56th for each.
- `seconds`: training takes so long on this machine, by a measurement of its speed just before.
- `each`: every generator that a method trains translates so many, on average. How good is it, whatever it costs?

Pictures are counted, not updates: a step of CycleGAN updates two of its generators with half a batch each.

What the columns mean is in [Measures](measures.md), what the methods are in [Methods](methods.md). Bold is the best
of a column. `celeba.toml` and `rafd.toml` are the same at the papers' sizes, for those who have the data and a GPU:
nobody has run them to their end with this version.

**What the results below are worth.** They are of small networks at 64 pixels, of one seed, at budgets of minutes on two
processor cores. At such budgets they show what each method costs and who is first off the mark; they are no verdict on
what the methods can do in the end. Minutes are of training beside another cell and whatever else the machine did;
pictures per second were measured one method after the other. Where a figure is what a guess would give, the method
has not learned its task yet.
"""


def losses(results: Results) -> list[str]:
    """Where another method is better than StarGAN, a line for each table."""
    lines = []
    for name, budget in results.suite.budgets.items():
        rows = {row.method: row for row in results.of(name)}
        if OURS not in rows or not rows[OURS].figures:
            continue
        said = []
        for column in results.columns:
            own, best = rows[OURS].mean(column), results.best(name, column)
            if own is None or best is None or own == best:
                continue
            winner = next(row.title for row in rows.values() if row.mean(column) == best)
            said.append(f"{column} to {winner} ({form(column, own)} against {form(column, best)})")
        where = f"**{budget.title}**: "
        lines.append(f"- {where}StarGAN loses {'; '.join(said)}." if said else f"- {where}StarGAN loses nothing.")
    return lines


def chapter(folder: Path) -> str:
    """One suite: its tables, where StarGAN loses, pictures, and what is needed to repeat it."""
    results = read(folder / "results.json")
    tables = markdown(results).replace("\n# ", "\n## ").replace("\n## ", "\n### ")
    title, _, rest = tables.partition("\n")
    parts = [f"#{title}", rest.strip(), "### Where StarGAN loses", "\n".join(losses(results))]
    for name, budget in results.suite.budgets.items():
        if (folder / f"pictures-{name}.png").exists():
            path = f"../benchmarks/results/{folder.name}/pictures-{name}.png"
            parts.append(f"![{results.suite.title}: test pictures by every method, {budget.title}]({path})")
            parts.append(f"*{budget.title}.*")
    first = next(row for row in results.rows if row.source)
    hardware = first.source["hardware"]
    counts = next(iter(first.source["counts"].values()))
    made = max(row.source["made"] for row in results.rows if row.source)[:10]
    facts = [
        f"    {results.command}",
        f"Finished {made} on {machine(hardware)}, torch {first.source['versions']['torch']}, seeds "
        f"{', '.join(map(str, results.suite.seeds))}; {counts['pictures']} test pictures, {counts['edits']:,} edits of "
        "each method. Hashes of recipes and data, feature networks and versions are in "
        f"[results.json](../benchmarks/results/{folder.name}/results.json); the page with curves and all pictures is "
        f"`benchmarks/results/{folder.name}/index.html`.",
    ]
    return "\n\n".join([*parts, *facts])


def machine(hardware: dict[str, object]) -> str:
    """The machine in words."""
    return ", ".join(f"{name} {value}" for name, value in hardware.items() if value)


def text() -> str:
    """The whole page."""
    there = [name for name in ORDER if (RESULTS / name / "results.json").exists()]
    missing = [f"`{name}.toml` was not run to its end as it is now.\n" for name in ORDER if name not in there]
    return "\n".join([INTRODUCTION, *missing, *(chapter(RESULTS / name) + "\n" for name in there)])


if __name__ == "__main__":
    write_text(PAGE, text())
