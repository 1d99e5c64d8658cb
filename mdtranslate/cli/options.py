"""Options that several commands have."""

from __future__ import annotations

import click

device_option = click.option(
    "--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 (a GPU by number), or mps."
)
