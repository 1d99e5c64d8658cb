"""Generates the reference pages before each build: components, settings of recipes, hooks, Python API and commands."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import interface
from interface import to_markdown

from mdtranslate.api import hookspecs
from mdtranslate.cli.main import COMMANDS, cli
from mdtranslate.cli.plugins import describe_settings
from mdtranslate.config.plugin_validation import KINDS, PATH_HOOKS
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.registry import registry

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
    """Registers this module as an extension of Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference"))
    return {"version": "1", "parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Writes all pages to a folder of their own; unchanged files are not touched, so that Sphinx builds fast."""
    folder.mkdir(exist_ok=True)
    pages = {
        "index": _index_page(),
        "hooks": _hooks_page(),
        "commands": _commands_page(),
        "recipe": _settings_page(),
        "recipes": _recipes_page(),
        "python": interface.render_page(),
        **{kind: _components_page(kind) for kind in KINDS},
    }
    for file in folder.glob("*.md"):
        if file.stem not in pages:
            file.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _index_page() -> str:
    names = [*KINDS, "recipe", "recipes", "hooks", "python", "commands"]
    lines = ["# Reference", "", "Generated from the code.", "", "```{toctree}", ":maxdepth: 1", "", *names, "```", ""]
    return "\n".join(lines)


def _components_page(kind: str) -> str:
    lines = [f"# {TITLES[kind]}", ""]
    for name in registry().names(kind):
        component, owner = registry().component(kind, name), registry().owner(kind, name)
        if not owner.distribution.startswith("mdtranslate "):
            continue  # A plugin that is installed on this machine, but not part of mdtranslate.
        docstring = to_markdown(inspect.getdoc(component) or "")
        lines += [f"## {name}", "", docstring, "", f"Plugin `{owner.name}`.", ""]
        lines += _settings_table(describe_settings(component.Config))
    return "\n".join(lines) + "\n"


def _settings_page() -> str:
    lines = ["# Settings of a recipe", "", to_markdown(inspect.getdoc(Recipe) or ""), ""]
    lines += _settings_table(nested_settings(Recipe))
    return "\n".join(lines) + "\n"


def nested_settings(model: Any, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Yields the settings of a model and of the models inside it, by dotted keys."""
    for setting, field in zip(describe_settings(model), model.model_fields.values(), strict=True):
        annotation = field.annotation
        if inspect.isclass(annotation) and hasattr(annotation, "model_fields"):
            yield from nested_settings(annotation, f"{prefix}{setting['key']}.")
        else:
            yield {**setting, "key": f"{prefix}{setting['key']}"}


def _recipes_page() -> str:
    intro = "The recipes of mdtranslate. `mdtranslate run NAME --dry-run` prints every setting of one."
    lines = ["# Recipes", "", intro, ""]
    for name in registry().names("recipe"):
        if registry().owner("recipe", name).distribution.startswith("mdtranslate "):
            text = registry().recipe(name).read_text("utf-8").strip()
            lines += [f"## {name}", "", "```toml", text, "```", ""]
    return "\n".join(lines) + "\n"


def _hooks_page() -> str:
    lines = ["# Hooks", "", to_markdown(inspect.getdoc(hookspecs) or ""), ""]
    for name in (*KINDS.values(), *PATH_HOOKS.values()):
        lines += [f"## {name}", "", to_markdown(inspect.getdoc(getattr(hookspecs, name)) or ""), ""]
    return "\n".join(lines) + "\n"


def _commands_page() -> str:
    lines = ["# Command line", "", "The output of `--help`.", ""]
    context = click.Context(cli, info_name="mdtranslate")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command_help(command, f"mdtranslate {name}", context)
    return "\n".join(lines) + "\n"


def _command_help(command: click.Command, name: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, terminal_width=100)
    lines = [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        lines += _command_help(subcommand, f"{name} {subcommand.name}", context)
    return lines


def _settings_table(settings: Iterable[dict[str, Any]]) -> list[str]:
    rows = []
    for setting in settings:
        default = "required" if setting["required"] else f"`{json.dumps(setting['default'])}`"
        bounds = f", {setting['bounds']}" if setting["bounds"] else ""
        cells = [f"`{setting['key']}`", f"{setting['type']}{bounds}", default, setting["description"]]
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    if not rows:
        return ["It has no settings.", ""]
    return ["| setting | type | default | description |", "| --- | --- | --- | --- |", *rows, ""]
