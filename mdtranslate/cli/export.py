"""`mdtranslate export`: a translator as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click


class _Free(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number, or `free`."""

    name = "number|free"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """None for `free`."""
        if value == "free":
            return None
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal() and int(value) > 0):
            return int(value)
        return self.fail(f"{value!r}: a number or free is right", param, ctx)


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["onnx", "torch"]), required=True, help="ONNX, or a program of torch.export.")
@click.option("--size", type=_Free(), help="Side of its pictures, or free; that of training if left out.")
@click.option("--batch", type=_Free(), default="free", show_default=True, help="Pictures that it takes at once.")
@click.option("--out", type=click.Path(path_type=Path), help="The file; RUN's name with .onnx or .pt2 if left out.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there already.")
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
    """Write the generator of RUN as one file for other programs, and compare its pictures with the translator's.

    It takes pictures and labels of before and after; what those mean, and how pictures are prepared, is in the file's
    metadata under "mdtranslate".
    """
    from mdtranslate.errors import RecipeError
    from mdtranslate.inference.export import export
    from mdtranslate.inference.translator import Translator
    from mdtranslate.utils.files import disk

    suffix = {"onnx": ".onnx", "torch": ".pt2"}[to]
    file = out or Path(f"{run.resolve().name or 'model'}{suffix}")
    if file.exists() and not overwrite:
        raise RecipeError(f"{file}: is there already; choose another --out, or replace it with --overwrite")
    with disk(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    translator = Translator.load(run)
    if ctx.get_parameter_source("size") is click.core.ParameterSource.DEFAULT:
        size = translator.image_size
    said = export(translator, to, file, size, batch)
    click.echo(f"{file}: {said}")
