"""`mdtranslate import`: published checkpoints of other code as translators."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument("importer")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--attributes",
    multiple=True,
    required=True,
    metavar="A,B,C",
    help="What the labels mean, in their order; once per dataset. name=a|b|c is an exclusive attribute.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the importer.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the translator.")
def command(
    importer: str, files: tuple[Path, ...], attributes: tuple[str, ...], settings: tuple[str, ...], out: Path
) -> None:
    """Make a translator of the published checkpoint FILES of the code that IMPORTER knows.

    mdtranslate import stargan 200000-G.ckpt 200000-D.ckpt --attributes Black_Hair,Blond_Hair,Brown_Hair,Male,Young
    --out celeba
    """
    from mdtranslate.config.command_line import typed
    from mdtranslate.config.run_dir import refuse_taken
    from mdtranslate.errors import RecipeError
    from mdtranslate.inference.foreign import import_published, read_attributes

    refuse_taken(out)
    pairs = dict(text.partition("=")[::2] for text in settings)
    if wrong := [text for text in settings if "=" not in text]:
        raise RecipeError(f"--set {wrong[0]}: write --set KEY=VALUE")
    translator = import_published(importer, files, read_attributes(attributes), pairs)
    translator.save(out)
    click.echo(f"{out}: {translator.image_size} pixels; what can be set: {translator.words}")
    click.echo(f"next: {typed('translate', out, translator.usage)}")
