"""What a shell completes beside commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The recipes that begin so; where none does, files and folders: a `.toml` file, or a run."""
    from mdtranslate.config.registry import registry

    names = [name for name in registry().names("recipe") if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]
