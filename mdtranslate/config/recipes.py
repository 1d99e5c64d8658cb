"""Reads recipes: TOML and `key=value` overrides in, a validated `Recipe` out, every mistake as one line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from mdtranslate.api.component import typed_number
from mdtranslate.config.registry import registry
from mdtranslate.config.schema import GROUPS, Recipe
from mdtranslate.errors import RecipeError

Tree = dict[str, Any]
COMMAND_LINE = "command line"

PLAINLY = {
    **dict.fromkeys(("tuple_type", "list_type", "frozen_set_type"), "should be a list, such as ['a', 'b']"),
    **dict.fromkeys(("model_type", "dict_type"), "should be a table"),
    "missing": "is missing",
}
"""What pydantic says in words of Python, in those of a recipe."""


@dataclass(frozen=True)
class Resolved:
    """A validated recipe, the name it goes by, and where each value came from."""

    name: str
    recipe: Recipe
    origins: Mapping[str, str]

    @property
    def tree(self) -> Tree:
        """The whole recipe as TOML has it."""
        return plain(self.recipe)

    def toml(self) -> str:
        """The whole recipe as a TOML document."""
        return tomli_w.dumps(self.tree)

    def settings(self) -> Iterator[tuple[str, Any, str]]:
        """Every setting: its dotted key, its value, and the place that the value came from."""
        yield from ((key, value, self._origin(key)) for key, value in flat(self.tree))

    @property
    def note(self) -> str | None:
        """A line for a run to say of several datasets, which an override may have made of one by mistake."""
        names = list(self.recipe.datasets)
        added = [name for name in names if self._origin(f"datasets.{name}.name") == COMMAND_LINE]
        if len(names) < 2:
            return None
        alone = f"; 'datasets={{{added[0]}={{...}}}}' takes {added[0]} alone" if 0 < len(added) < len(names) else ""
        return f"several datasets are trained on together: {', '.join(names)}{alone}"

    def explain(self) -> str:
        """A line per setting, each a valid override, with the place its value came from as a comment."""
        lines = [(f"{key}={toml_value(value)}", origin) for key, value, origin in self.settings()]
        width = min(max(len(line) for line, _ in lines), 72)
        return "\n".join(f"{line:<{width}}  # {origin}" for line, origin in lines)

    def _origin(self, key: str) -> str:
        """The origin of a key; a component that was given as a mere name has its `name` from there."""
        table, _, last = key.rpartition(".")
        return self.origins.get(key) or (self.origins.get(table) if last == "name" else None) or "default"


def resolve(name: str, overrides: Iterable[str] = (), giver: str = COMMAND_LINE) -> Resolved:
    """The recipe `name` (a registered one, or a `.toml` file) with `key=value` overrides, which `giver` gave.

    Raises `RecipeError` in one message for every mistake: file, key with its whole path, value, what is allowed.
    """
    path = Path(name) if name.endswith(".toml") else registry().recipe(name)
    called = re.sub(r"[^\w.-]+", "_", path.stem)  # It becomes a folder's name and a line in a file.
    return resolve_tree(called, read_toml(path), overrides, source=path.name, giver=giver)


def resolve_tree(
    name: str, tree: Tree, overrides: Iterable[str] = (), *, source: str, giver: str = COMMAND_LINE
) -> Resolved:
    """As `resolve`, from a tree that is read already; `source` names it in messages."""
    try:
        tree = deepcopy(tree)
    except RecursionError:
        raise RecipeError(f"{source}: tables are nested too deeply") from None
    origins = dict.fromkeys([*dict(flat(tree)), *_implied_names(tree)], source)
    override(tree, overrides, origins, giver)
    origins.update({key: giver for key in _implied_names(tree) if key not in origins})
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("\n".join(mistakes(error, tree, source, origins, giver))) from None
    return Resolved(name, recipe, origins)


def plain(recipe: Recipe) -> Tree:
    """A recipe as TOML has it: every setting written out, what is not set left out."""
    tree: Tree = without_none(recipe.model_dump(mode="json"))
    return tree


def read_toml(path: Path) -> Tree:
    """A TOML file as a tree. Raises `RecipeError` that names the file."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # ValueError: also for an integer of thousands of digits.
        raise RecipeError(f"{path}: is not TOML: {error}") from None


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree with its dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def toml_value(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml_key(key)} = {toml_value(each)}' for key, each in value.items())}}}"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


def _toml_key(key: str) -> str:
    return tomli_w.dumps({key: 0}).rpartition(" = ")[0]


