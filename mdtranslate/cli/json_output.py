"""JSON output of commands: one document on standard output, and nothing else there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import click


def print_json(value: Any) -> None:
    """Prints a value as ASCII JSON; NaN and infinities, which JSON lacks, become null.

    Args:
        value: Nested mappings, lists and tuples.
    """
    click.echo(json.dumps(_replace_non_finite(value), indent=2, allow_nan=False))


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
