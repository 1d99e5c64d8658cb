"""`mdtranslate translate`: translates pictures with a trained run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from PIL import Image

    from mdtranslate.inference.preprocessing import Pixels, View


@click.command("translate")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="What to change; together one edit.")
@click.option("--all", "everything", is_flag=True, help="Every change of one attribute, and a grid of them.")
@click.option("--from", "source", multiple=True, metavar="NAME=VALUE", help="What the pictures are, if not inferred.")
@click.option("--dataset", help="Which of several datasets the pictures are like: its crop, and its attributes first.")
@click.option("--size", type=click.Choice(["native"]), help="Keep each picture's size; the model's if left out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="translated",
    show_default=True,
    help="Folder for the results.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that are there already.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    default="fp32",
    show_default=True,
    help="bf16 is faster where the device has it, and changes pictures by some grey levels; tf32: NVIDIA's GPUs.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the generator first, a minute: for many pictures.")
def command(
    run: Path,
    pictures: tuple[Path, ...],
    changes: tuple[str, ...],
    everything: bool,
    source: tuple[str, ...],
    dataset: str | None,
    size: Literal["native"] | None,
    out: Path,
    overwrite: bool,
    device: str,
    precision: Literal["fp32", "tf32", "bf16"],
    compiled: bool,
) -> None:
    """Translate PICTURES (files or folders) with the trained RUN.

    mdtranslate translate runs/stargan-001 photo.jpg --set hair=Blond_Hair --set Eyeglasses=yes

    Writes a PNG per picture and edit, named by both. Pictures of any kind and size are taken.
    """
    from mdtranslate.errors import DataError, RecipeError

    if compiled and size is not None:
        raise RecipeError("--compile is for pictures of the training's size, and --size native keeps their own")
    if changes and everything:
        raise RecipeError("--set makes one edit and --all makes every one; give one of them")

    import numpy as np

    from mdtranslate.cli.file_pipeline import Stages
    from mdtranslate.cli.translate_files import (
        list_pictures,
        passed_over,
        plan,
        safe,
        warnings_of,
        without_results,
    )
    from mdtranslate.inference.edit_parser import pairs
    from mdtranslate.inference.translator import Translator
    from mdtranslate.utils.device import pick_device
    from mdtranslate.utils.files import disk

    translator = Translator.load(run, pick_device(device), precision=precision, compiled=compiled)
    if not changes and not everything:
        raise RecipeError(f"--set NAME=VALUE or --all is missing; what can be set: {translator.words}")
    known = pairs("--from", source)
    wanted = pairs("--set", changes)
    if everything:
        edits = [f"{name}={value}" for name, values in translator.edits().items() for value in values] + ["all"]
        translator.words.read(known, dataset)  # Mistakes show before any work.
    else:
        by_dataset = translator.words.read_some(wanted, dataset)
        translator.words.read(known, dataset)
        edits = [",".join(translator.words.write(*each) for each in by_dataset.items())]
    files, earlier = without_results(list_pictures(pictures), pictures, out)
    if earlier:
        click.echo(f"{_count(earlier, 'result')} of earlier translations in {out} {_were(earlier)} left out", err=True)
    jobs = plan(files)
    for line in passed_over(pictures):
        click.echo(f"warning: {click.format_filename(line)}", err=True)
    there = [path for stem in jobs for edit in edits if (path := out / safe(stem, edit)).exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise RecipeError(f"{there[0]}{more} there already; choose another --out, or replace with --overwrite")

    written = skipped = 0
    with Stages(lambda path: click.echo(click.format_filename(path))) as stages:

        def views() -> Iterator[tuple[str, View]]:
            nonlocal skipped
            shown = translator.ranges.get(dataset or translator.encoder.datasets[0])

            def look(path: Path) -> tuple[View, list[str]]:
                return translator.view(path, size=size), list(warnings_of(path, shown))

            for stem, found in stages.read(jobs, look):
                if isinstance(found, DataError):
                    click.echo(f"skipped {click.format_filename(str(found))}", err=True)
                    skipped += 1
                    continue
                view, warnings = found
                for warning in warnings:
                    click.echo(f"warning: {click.format_filename(jobs[stem])}: {warning}", err=True)
                yield stem, view

        for group in translator.grouped(views(), translator.words.singles if everything else 1):
            shown = list(group.values())
            if everything:
                every = translator.all_edits(shown, dataset=dataset, source=known)
            else:
                made = translator(shown, dataset=dataset, source=known, edits=wanted)
                every = [{edits[0]: picture} for picture in made]
            with disk(out):
                out.mkdir(parents=True, exist_ok=True)
            for (stem, view), results in zip(group.items(), every, strict=True):
                for edit, picture in results.items():
                    stages.write(out / safe(stem, edit), partial(np.asarray, picture))
                if everything:
                    first = translator.prepare(view, dataset=dataset)
                    stages.write(out / safe(stem, "all"), partial(_grid, first, results, translator.credit))
                written += len(results) + everything
    click.echo(f"{_count(written, 'picture')} written to {out}")
    if skipped:
        raise DataError(f"{skipped} of {_count(len(jobs), 'picture')} could not be read and {_were(skipped)} skipped")


def _grid(first: Pixels, results: Mapping[str, Image.Image], credit: Sequence[str]) -> Pixels:
    """The picture and every edit of it, in one row: [H, W, 3]."""
    import numpy as np

    from mdtranslate.inference.grid import draw_grid

    row = np.stack([first, *map(np.asarray, results.values())])
    footer = f"Trained on: {'; '.join(credit)}" if credit else None
    return np.asarray(draw_grid(row[None], ["source", *results], footer=footer))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
