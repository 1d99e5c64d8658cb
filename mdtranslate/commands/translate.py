"""`mdtranslate translate`: translates pictures with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from mdtranslate.translator import Translator


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
) -> None:
    """Translate PICTURES (files or folders) with the trained RUN.

    mdtranslate translate runs/stargan-001 photo.jpg --set hair=Blond_Hair --set Eyeglasses=yes

    Writes a PNG per picture and edit, named by both. Pictures of any kind and size are taken.
    """
    from mdtranslate.commands.stages import Stages
    from mdtranslate.commands.translate_files import list_pictures, plan, safe
    from mdtranslate.device import pick_device
    from mdtranslate.errors import DataError, RecipeError
    from mdtranslate.files import disk
    from mdtranslate.translator import Translator

    if changes and everything:
        raise RecipeError("--set makes one edit and --all makes every one; give one of them")
    translator = Translator.load(run, pick_device(device))
    if not changes and not everything:
        raise RecipeError(f"--set NAME=VALUE or --all is missing; what can be set: {translator.words}")
    known = _pairs("--from", source)
    wanted = _pairs("--set", changes)
    if everything:
        edits = [f"{name}={value}" for name, values in translator.edits().items() for value in values] + ["all"]
        translator.words.read(known, dataset)  # Mistakes show before any work.
    else:
        by_dataset = translator.words.read_some(wanted, dataset)
        translator.words.read(known, dataset)
        edits = [",".join(translator.words.write(*each) for each in by_dataset.items())]
    jobs = plan(list_pictures(pictures))
    there = [path for stem in jobs for edit in edits if (path := out / safe(stem, edit)).exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise RecipeError(f"{there[0]}{more} there already; choose another --out, or replace with --overwrite")

    def make(pixels: NDArray[np.uint8]) -> dict[str, Image.Image]:
        if not everything:
            return {edits[0]: translator(pixels, dataset=dataset, source=known, size=size, edits=wanted)}
        made = translator.all_edits(pixels, dataset=dataset, source=known, size=size)
        first = translator.prepare(pixels, dataset=dataset, size=size)
        return {**made, "all": _grid(translator, first, made)}

    written = skipped = 0
    with Stages(lambda path: click.echo(click.format_filename(path))) as stages:
        for stem, pixels in stages.read(jobs):
            if isinstance(pixels, DataError):
                click.echo(f"skipped {click.format_filename(str(pixels))}", err=True)
                skipped += 1
                continue
            made = make(pixels)
            with disk(out):
                out.mkdir(parents=True, exist_ok=True)
            for edit, picture in made.items():
                stages.write(_array(picture), out / safe(stem, edit))
                written += 1
    click.echo(f"{_count(written, 'picture')} written to {out}")
    if skipped:
        raise DataError(f"{skipped} of {_count(len(jobs), 'picture')} could not be read and {_were(skipped)} skipped")


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str | bool | None]:
    """`NAME=VALUE` texts as a mapping. Raises `RecipeError`."""
    from mdtranslate.errors import RecipeError

    pairs: dict[str, str | bool | None] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise RecipeError(f"{option} {text}: write {option} NAME=VALUE, such as {option} hair=Blond_Hair")
        if name in pairs:
            raise RecipeError(f"{option} {text}: {name} is given twice")
        pairs[name] = value
    return pairs


def _grid(translator: Translator, first: NDArray[np.uint8], made: dict[str, Image.Image]) -> Image.Image:
    """The picture and every edit of it, in one row."""
    import numpy as np

    from mdtranslate.grid import draw_grid

    row = np.stack([first, *map(_array, made.values())])
    footer = f"Trained on: {'; '.join(translator.credit)}" if translator.credit else None
    return draw_grid(row[None], ["source", *made], footer=footer)


def _array(picture: Image.Image) -> NDArray[np.uint8]:
    import numpy as np

    return np.asarray(picture)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
