"""`mdtranslate push`: shares a trained model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("target")
@click.option(
    "--license",
    "licence",
    metavar="ID",
    help="License in the model card, as an identifier of Hugging Face, such as mit.",
)
@click.option(
    "--no-picture", "no_sample_grid", is_flag=True, help="Leave out the sample grid, which shows images of the dataset."
)
@click.option("--private", is_flag=True, help="Create a private repository; an existing one must be private already.")
@click.option("--message", help="Commit message on Hugging Face.")
def command(
    run: Path, target: str, licence: str | None, no_sample_grid: bool, private: bool, message: str | None
) -> None:
    """Share the trained model of RUN as a new folder TARGET, or on Hugging Face as hf://OWNER/NAME.

    It contains the weights as safetensors, metadata as JSON, the recipe, and README.md: a model card with a sample grid
    and the results of the evaluation. Folder names of this machine are removed. `mdtranslate pull TARGET` gets the
    model. Pushing to the same repository again replaces all its files, also a model card that was edited there.
    """
    from mdtranslate.config.command_line import format_command
    from mdtranslate.sharing.hub import parse_location
    from mdtranslate.sharing.push import push

    push(run, target, licence=licence, include_sample_grid=not no_sample_grid, private=private, message=message)
    click.echo(f"{target}: the model card is README.md")
    click.echo(f"get it with: {format_command('pull', parse_location(target))}")
