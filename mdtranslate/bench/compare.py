"""A suite from its file to its page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mdtranslate.bench import table
from mdtranslate.bench.page import page
from mdtranslate.bench.pictures import Shown, sheet, translated
from mdtranslate.bench.results import Results, collect, curve
from mdtranslate.bench.run import Say, networks, run_cells
from mdtranslate.bench.suite import cells, load, recipes, steps
from mdtranslate.data.images import encode_png
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.files import disk, held, write_json, write_text


def plan(file: Path) -> str:
    """The cells of a suite and their lengths, a line each. Raises `RecipeError` for a file that cannot be meant."""
    suite = load(file)
    found, wrong = recipes(suite)
    lines = [f"{name}: {reason}" for name, reason in wrong.items()]
    for cell in cells(suite, Path()):
        if cell.method not in found:
            continue
        budget, many = suite.budgets[cell.budget], networks(found[cell.method].recipe)
        length = "steps by the clock" if budget.seconds else f"{steps(found[cell.method].recipe, budget, many):,} steps"
        of = "1 generator" if many == 1 else f"{many} generators"
        lines.append(f"{cell.budget} {cell.method} seed {cell.seed}: {of}, {length}")
    return "\n".join(lines)


def compare(file: Path, out: Path, device: str, jobs: int, say: Say) -> Results:
    """Brings all cells of a suite to their end and writes its results to `out`.

    A method that cannot be meant, and a cell that fails, are gaps in the results. Raises `RecipeError` for a file that
    cannot be meant, `InUseError` where another process works on `out`.
    """
    suite = load(file)
    found, wrong = recipes(suite)
    for name, reason in wrong.items():
        say(f"{name}: {reason}")
    if not found:
        raise RecipeError(f"{file}: no method can be run")
    every = cells(suite, out)
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
    with held(out):
        failed = run_cells(suite, found, [cell for cell in every if cell.method in found], device, jobs, say)
        results = replace(collect(suite, every, failed, wrong), command=shlex.join(["mdtranslate", *sys.argv[1:]]))
        first = [cell for cell in every if cell.seed == suite.seeds[0] and cell.method in found and cell not in failed]
        curves = {
            budget: {cell.method: curve(cell) for cell in first if cell.budget == budget} for budget in suite.budgets
        }
        shown, credit = dict[str, Sequence[Shown]](), None
        for budget in suite.budgets:
            runs = {cell.method: cell.folder / "run" for cell in first if cell.budget == budget}
            if runs:
                try:
                    own = found[next(iter(runs))]
                    shown[budget], credit = translated(own, runs, suite.edits, suite.pictures, torch.device(device))
                except MdtranslateError as error:
                    say(f"no pictures: {error}")
        titles = {name: method.title or name for name, method in suite.methods.items()}
        for budget, each in shown.items():
            encode_png(sheet(each, titles, credit), out / f"pictures-{budget}.png")
        write_json(out / "results.json", results.json())
        write_text(out / "table.md", table.markdown(results))
        write_text(out / "table.csv", table.comma_separated(results))
        write_text(out / "index.html", page(results, curves, shown, credit))
    return results
