"""Reads recipes: TOML and `key=value` overrides in, a validated `Recipe` out, every mistake as one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from mdtranslate.config import Recipe
from mdtranslate.errors import RecipeError
from mdtranslate.registry import registry

Tree = dict[str, Any]


@dataclass(frozen=True)
class Resolved:
    """A validated recipe, the name it goes by, and where each value came from."""

    name: str
    recipe: Recipe
    origins: Mapping[str, str]

    @property
    def tree(self) -> Tree:
        """The whole recipe as TOML has it: every setting written out, what is not set left out."""
        return _without_none(self.recipe.model_dump(mode="json"))

    def toml(self) -> str:
        """The whole recipe as a TOML document."""
        return tomli_w.dumps(self.tree)

    def explain(self) -> str:
        """A line per setting, each a valid override, with the place its value came from as a comment."""
        lines = [(f"{key}={toml_value(value)}", self._origin(key)) for key, value in flat(self.tree)]
        width = min(max(len(line) for line, _ in lines), 72)
        return "\n".join(f"{line:<{width}}  # {origin}" for line, origin in lines)

    def _origin(self, key: str) -> str:
        """The origin of a key, or of the table that set it whole."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            if (origin := self.origins.get(".".join(parts[:length]))) is not None:
                return origin
        return "default"


def resolve(name: str, overrides: Iterable[str] = ()) -> Resolved:
    """The recipe `name` (a registered one, or a `.toml` file) with `key=value` overrides.

    Raises `RecipeError` in one message for every mistake: file, key with its whole path, value, what is allowed.
    """
    path = Path(name) if name.endswith(".toml") else registry().recipe(name)
    return resolve_tree(path.stem, read_toml(path), overrides, source=path.name)


def resolve_tree(name: str, tree: Tree, overrides: Iterable[str] = (), *, source: str) -> Resolved:
    """As `resolve`, from a tree that is read already; `source` names it in messages."""
    tree = deepcopy(tree)
    origins = {key: source for key, _ in flat(tree)}
    pairs = [_parse(text) for text in overrides]
    # A new name drops the old component's settings, so names go first, whatever their place on the command line.
    for key, value in sorted(pairs, key=lambda pair: not _is_name(tree, *pair)):
        _override(tree, key, value, origins)
        origins[key] = "command line"
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("\n".join(_lines(error, source, origins))) from None
    return Resolved(name, recipe, origins)


def read_toml(path: Path) -> Tree:
    """A TOML file as a tree. Raises `RecipeError` that names the file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
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
        return f"{{{', '.join(f'{key} = {toml_value(each)}' for key, each in value.items())}}}"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


def _parse(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise RecipeError(f"{text!r} is no override: write key=value, such as train.steps=1000")
    try:
        return key, tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key, value  # A bare word or path: what people type in a shell, where quotes are lost.


def _is_name(tree: Tree, key: str, value: Any) -> bool:
    """Whether an override picks a component: `generator.name=x`, or `generator=x` where a table stands."""
    if key.endswith(".name"):
        return True
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return isinstance(node, Mapping) and isinstance(value, str)


def _override(tree: Tree, key: str, value: Any, origins: dict[str, str]) -> None:
    *parents, last = key.split(".")
    node, above = tree, ""
    for part in parents:
        inner = node.get(part, {})
        if isinstance(inner, str):
            inner = {"name": inner}
        elif not isinstance(inner, dict):
            raise RecipeError(f"{key}={toml_value(value)}: {above}{part} is {toml_value(inner)}, not a table")
        above += f"{part}."
        node[part] = node = inner
    if isinstance(node.get(last), dict) and isinstance(value, str):
        above, node, last = f"{above}{last}.", node[last], "name"
        parents = key.split(".")
    if last == "name" and parents and node.get("name", parents[-1]) != value:
        node.clear()
        for old in [origin for origin in origins if origin.startswith(above)]:
            del origins[old]
    node[last] = value


def _lines(error: ValidationError, source: str, origins: Mapping[str, str]) -> Iterator[str]:
    for each in error.errors(include_url=False):
        parts = [str(part) for part in each["loc"]]
        if each["type"] == "unknown_key":
            parts.append(each["ctx"]["key"])
        key = ".".join(parts)
        origin = origins.get(key, source)
        message = each["msg"].removeprefix("Value error, ")
        given = each["input"]
        shown = "" if each["type"] == "missing" or isinstance(given, Mapping) else f"={toml_value(_plain(given))}"
        yield f"{origin}: {key}{shown}: {message}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list) else repr(value)


def _without_none(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_none(value) for key, value in tree.items() if value is not None}
    return tree
