"""Writes the reference pages before each build: components and recipes' settings from their models, hooks, commands."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import interface
from interface import prose

from mdtranslate.api import hookspecs
from mdtranslate.cli.main import COMMANDS, cli
from mdtranslate.cli.plugins import settings_of
from mdtranslate.config.plugin_validation import KINDS
from mdtranslate.config.registry import registry
from mdtranslate.config.schema import Recipe

TITLES = {
    "dataset": "Datasets",
    "encoder": "Label encoders",
    "backbone": "Generators and discriminators",
    "loss": "Losses",
    "metric": "Metrics",
    "importer": "Importers",
    "features": "Feature networks",
}


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference"))
    return {"version": "1", "parallel_read_safe": True}


def write(folder: Path) -> None:
    """Every page, into a folder of its own; those that are as they were stay untouched, so that builds are quick."""
    folder.mkdir(exist_ok=True)
    pages = {"index": _index(), "hooks": _hooks(), "commands": _commands(), "recipe": _recipe(), "recipes": _recipes()}
    pages |= {"python": interface.page()}
    pages |= {kind: _kind(kind) for kind in KINDS}
    for stale in folder.glob("*.md"):
        if stale.stem not in pages:
            stale.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _index() -> str:
    names = [*KINDS, "recipe", "recipes", "hooks", "python", "commands"]
    return "\n".join(
        ["# Reference", "", "Made from the code.", "", "```{toctree}", ":maxdepth: 1", "", *names, "```", ""]
    )


def _kind(kind: str) -> str:
    lines = [f"# {TITLES[kind]}", ""]
    for name in registry().names(kind):
        component, owner = registry().component(kind, name), registry().owner(kind, name)
        if not owner.distribution.startswith("mdtranslate "):
            continue  # Of whoever builds this, not ours.
        lines += [f"## {name}", "", prose(inspect.getdoc(component) or ""), "", f"Of the plugin `{owner.name}`.", ""]
        lines += _table(settings_of(component.Config))
    return "\n".join(lines) + "\n"


def _recipe() -> str:
    """The settings of recipes that are of no component."""
    lines = ["# The settings of a recipe", "", prose(inspect.getdoc(Recipe) or ""), ""]
    lines += _table(nested(Recipe, ""))
    return "\n".join(lines) + "\n"


def nested(model: Any, prefix: str) -> Iterator[dict[str, Any]]:
    """The settings of a model, and those of the models that it holds, by their dotted keys."""
    for each, field in zip(settings_of(model), model.model_fields.values(), strict=True):
        inner = field.annotation
        if inspect.isclass(inner) and hasattr(inner, "model_fields"):
            yield from nested(inner, f"{prefix}{each['key']}.")
        else:
            yield {**each, "key": f"{prefix}{each['key']}"}


def _recipes() -> str:
    lines = [
        "# Recipes",
        "",
        "The files as they ship. `mdtranslate run NAME --dry-run` prints every setting of one.",
        "",
    ]
    for name in registry().names("recipe"):
        if registry().owner("recipe", name).distribution.startswith("mdtranslate "):
            text = registry().recipe(name).read_text("utf-8").strip()
            lines += [f"## {name}", "", "```toml", text, "```", ""]
    return "\n".join(lines) + "\n"


def _hooks() -> str:
    lines = ["# Hooks", "", prose(inspect.getdoc(hookspecs) or ""), ""]
    for name in (*KINDS.values(), "register_recipes"):
        lines += [f"## {name}", "", prose(inspect.getdoc(getattr(hookspecs, name)) or ""), ""]
    return "\n".join(lines) + "\n"


def _commands() -> str:
    lines = ["# Command line", "", "What `--help` prints.", ""]
    context = click.Context(cli, info_name="mdtranslate")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        lines += _help(command, f"mdtranslate {name}", context)
    return "\n".join(lines) + "\n"


def _help(command: click.Command, name: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, terminal_width=100)
    lines = [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        lines += _help(inner, f"{name} {inner.name}", context)
    return lines


def _table(settings: Any) -> list[str]:
    rows = list(settings)
    if not rows:
        return ["It has no settings.", ""]
    lines = ["| setting | type | default | what it is |", "| --- | --- | --- | --- |"]
    for each in rows:
        default = "required" if each["required"] else f"`{json.dumps(each['default'])}`"
        bounds = f", {each['bounds']}" if each["bounds"] else ""
        cells = [f"`{each['key']}`", f"{each['type']}{bounds}", default, each["description"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return [*lines, ""]
