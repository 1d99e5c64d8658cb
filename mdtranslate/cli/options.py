"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

device_option = click.option(
    "--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 (a GPU by number), or mps."
)


class RunType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The folder of a run or of a translator, or the name of a model that a plugin ships; it becomes a folder."""

    name = "run"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Converts the text to a folder; raises `CheckpointError` if there is neither."""
        from mdtranslate.config.shipped_models import resolve_run

        return value if isinstance(value, Path) else resolve_run(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Completes names of models; if none matches, files and folders."""
        from mdtranslate.config.registry import registry

        names = [name for name in registry().names("model") if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


run_argument = click.argument("run", type=RunType())
