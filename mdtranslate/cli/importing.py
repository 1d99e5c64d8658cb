"""`mdtranslate import`: converts published checkpoints of other projects."""

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
    help="Attributes of the labels in order; give it once per dataset. name=a|b|c is one attribute with three values.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a setting of the importer; may be repeated."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the translator.")
def command(
    importer: str, files: tuple[Path, ...], attributes: tuple[str, ...], settings: tuple[str, ...], out: Path
) -> None:
    """Convert the published checkpoint FILES of another project, whose format IMPORTER reads, to a translator.

    mdtranslate import stargan 200000-G.ckpt 200000-D.ckpt --attributes Black_Hair,Blond_Hair,Brown_Hair,Male,Young
    --out celeba
    """
    from mdtranslate.config.command_line import format_command
    from mdtranslate.config.run_folder import refuse_existing
    from mdtranslate.errors import RecipeError
    from mdtranslate.inference.foreign import import_checkpoint, parse_attributes

    refuse_existing(out)
    if invalid := [text for text in settings if "=" not in text]:
        raise RecipeError(f"--set {invalid[0]}: write --set KEY=VALUE")
    translator = import_checkpoint(
        importer, files, parse_attributes(attributes), dict(text.partition("=")[::2] for text in settings)
    )
    translator.save(out)
    click.echo(f"{out}: {translator.image_size} pixels; possible edits: {translator.edit_parser}")
    click.echo(f"next: {format_command('translate', out, translator.usage)}")
