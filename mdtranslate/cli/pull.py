"""`mdtranslate pull`: takes a model that somebody shared."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("pull")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the model; the name of SOURCE if left out.")
def command(source: str, out: Path | None) -> None:
    """Take the model that `mdtranslate push` shared at SOURCE: a folder, or hf://OWNER/NAME, @REVISION if need be.

    Every file is held against its hash; anything that is no part of a shared model is refused, and nothing of it is
    ever run. Every command that takes a RUN takes the folder; to train on, a new run starts from it (train.init).
    """
    from mdtranslate.config.command_line import typed
    from mdtranslate.inference.translator import Translator
    from mdtranslate.sharing.pull import pull

    folder = pull(source, out)
    translator = Translator.load(folder)
    click.echo(f"{folder}: {translator.image_size} pixels; what can be set: {translator.words}")
    click.echo(f"next: {typed('translate', folder, translator.usage)}")
