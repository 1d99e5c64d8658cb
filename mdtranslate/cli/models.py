"""`mdtranslate models`: lists the trained models that plugins ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdtranslate.cli.json_output import print_json

if TYPE_CHECKING:
    from mdtranslate.config.shipped_models import ShippedModel


@click.command("models")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the models that are installed with plugins, or print the model card of NAME.

    A name stands wherever a RUN does: mdtranslate translate avatars-64 portrait.png --all
    """
    if name is None:
        from mdtranslate.config.shipped_models import shipped_models

        models = shipped_models()
        if as_json:
            print_json([_to_json(model) for model in models])
        else:
            _print_list(models)
        return
    show_model(name, as_json)


def show_model(name: str, as_json: bool) -> None:
    """Prints the model card of a model, or everything about it as JSON.

    Raises:
        UnknownNameError: No plugin registers it.
        CheckpointError: It is damaged.
    """
    from mdtranslate.config.shipped_models import shipped_model

    model = shipped_model(name)
    card = _read_card(model)
    if as_json:
        print_json({**_to_json(model), "card": card})
    else:
        _print_card(model, card)


def _read_card(model: ShippedModel) -> str:
    """Returns the model card as Markdown, without its front matter."""
    from mdtranslate.config.manifest import MODEL_CARD
    from mdtranslate.errors import CheckpointError

    if model.error:
        raise CheckpointError(model.error)
    file = model.folder / MODEL_CARD
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise CheckpointError(f"model {model.name!r} of {model.plugin}: {file}: cannot be read") from None
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2].lstrip("\n")
    return text


def _print_card(model: ShippedModel, card: str) -> None:
    """Prints a model card, formatted on a terminal, and otherwise as Markdown; then where the model is."""
    from rich.console import Console
    from rich.markdown import Markdown

    from mdtranslate.config.manifest import LICENCE

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(Markdown(card))
    else:
        click.echo(card, nl=False)
    click.echo(f"\n{model.folder}: {_format_size(model)}, of {model.plugin}")
    if model.terms:
        click.echo(f"{model.folder / LICENCE}: {model.terms}")


def _print_list(models: Sequence[ShippedModel]) -> None:
    from mdtranslate.config.registry import registry

    for model in models:
        click.secho(model.name, bold=True, nl=False)
        click.echo(f"  of {model.plugin}")
        if model.error:
            click.secho(f"  broken  {model.error}", fg="red")
            continue
        edits = ", ".join(f"{name}={'|'.join(values)}" for name, values in model.attributes.items())
        click.echo(f"  edits   {edits}")
        click.echo(f"  images  {model.image_size} x {model.image_size} pixels")
        click.echo(f"  files   {_format_size(model)}")
        click.echo(f"  data    {', '.join(model.datasets)}{''.join(f'; {line}' for line in model.credit)}")
        click.echo(f"  terms   {model.terms or 'none of its own'}")
    for plugin in registry().plugins:
        for error in plugin.errors:
            click.secho(f"{plugin} is broken: {error}", fg="red", err=True)
    if models:
        click.echo("\nmdtranslate models NAME prints the model card; a name stands wherever a command takes a RUN.")
    else:
        click.echo("No plugin ships a model.")


def _format_size(model: ShippedModel) -> str:
    return f"{model.size / 1e6:.1f} MB"


def _to_json(model: ShippedModel) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(model).items()}