def parse(text: str, giver: str = COMMAND_LINE) -> tuple[str, Any]:
    """The key and the value of a `key=value`, the value as TOML has it. Raises `RecipeError`."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        given = "" if giver == COMMAND_LINE else f"{giver}: "
        raise RecipeError(f"{given}{text!r} is no override: write key=value, such as train.steps=1000")
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
        raise RecipeError(f"{giver}: {text!r} is not UTF-8, which recipes are written in")
    try:
        read = tomllib.loads(f"x = {value}")
    except (ValueError, RecursionError) as error:
        if value.lstrip()[:1] in ("{", "["):
            raise RecipeError(
                f"{giver}: {text!r}: is not TOML: {str(error).partition(' (at')[0]}; in {{}} and [] a text stands in "
                "quotes, such as \"data/pets\", and around it all the shell wants '...'"
            ) from None
        return key, value  # A bare word or path: what people type in a shell, where quotes are lost.
    # No setting is a date, but a folder may be called like one, or like a number.
    if len(read) > 1 or isinstance(read["x"], date | time):
        return key, value
    return key, typed_number(read["x"], value) if type(read["x"]) in (int, float) else read["x"]


def _picks(key: str) -> bool:
    """Whether a key is the name of a component: `generator.name`, but not `losses.name`, which is an instance."""
    table, _, last = key.rpartition(".")
    return last == "name" and bool(table) and table not in GROUPS


def _depth(key: str) -> int:
    return key.count(".") - _picks(key)


def _implied_names(tree: Tree) -> Iterator[str]:
    """The names that keys of instances stand for: `[losses.wgan-gp]` is the loss of that name."""
    for group in GROUPS:
        instances = tree.get(group)
        for key, value in instances.items() if isinstance(instances, dict) else ():
            if isinstance(value, dict) and "name" not in value:
                yield f"{group}.{key}.name"


def override(tree: Tree, overrides: Iterable[str], origins: dict[str, str], giver: str = COMMAND_LINE) -> None:
    """Sets `key=value` texts in a tree, and in `origins` that `giver` gave them. Raises `RecipeError`."""
    # A new name drops the old component's settings, so what picks a component goes before what is set in it,
    # whatever their places on the command line.
    for key, value in sorted((parse(each, giver) for each in overrides), key=lambda pair: _depth(pair[0])):
        _override(tree, key, value, origins, giver)


def _override(tree: Tree, key: str, value: Any, origins: dict[str, str], giver: str) -> None:
    *parents, last = key.split(".")
    node, above = tree, ""
    for part in parents:
        inner = node.get(part, {})
        if isinstance(inner, str):
            inner = {"name": inner}
            origins[f"{above}{part}.name"] = origins.pop(f"{above}{part}")
        elif not isinstance(inner, dict):
            raise RecipeError(f"{giver}: {key}={toml_value(value)}: {above}{part} is {toml_value(inner)}, not a table")
        above += f"{part}."
        node[part] = node = inner
    table = node.get(last)
    component = isinstance(table, dict) and ("name" in table or above[:-1] in GROUPS)
    if component and isinstance(value, str) and key not in GROUPS:
        key, above, node, last = f"{key}.name", f"{above}{last}.", node[last], "name"
    changed = key
    if _picks(key):
        group, _, instance = above[:-1].rpartition(".")
        if node.get("name", instance if group in GROUPS else value) != value:
            node.clear()
            changed = above[:-1]
    for old in [each for each in origins if each == changed or each.startswith(f"{changed}.")]:
        del origins[old]
    node[last] = value
    origins.update(dict.fromkeys(dict(flat({last: value}, above)), giver))


def mistakes(
    error: ValidationError, tree: Tree, source: str, origins: Mapping[str, str], giver: str = COMMAND_LINE
) -> Iterator[str]:
    """A line per mistake. What is wrong in every branch of a union is one mistake, said of the one that fits best."""
    found: dict[Any, list[tuple[str, str, str, bool]]] = {}
    every = error.errors(include_url=False)
    wrong_inside = {other["loc"][:-1] for other in every}
    for number, each in enumerate(every):
        if each["type"] == "too_short" and each["loc"] in wrong_inside:
            continue  # A list of which an item was refused: pydantic counts those that are left.
        missing = each["type"] == "missing"
        key, union, given = _place(tree, each["loc"], missing)
        hidden = missing or (isinstance(given, Mapping) and not each["type"].endswith("_type"))
        shown = "" if hidden else f"={toml_value(given)}"
        said = PLAINLY.get(each["type"], each["msg"].removeprefix("Value error, "))
        found.setdefault(number if union is None else union, []).append((key, shown, said, missing))
    for branches in found.values():
        key, shown, _, missing = max(branches, key=lambda branch: branch[0].count("."))
        message = " or ".join(dict.fromkeys(said for where, _, said, _ in branches if where == key))
        # Who gave one part of a value is blamed for it; for what its table lacks, who gave all of the table.
        inside = f"{key.rpartition('.')[0] if missing else key}."
        parts = [origin == giver for each, origin in origins.items() if each.startswith(inside)]
        below = parts and (all(parts) if missing else any(parts))
        above = (key.rsplit(".", up)[0] for up in range(key.count(".") + 1))  # A list is one setting.
        origin = giver if below else next((origins[each] for each in above if each in origins), source)
        yield ": ".join([origin, *([f"{key}{shown}"] if key else []), message])


def _place(tree: Tree, location: tuple[int | str, ...], missing: bool) -> tuple[str, str | None, Any]:
    """The key that a recipe has for a location of pydantic's, which also names branches of unions; where; the value.

    A name that the key of an instance implies is not in the recipe either.
    """
    node: Any = tree
    key: list[str] = []
    union = None
    for part in location:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):  # TypeError: neither a table nor a list, or a list and a word.
            if not (missing and part == location[-1]):
                union = ".".join(key) if union is None else union
                continue
        key.append(str(part))
    return ".".join(key), union, node


def without_none(tree: Any) -> Any:
    """Settings as recipes are written: TOML has no null, and what is None is left out."""
    if isinstance(tree, dict):
        return {key: without_none(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [without_none(value) for value in tree if value is not None]
    return tree
