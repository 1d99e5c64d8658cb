"""Comparison of the methods of a suite, from the suite's file to the page of results."""

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
from mdtranslate.bench.image_strips import EditStrips, draw_strips, parse_edits, translate_test_images
from mdtranslate.bench.page import render_page
from mdtranslate.bench.results import SPEED, Results, accuracy_curve, collect_results
from mdtranslate.bench.suite import Cell, ResolvedMethod, Suite, list_cells, load_suite, resolve_methods, training_steps
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.evaluation.cost import speed
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.files import exclusive_lock, read_json, storage_errors, write_json, write_text
from mdtranslate.utils.image_io import write_png


@dataclass(frozen=True)
class Plan:
    """The cells of a suite, for `mdtranslate bench --dry-run`.

    Attributes:
        cells: Each cell with its number of generators and of steps; the latter is None for a budget of seconds.
        invalid: By name, methods that cannot be run, and why.
    """

    cells: tuple[tuple[Cell, int, int | None], ...]
    invalid: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """Yields the plan as text."""
        yield from (f"{name}: {reason}" for name, reason in self.invalid.items())
        for cell, num_generators, steps in self.cells:
            length = "steps by time" if steps is None else f"{steps:,} steps"
            generators = "1 generator" if num_generators == 1 else f"{num_generators} generators"
            yield f"{cell.budget} {cell.method} seed {cell.seed}: {generators}, {length}"

    def json(self) -> dict[str, Any]:
        """Returns the plan for `--json`."""
        cells = [
            {"budget": cell.budget, "method": cell.method, "seed": cell.seed, "generators": generators, "steps": steps}
            for cell, generators, steps in self.cells
        ]
        return {"cells": cells, "invalid": dict(self.invalid)}


def plan_suite(file: Path) -> Plan:
    """Lists the cells of a suite and their numbers of steps.

    Raises:
        RecipeError: The suite's file is invalid.
    """
    suite = load_suite(file)
    methods, invalid = resolve_methods(suite, file)
    check_comparable(suite, file, methods, invalid)
    planned = []
    for cell in list_cells(suite, Path()):
        if cell.method in methods:
            budget, method = suite.budgets[cell.budget], methods[cell.method]
            steps = None if budget.seconds else training_steps(method.recipe, budget, method.num_generators)
            planned.append((cell, method.num_generators, steps))
    return Plan(tuple(planned), invalid)


def compare(file: Path, out: Path, device: str, jobs: int, say: Say) -> Results:
    """Trains and evaluates all cells of a suite that are not finished, and writes the results.

    Invalid methods and failed cells are gaps in the results.

    Args:
        file: The suite's file.
        out: Folder of the results.
        device: Device, as for `--device`.
        jobs: Number of cells that run at the same time.
        say: Prints a line for the user.

    Raises:
        RecipeError: The suite's file is invalid.
        InUseError: Another process works on `out`.
        StorageError: `out` cannot be written.
    """
    suite = load_suite(file)
    methods, invalid = resolve_methods(suite, file)
    check_comparable(suite, file, methods, invalid)
    for name, reason in invalid.items():
        say(f"{name}: {reason}")
    all_cells = list_cells(suite, out)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out):
        valid_cells = [cell for cell in all_cells if cell.method in methods]
        failures = run_cells(suite, methods, valid_cells, device, jobs, say)
        finished = [cell for cell in valid_cells if cell not in failures]
        for cell in finished:
            measure_speed(cell, torch.device(device))
        command = shlex.join(["mdtranslate", *sys.argv[1:]])
        results = replace(collect_results(suite, all_cells, failures, invalid), command=command)
        write_results(results, out)  # Before the images, so that the figures are kept if those fail.
        first_seed = [cell for cell in finished if cell.seed == suite.seeds[0]]
        curves = {
            budget: {cell.method: accuracy_curve(cell) for cell in first_seed if cell.budget == budget}
            for budget in suite.budgets
        }
        strips, credit = dict[str, Sequence[EditStrips]](), None
        for budget in suite.budgets:
            runs = {cell.method: cell.folder / "run" for cell in first_seed if cell.budget == budget}
            if not runs:
                continue
            method = methods[next(iter(runs))]
            try:
                strips[budget], credit = translate_test_images(
                    method.datasets[0], method.recipe.data, runs, suite.edits, suite.images, torch.device(device)
                )
            except MdtranslateError as error:
                results = replace(results, gaps=(*results.gaps, f"{budget}: no images: {error}"))
        titles = {name: method.title or name for name, method in suite.methods.items()}
        for budget, budget_strips in strips.items():
            write_png(draw_strips(budget_strips, titles, credit), out / f"images-{budget}.png")
        write_results(results, out)
        write_text(out / "index.html", render_page(results, curves, strips, credit))
    return results


def check_comparable(
    suite: Suite, file: Path, methods: Mapping[str, ResolvedMethod], invalid: Mapping[str, str]
) -> None:
    """Checks before hours of training that the methods of a suite can be compared.

    Args:
        suite: The suite.
        file: The suite's file, for messages.
        methods: The valid methods, by name.
        invalid: The invalid methods, by name, and why.

    Raises:
        RecipeError: No method is valid, methods label different attributes, or an edit of the page is impossible.
    """
    if not methods:
        all_alike = len({*invalid.values()}) == 1 < len(invalid)
        reasons = [
            f"{file}: {'every method' if all_alike else name}: {reason.removeprefix(f'{file.name}: ')}"
            for name, reason in invalid.items()
        ]
        reasons = list(dict.fromkeys(reasons))
        raise RecipeError("\n".join([*reasons, f"{file}: no method can be run"]))
    labelled = {
        name: {dataset.name: dataset.attributes for dataset in method.datasets} for name, method in methods.items()
    }
    (first_name, first), *others = labelled.items()
    for name, attributes in others:
        if attributes != first:
            raise RecipeError(
                f"{file}: methods.{name} labels {_format_attributes(attributes)}, methods.{first_name} "
                f"{_format_attributes(first)}; to be comparable, methods must label the same attributes (settings)"
            )
    parse_edits(methods[first_name].datasets[0], suite.edits)


def _format_attributes(labelled: Mapping[str, Sequence[Attribute]]) -> str:
    return "; ".join(
        f"{', '.join(attribute.name for attribute in attributes)} of {name}" for name, attributes in labelled.items()
    )


def measure_speed(cell: Cell, device: torch.device) -> None:
    """Measures the speed of a cell's translator once, since other cells ran during its evaluation."""
    file = cell.folder / "cell.json"
    metadata = read_json(file)
    if SPEED not in metadata:
        metadata[SPEED] = round(speed(Translator.load(cell.folder / "run", device)), 1)
        write_json(file, metadata)


def write_results(results: Results, out: Path) -> None:
    """Writes `results.json`, `table.md` and `table.csv`."""
    write_json(out / "results.json", results.json())
    write_text(out / "table.md", table.format_markdown(results))
    write_text(out / "table.csv", table.format_csv(results))
