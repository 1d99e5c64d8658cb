"""Parses `key=value` overrides and applies them to a recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from datetime import date, time
from typing import Any

from mdtranslate.api.component import typed_number
from mdtranslate.config.recipe import GROUPS
from mdtranslate.config.toml_tree import Tree, flatten, toml_value
from mdtranslate.errors import RecipeError

COMMAND_LINE = "command line"
"""The origin of settings from the command line."""


def parse_override(text: str, origin: str = COMMAND_LINE) -> tuple[str, Any]:
    """Splits `key=value` into the dotted key and the value.

    Values are TOML; anything else is taken as text, since shells strip quotes.

    Args:
        text: The override.
        origin: Where it comes from, for messages.

    Raises:
        RecipeError: It has no key, or the value starts like a table or list and is not TOML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        prefix = "" if origin == COMMAND_LINE else f"{origin}: "
        raise RecipeError(f"{prefix}{text!r} is not an override: write key=value, such as train.steps=1000")
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
        raise RecipeError(f"{origin}: {text!r} is not UTF-8; recipes are")
    try:
        tree = tomllib.loads(f"x = {value}")
    except (ValueError, RecursionError) as error:
        if value.lstrip()[:1] in ("{", "["):
            raise RecipeError(
                f"{origin}: {text!r}: is not valid TOML: {str(error).partition(' (at')[0]}; texts in {{}} and [] need "
                "double quotes, such as \"data/pets\", and the shell needs single quotes '...' around the whole"
            ) from None
        return key, value
    # No setting is a date, but a folder's name may look like one, or like a number.
    if len(tree) > 1 or isinstance(tree["x"], date | time):
        return key, value
    return key, typed_number(tree["x"], value) if type(tree["x"]) in (int, float) else tree["x"]


def apply_overrides(
    tree: Tree, overrides: Iterable[str], origins: dict[str, str], override_origin: str = COMMAND_LINE
) -> None:
    """Sets `key=value` texts in a tree.

    A new name of a component removes the settings of the old one. So names are set before other settings, whatever the
    order of the overrides.

    Args:
        tree: The recipe, which is changed.
        overrides: `key=value` texts.
        origins: Origin of each dotted key, which is updated.
        override_origin: Where the overrides come from.

    Raises:
        RecipeError: An override cannot be parsed, or sets a key below a value that is not a table.
    """
    pairs = (parse_override(text, override_origin) for text in overrides)
    for key, value in sorted(pairs, key=lambda pair: pair[0].count(".") - _is_component_name(pair[0])):
        _apply_override(tree, key, value, origins, override_origin)


def _apply_override(tree: Tree, key: str, value: Any, origins: dict[str, str], override_origin: str) -> None:
    *parents, last = key.split(".")
    node, prefix = tree, ""
    for part in parents:
        child = node.get(part, {})
        if isinstance(child, str):
            child = {"name": child}
            origins[f"{prefix}{part}.name"] = origins.pop(f"{prefix}{part}")
        elif not isinstance(child, dict):
            raise RecipeError(
                f"{override_origin}: {key}={toml_value(value)}: {prefix}{part} is {toml_value(child)}, not a table"
            )
        prefix += f"{part}."
        node[part] = node = child
    table = node.get(last)
    is_component = isinstance(table, dict) and ("name" in table or prefix[:-1] in GROUPS)
    if is_component and isinstance(value, str) and key not in GROUPS:
        key, prefix, node, last = f"{key}.name", f"{prefix}{last}.", node[last], "name"
    replaced = key
    if _is_component_name(key):
        group, _, instance = prefix[:-1].rpartition(".")
        if node.get("name", instance if group in GROUPS else value) != value:
            node.clear()
            replaced = prefix[:-1]
    for old in [old for old in origins if old == replaced or old.startswith(f"{replaced}.")]:
        del origins[old]
    node[last] = value
    origins.update(dict.fromkeys(dict(flatten({last: value}, prefix)), override_origin))


def _is_component_name(key: str) -> bool:
    """Whether a key picks a component: `generator.name`, but not `losses.name`, which is an instance."""
    table, _, last = key.rpartition(".")
    return last == "name" and bool(table) and table not in GROUPS


def implied_names(tree: Tree) -> Iterator[str]:
    """Yields the `name` keys that instances in groups imply: `[losses.wgan-gp]` is the loss of that name."""
    for group in GROUPS:
        instances = tree.get(group)
        for key, value in instances.items() if isinstance(instances, dict) else ():
            if isinstance(value, dict) and "name" not in value:
                yield f"{group}.{key}.name"
