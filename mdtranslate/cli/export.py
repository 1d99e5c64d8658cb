"""`mdtranslate export`: exports a generator to ONNX or torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from mdtranslate.cli.options import run_argument


class _FixedOrFree(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A positive number, or `free` for a dynamic dimension."""

    name = "number|free"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Converts the text to a number, or to None for `free`."""
        if value == "free":
            return None
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal() and int(value) > 0):
            return int(value)
        return self.fail(f"{value!r}: expected a positive number or free", param, ctx)


@click.command("export")
@run_argument
@click.option("--to", type=click.Choice(["onnx", "torch"]), required=True, help="File format: ONNX or torch.export.")
@click.option("--size", type=_FixedOrFree(), help="Height and width of images; default: as in training.")
@click.option("--batch", type=_FixedOrFree(), default="free", show_default=True, help="Batch size.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; default: the name of RUN with a suffix.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    to: Literal["onnx", "torch"],
    size: int | None,
    batch: int | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Export the generator of RUN to a file for other programs, and check that its output matches the translator's.

    Its inputs are images, source labels and target labels. The meaning of labels and the preprocessing of images are
    described in the file's metadata under "mdtranslate". --size and --batch take a number, or free for any.
    """
    from mdtranslate.errors import RecipeError
    from mdtranslate.inference.export import export
    from mdtranslate.inference.translator import Translator
    from mdtranslate.utils.files import storage_errors

    suffix = {"onnx": ".onnx", "torch": ".pt2"}[to]
    file = out or Path(f"{run.resolve().name or 'model'}{suffix}")
    if file.exists() and not overwrite:
        raise RecipeError(f"{file}: exists already; choose another --out, or replace it with --overwrite")
    with storage_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    translator = Translator.load(run)
    if ctx.get_parameter_source("size") is click.core.ParameterSource.DEFAULT:
        size = translator.image_size
    click.echo(f"{file}: {export(translator, to, file, size, batch)}")
