"""`mdtranslate push`: shares a trained model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("target")
@click.option("--license", "licence", metavar="ID", help="What the card says it is, as Hugging Face writes it: mit.")
@click.option("--no-picture", is_flag=True, help="Leave the sample grid out: it shows pictures of the dataset.")
@click.option(
    "--private", is_flag=True, help="Make the repository for yourself only; one that is there must be private."
)
@click.option("--message", help="Of the commit on Hugging Face.")
def command(run: Path, target: str, licence: str | None, no_picture: bool, private: bool, message: str | None) -> None:
    """Share the model of RUN: in TARGET, a new folder, or on Hugging Face as hf://OWNER/NAME.

    Weights as safetensors, facts as JSON, the recipe, and README.md, a model card with a sample grid and the figures
    of the evaluation. Folders of this machine are left out. `mdtranslate pull TARGET` brings it back. Pushed again to
    Hugging Face, the repository has the new model whole: a card that was edited there is written over.
    """
    from mdtranslate.config.command_line import typed
    from mdtranslate.sharing.hub import read_place
    from mdtranslate.sharing.push import push

    push(run, target, licence=licence, picture=not no_picture, private=private, message=message)
    click.echo(f"{target}: README.md is the model card")
    click.echo(f"others take it with: {typed('pull', read_place(target))}")
