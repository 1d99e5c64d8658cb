"""Shell completion of recipe names."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes registered recipes; if none matches, files and folders, for `.toml` files and runs."""
    from mdtranslate.config.registry import registry

    names = [name for name in registry().names("recipe") if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]
