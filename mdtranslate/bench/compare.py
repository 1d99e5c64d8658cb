"""A suite from its file to its page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mdtranslate.api import Attribute
from mdtranslate.bench import table
from mdtranslate.bench.cells import Say, run_cells
from mdtranslate.bench.image_strips import Shown, changes, sheet, translated
from mdtranslate.bench.page import page
from mdtranslate.bench.results import SPEED, Results, collect, curve
from mdtranslate.bench.suite import Cell, Meant, Suite, cells, load, methods, steps
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.evaluation.cost import speed
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.files import disk, held, read_json, write_json, write_text
from mdtranslate.utils.image_io import encode_png


@dataclass(frozen=True)
class Plan:
    """What a suite would do."""

    cells: tuple[tuple[Cell, int, int | None], ...]
    """Each cell, with the generators that it trains, and with its steps; None where the clock says how many."""
    wrong: Mapping[str, str]
    """Methods that cannot be meant, and why."""

    def lines(self) -> Iterator[str]:
        """For people."""
        yield from (f"{name}: {reason}" for name, reason in self.wrong.items())
        for cell, networks, count in self.cells:
            length = "steps by the clock" if count is None else f"{count:,} steps"
            of = "1 generator" if networks == 1 else f"{networks} generators"
            yield f"{cell.budget} {cell.method} seed {cell.seed}: {of}, {length}"

    def json(self) -> dict[str, Any]:
        """For programs."""
        cells = [
            {"budget": cell.budget, "method": cell.method, "seed": cell.seed, "generators": networks, "steps": count}
            for cell, networks, count in self.cells
        ]
        return {"cells": cells, "wrong": dict(self.wrong)}


def plan(file: Path) -> Plan:
    """The cells of a suite and their lengths. Raises `RecipeError` for a file that cannot be meant."""
    suite = load(file)
    found, wrong = methods(suite, file)
    check(suite, file, found, wrong)
    planned = []
    for cell in cells(suite, Path()):
        if cell.method in found:
            budget, meant = suite.budgets[cell.budget], found[cell.method]
            count = None if budget.seconds else steps(meant.recipe, budget, meant.networks)
            planned.append((cell, meant.networks, count))
    return Plan(tuple(planned), wrong)


def compare(file: Path, out: Path, device: str, jobs: int, say: Say) -> Results:
    """Brings all cells of a suite to their end and writes its results to `out`.

    A method that cannot be meant, and a cell that fails, are gaps in the results. Raises `RecipeError` for a file that
    cannot be meant, `InUseError` where another process works on `out`.
    """
    suite = load(file)
    found, wrong = methods(suite, file)
    check(suite, file, found, wrong)
    for name, reason in wrong.items():
        say(f"{name}: {reason}")
    every = cells(suite, out)
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
    with held(out):
        todo = [cell for cell in every if cell.method in found]
        failed = run_cells(suite, found, todo, device, jobs, say)
        done = [cell for cell in todo if cell not in failed]
        for cell in done:
            time_translator(cell, torch.device(device))
        results = replace(collect(suite, every, failed, wrong), command=shlex.join(["mdtranslate", *sys.argv[1:]]))
        write(results, out)  # Before the pictures: whatever becomes of those, the figures are there.
        first = [cell for cell in done if cell.seed == suite.seeds[0]]
        curves = {
            budget: {cell.method: curve(cell) for cell in first if cell.budget == budget} for budget in suite.budgets
        }
        shown, credit = dict[str, Sequence[Shown]](), None
        for budget in suite.budgets:
            runs = {cell.method: cell.folder / "run" for cell in first if cell.budget == budget}
            if runs:
                try:
                    own = found[next(iter(runs))]
                    shown[budget], credit = translated(
                        own.sources[0], own.recipe.data, runs, suite.edits, suite.pictures, torch.device(device)
                    )
                except MdtranslateError as error:
                    results = replace(results, gaps=(*results.gaps, f"{budget}: no pictures: {error}"))
        titles = {name: method.title or name for name, method in suite.methods.items()}
        for budget, each in shown.items():
            encode_png(sheet(each, titles, credit), out / f"pictures-{budget}.png")
        write(results, out)
        write_text(out / "index.html", page(results, curves, shown, credit))
    return results


def check(suite: Suite, file: Path, found: Mapping[str, Meant], wrong: Mapping[str, str]) -> None:
    """Raises `RecipeError` where nothing can be compared, or what would fail after hours.

    That is where no method can be meant, methods label other things than each other, or an edit to show is none of
    theirs.
    """
    if not found:
        alike = len({*wrong.values()}) == 1 < len(wrong)
        reasons = [
            f"{file}: {'every method' if alike else name}: {reason.removeprefix(f'{file.name}: ')}"
            for name, reason in wrong.items()
        ]
        reasons = list(dict.fromkeys(reasons))
        raise RecipeError("\n".join([*reasons, f"{file}: no method can be run"]))
    labelled = {name: {source.name: source.attributes for source in meant.sources} for name, meant in found.items()}
    (first, own), *others = labelled.items()
    for name, theirs in others:
        if theirs != own:
            raise RecipeError(
                f"{file}: methods.{name} labels {_words(theirs)}, methods.{first} {_words(own)}; to be compared they "
                "label the same (settings)"
            )
    changes(found[first].sources[0], suite.edits)


def _words(labelled: Mapping[str, Sequence[Attribute]]) -> str:
    return "; ".join(
        f"{', '.join(each.name for each in attributes)} of {name}" for name, attributes in labelled.items()
    )


def time_translator(cell: Cell, device: torch.device) -> None:
    """Measures how fast a cell's translator is, once: evaluations of cells run beside others."""
    facts = read_json(cell.folder / "cell.json")
    if SPEED not in facts:
        facts[SPEED] = round(speed(Translator.load(cell.folder / "run", device)), 1)
        write_json(cell.folder / "cell.json", facts)


def write(results: Results, out: Path) -> None:
    """The tables, and the results for programs."""
    write_json(out / "results.json", results.json())
    write_text(out / "table.md", table.markdown(results))
    write_text(out / "table.csv", table.comma_separated(results))
