"""TOML as nested tables: reading, flattening and formatting."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from mdtranslate.errors import RecipeError

Tree = dict[str, Any]
"""A TOML document as nested tables."""


def read_toml(path: Path) -> Tree:
    """Reads a TOML file.

    Raises:
        RecipeError: It does not exist, cannot be read or is not TOML; the message names the file.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # ValueError also for an integer of thousands of digits.
        raise RecipeError(f"{path}: is not valid TOML: {error}") from None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every value of a tree with its dotted key; empty tables are values."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def toml_value(value: Any) -> str:
    """Formats a value as TOML on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml_key(key)} = {toml_value(item)}' for key, item in value.items())}}}"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


def without_none(tree: Any) -> Any:
    """Removes None from nested tables and lists: TOML has no null."""
    if isinstance(tree, dict):
        return {key: without_none(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [without_none(value) for value in tree if value is not None]
    return tree


def _toml_key(key: str) -> str:
    return tomli_w.dumps({key: 0}).rpartition(" = ")[0]
