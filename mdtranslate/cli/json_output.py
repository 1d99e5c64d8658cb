"""What commands print for programs: one JSON document on standard output, and nothing else there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import click


def print_json(value: Any) -> None:
    """Prints `value`: what is listed as an array, what is measured or described as an object.

    ASCII, whatever the names of files are; a figure that is not finite, which JSON has not, is null.
    """
    click.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
