"""Reads recipes from TOML and `key=value` overrides into a validated `Recipe`; every error is one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_errors import validation_messages
from mdtranslate.config.recipe_overrides import COMMAND_LINE, apply_overrides, implied_names
from mdtranslate.config.registry import registry
from mdtranslate.config.toml_tree import Tree, flatten, read_toml, toml_value, without_none
from mdtranslate.errors import RecipeError


@dataclass(frozen=True)
class ResolvedRecipe:
    """A validated recipe with the origin of each setting.

    Attributes:
        name: Name of the recipe, for the run's folder.
        recipe: The validated recipe.
        origins: Where each dotted key was set: a file name, `command line`, or what
            `override_origin` says. Defaults are missing.
    """

    name: str
    recipe: Recipe
    origins: Mapping[str, str]

    @property
    def tree(self) -> Tree:
        """The whole recipe as nested tables."""
        return to_tree(self.recipe)

    def toml(self) -> str:
        """Returns the whole recipe as a TOML document."""
        return tomli_w.dumps(self.tree)

    def settings(self) -> Iterator[tuple[str, Any, str]]:
        """Yields dotted key, value and origin of every setting."""
        yield from ((key, value, self._origin(key)) for key, value in flatten(self.tree))

    @property
    def note(self) -> str | None:
        """A notice that training uses several datasets, since an override may add one by mistake; None for one."""
        names = list(self.recipe.datasets)
        added = [name for name in names if self._origin(f"datasets.{name}.name") == COMMAND_LINE]
        if len(names) < 2:
            return None
        hint = ""
        if 0 < len(added) < len(names):
            hint = f"; to use only {added[0]}, write 'datasets={{{added[0]}={{...}}}}'"
        return f"training uses several datasets: {', '.join(names)}{hint}"

    def explain(self) -> str:
        """Formats every setting on a line as a valid override, with its origin as a comment."""
        lines = [(f"{key}={toml_value(value)}", origin) for key, value, origin in self.settings()]
        width = min(max(len(line) for line, _ in lines), 72)
        return "\n".join(f"{line:<{width}}  # {origin}" for line, origin in lines)

    def _origin(self, key: str) -> str:
        """The origin of a key; the `name` of a component that is set by name alone has the component's origin."""
        table, _, last = key.rpartition(".")
        return self.origins.get(key) or (self.origins.get(table) if last == "name" else None) or "default"


def resolve(name: str, overrides: Iterable[str] = (), override_origin: str = COMMAND_LINE) -> ResolvedRecipe:
    """Reads a recipe, applies overrides and validates the result.

    Args:
        name: Name of a registered recipe, or path of a `.toml` file.
        overrides: `key=value` texts.
        override_origin: Where the overrides come from, for messages.

    Returns:
        The recipe with the origin of each setting.

    Raises:
        RecipeError: Any mistakes, a line each: origin, dotted key, value, and what is allowed.
    """
    path = Path(name) if name.endswith(".toml") else registry().recipe(name)
    recipe_name = re.sub(r"[^\w.-]+", "_", path.stem)  # Used as folder name and in a comment line.
    return resolve_tree(recipe_name, read_toml(path), overrides, source=path.name, override_origin=override_origin)


def resolve_tree(
    name: str, tree: Tree, overrides: Iterable[str] = (), *, source: str, override_origin: str = COMMAND_LINE
) -> ResolvedRecipe:
    """Applies overrides to a tree and validates it, as `resolve` does.

    Args:
        name: Name of the recipe.
        tree: The recipe; it is not changed.
        overrides: `key=value` texts.
        source: Where the tree comes from, for messages.
        override_origin: Where the overrides come from, for messages.

    Raises:
        RecipeError: As for `resolve`.
    """
    try:
        tree = deepcopy(tree)
    except RecursionError:
        raise RecipeError(f"{source}: tables are nested too deeply") from None
    origins = dict.fromkeys([*dict(flatten(tree)), *implied_names(tree)], source)
    apply_overrides(tree, overrides, origins, override_origin)
    origins.update({key: override_origin for key in implied_names(tree) if key not in origins})
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("\n".join(validation_messages(error, tree, source, origins, override_origin))) from None
    return ResolvedRecipe(name, recipe, origins)


def to_tree(recipe: Recipe) -> Tree:
    """Returns a recipe as nested tables with every setting, without those that are None."""
    tree: Tree = without_none(recipe.model_dump(mode="json"))
    return tree
