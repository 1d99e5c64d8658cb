"""`mdtranslate pull`: downloads a shared model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("pull")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the model; default: the name of SOURCE.")
def command(source: str, out: Path | None) -> None:
    """Copy or download a model. SOURCE is a folder, the name of a model of a plugin, or hf://OWNER/NAME[@REVISION].

    Each file is checked against its hash. Files that do not belong to a shared model are refused, and no code in it is
    run. All commands that take a RUN accept the folder. To train further, start a new run with train.init=FOLDER.
    """
    from mdtranslate.config.command_line import format_command
    from mdtranslate.inference.translator import Translator
    from mdtranslate.sharing.pull import pull

    folder = pull(source, out)
    translator = Translator.load(folder)
    click.echo(f"{folder}: {translator.image_size} pixels; possible edits: {translator.edit_parser}")
    click.echo(f"next: {format_command('translate', folder, translator.usage)}")
