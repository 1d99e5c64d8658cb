"""Turns pydantic's validation errors into one line for each mistake in a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from mdtranslate.config.recipe_overrides import COMMAND_LINE
from mdtranslate.config.toml_tree import Tree, toml_value

PYDANTIC_MESSAGES = {
    **dict.fromkeys(("tuple_type", "list_type", "frozen_set_type"), "should be a list, written [..., ...]"),
    **dict.fromkeys(("model_type", "dict_type"), "should be a table, written {key=value}"),
    "missing": "is missing",
}
"""Messages for error types whose text in pydantic is about Python."""


class _Problem(NamedTuple):
    """A mistake as it is reported.

    Attributes:
        key: Dotted key in the recipe.
        value: `=VALUE`, or empty if showing the value does not help.
        message: What is wrong.
        is_missing: Whether a required key is missing.
    """

    key: str
    value: str
    message: str
    is_missing: bool


def validation_messages(
    error: ValidationError,
    tree: Tree,
    source: str,
    origins: Mapping[str, str],
    override_origin: str = COMMAND_LINE,
) -> Iterator[str]:
    """Yields a line for each mistake: origin, key, value and what is wrong.

    A value that fits no member of a union is one mistake; the message is that of the member that fits best.

    Args:
        error: Error of validating the tree.
        tree: The recipe with overrides.
        source: Where the tree comes from.
        origins: Origin of each dotted key.
        override_origin: Where the overrides come from.
    """
    problems: dict[Any, list[_Problem]] = {}
    details = error.errors(include_url=False)
    invalid_parents = {detail["loc"][:-1] for detail in details}
    for index, detail in enumerate(details):
        if detail["type"] == "too_short" and detail["loc"] in invalid_parents:
            continue  # pydantic counts only the valid items of a list.
        is_missing = detail["type"] == "missing"
        key, union, value = _locate(tree, detail["loc"], is_missing)
        hide_value = is_missing or (isinstance(value, Mapping) and not detail["type"].endswith("_type"))
        message = PYDANTIC_MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        problem = _Problem(key, "" if hide_value else f"={toml_value(value)}", message, is_missing)
        problems.setdefault(index if union is None else union, []).append(problem)
    for members in problems.values():
        best = max(members, key=lambda problem: problem.key.count("."))
        message = " or ".join(dict.fromkeys(problem.message for problem in members if problem.key == best.key))
        origin = _find_origin(best, source, origins, override_origin)
        yield ": ".join([origin, *([f"{best.key}{best.value}"] if best.key else []), message])


def _find_origin(problem: _Problem, source: str, origins: Mapping[str, str], override_origin: str) -> str:
    """Returns the origin to name for a mistake.

    It is the overrides' if they set any part of the value; for a missing key, if they set its whole table.
    """
    prefix = f"{problem.key.rpartition('.')[0] if problem.is_missing else problem.key}."
    overridden = [origin == override_origin for key, origin in origins.items() if key.startswith(prefix)]
    if overridden and (all(overridden) if problem.is_missing else any(overridden)):
        return override_origin
    levels = problem.key.count(".") + 1
    parents = (problem.key.rsplit(".", level)[0] for level in range(levels))  # Items of a list have no own origin.
    return next((origins[key] for key in parents if key in origins), source)


def _locate(tree: Tree, location: tuple[int | str, ...], is_missing: bool) -> tuple[str, str | None, Any]:
    """Finds a pydantic location, which also names members of unions and implied names, in a tree.

    Returns:
        Dotted key; dotted key of the union, or None; the value, or that of the innermost table that exists.
    """
    node: Any = tree
    key: list[str] = []
    union = None
    for part in location:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):  # TypeError: the node is no container, or a list with a text key.
            if not (is_missing and part == location[-1]):
                union = ".".join(key) if union is None else union
                continue
        key.append(str(part))
    return ".".join(key), union, node
