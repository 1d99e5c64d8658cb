"""`mdtranslate translate`: translates images with a trained run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mdtranslate.cli.options import device_option, run_argument

if TYPE_CHECKING:
    from PIL import Image

    from mdtranslate.inference.preprocessing import Pixels, PreparedImage


@click.command("translate")
@run_argument
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--set", "edits", multiple=True, metavar="NAME=VALUE", help="Attribute to change; repeatable.")
@click.option("--all", "all_edits", is_flag=True, help="Make every edit of one attribute, and a grid of them.")
@click.option("--from", "source", multiple=True, metavar="NAME=VALUE", help="Attribute of the images; else inferred.")
@click.option("--dataset", help="Dataset that the images resemble, for its crop and its attributes.")
@click.option("--size", type=click.Choice(["native"]), help="Keep each image's size; default: the training size.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="translated",
    show_default=True,
    help="Folder for the results.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing results.")
@device_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    default="fp32",
    show_default=True,
    help="bf16 is faster on most GPUs and changes pixels by a few levels; tf32 needs an NVIDIA GPU.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the generator first, for many images.")
def command(
    run: Path,
    images: tuple[Path, ...],
    edits: tuple[str, ...],
    all_edits: bool,
    source: tuple[str, ...],
    dataset: str | None,
    size: Literal["native"] | None,
    out: Path,
    overwrite: bool,
    device: str,
    precision: Literal["fp32", "tf32", "bf16"],
    compiled: bool,
) -> None:
    """Translate IMAGES (files or folders) with the trained RUN.

    mdtranslate translate runs/stargan-001 photo.jpg --set hair=Blond_Hair --set Eyeglasses=yes

    Several --set options make one edit. For each image and edit a PNG is written, named after both. Images may be of
    any size.
    """
    from mdtranslate.errors import DataError, RecipeError

    if compiled and size is not None:
        raise RecipeError("--compile needs images of the training size, so it cannot be used with --size native")
    if edits and all_edits:
        raise RecipeError("--set makes one edit and --all makes every edit; use one of them")

    import numpy as np

    from mdtranslate.cli.file_pipeline import FilePipeline
    from mdtranslate.cli.translate_files import (
        assign_stems,
        exclude_results,
        file_warnings,
        list_images,
        result_name,
        unread_file_warnings,
    )
    from mdtranslate.inference.edit_parser import parse_pairs
    from mdtranslate.inference.translator import Translator
    from mdtranslate.utils.device import pick_device
    from mdtranslate.utils.files import storage_errors

    translator = Translator.load(run, pick_device(device), precision=precision, compiled=compiled)
    parser = translator.edit_parser
    if not edits and not all_edits:
        raise RecipeError(f"--set NAME=VALUE or --all is missing; possible edits: {parser}")
    known = parse_pairs("--from", source)
    values = parse_pairs("--set", edits)
    # Parsed here too, so that mistakes are reported before any image is read.
    if all_edits:
        labels = [f"{name}={value}" for name, names in translator.edits().items() for value in names] + ["all"]
    else:
        labels = [",".join(parser.format_edit(*edit) for edit in parser.parse_edits(values, dataset).items())]
    parser.parse(known, dataset)
    files, num_excluded = exclude_results(list_images(images), images, out)
    if num_excluded:
        click.echo(f"{_count(num_excluded, 'result')} of earlier translations in {out} will be skipped", err=True)
    jobs = assign_stems(files)
    for line in unread_file_warnings(images):
        click.echo(f"warning: {click.format_filename(line)}", err=True)
    existing = [path for stem in jobs for label in labels if (path := out / result_name(stem, label)).exists()]
    if existing and not overwrite:
        others = f" and {len(existing) - 1} more exist" if len(existing) > 1 else " exists"
        raise RecipeError(f"{existing[0]}{others} already; choose another --out, or replace with --overwrite")

    num_written = num_skipped = 0
    with FilePipeline(lambda path: click.echo(click.format_filename(path))) as pipeline:

        def prepared_images() -> Iterator[tuple[str, PreparedImage]]:
            nonlocal num_skipped
            value_range = translator.ranges.get(dataset or translator.label_encoder.datasets[0])

            def prepare(path: Path) -> tuple[PreparedImage, list[str]]:
                return translator.prepare_image(path, size=size), list(file_warnings(path, value_range))

            for stem, result in pipeline.read(jobs, prepare):
                if isinstance(result, DataError):
                    click.echo(f"skipped {click.format_filename(str(result))}", err=True)
                    num_skipped += 1
                    continue
                image, warnings = result
                for warning in warnings:
                    click.echo(f"warning: {click.format_filename(jobs[stem])}: {warning}", err=True)
                yield stem, image

        for group in translator.chunk_images(prepared_images(), parser.num_single_edits if all_edits else 1):
            batch = list(group.values())
            if all_edits:
                results = translator.all_edits(batch, dataset=dataset, source=known)
            else:
                results = [
                    {labels[0]: image} for image in translator(batch, dataset=dataset, source=known, edits=values)
                ]
            with storage_errors(out):
                out.mkdir(parents=True, exist_ok=True)
            for (stem, prepared), translations in zip(group.items(), results, strict=True):
                for label, image in translations.items():
                    pipeline.write(out / result_name(stem, label), partial(np.asarray, image))
                if all_edits:
                    original = translator.generator_input(prepared, dataset=dataset)
                    draw = partial(_draw_grid, original, translations, translator.credit)
                    pipeline.write(out / result_name(stem, "all"), draw)
                num_written += len(translations) + all_edits
    click.echo(f"{_count(num_written, 'image')} written to {out}")
    if num_skipped:
        verb = "was" if num_skipped == 1 else "were"
        raise DataError(f"{num_skipped} of {_count(len(jobs), 'image')} could not be read and {verb} skipped")


def _draw_grid(original: Pixels, translations: Mapping[str, Image.Image], credit: Sequence[str]) -> Pixels:
    """Draws an image and all its edits in a row, uint8 `(H, W, 3)`."""
    import numpy as np

    from mdtranslate.inference.grid import draw_grid

    row = np.stack([original, *map(np.asarray, translations.values())])
    footer = f"Trained on: {'; '.join(credit)}" if credit else None
    return np.asarray(draw_grid(row[None], ["source", *translations], footer=footer))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
