"""Models of somebody else are data: no path that their files name is opened unless the user says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from mdtranslate.config.choice import Choice
from mdtranslate.config.recipes import parse
from mdtranslate.config.resume_policy import is_place
from mdtranslate.config.schema import Recipe
from mdtranslate.errors import CheckpointError, RecipeError

MANIFEST: Final = "mdtranslate.json"
"""The file that makes a folder a shared model."""


def is_shared(folder: Path) -> bool:
    """Whether a folder is a model that was shared: `mdtranslate pull` brought it, or `push` made it."""
    return (folder / MANIFEST).is_file()


def without_paths(choice: Choice[Any] | None, folder: Path, role: str) -> Any:
    """A component of the translator in `folder`, without the files that its settings name.

    Files of first weights are left out of every model, since it holds all of its weights itself; of a shared one any
    file is, for which the component's own default stands in. Raises `CheckpointError` where there is no default.
    """
    if choice is None:
        return None
    shared, changes = is_shared(folder) or is_shared(folder.parent), dict[str, Any]()
    for name, value in choice.config:
        field = type(choice.config).model_fields[name]
        if isinstance(value, Choice):
            changes[name] = without_paths(value, folder, f"{role}.{name}")
        elif isinstance(value, Path) and (shared or field.default is None) and not field.is_required():
            changes[name] = field.get_default(call_default_factory=True)
        elif shared and (found := next(_paths(value, f"{role}.{name}"), None)):
            raise CheckpointError(f"{folder}: {found[0]}: names the file {found[1]}, which no shared model can")
    return Choice(choice.component, choice.config.model_copy(update=changes)) if changes else choice


def refuse_places(folder: Path, recipe: Recipe, overrides: Sequence[str]) -> None:
    """Raises `RecipeError` where the recipe of a shared model names places that the command line does not."""
    if not is_shared(folder):
        return
    named = {
        key: str(path)
        for part in ("datasets", "metrics", "evaluation")
        for key, path in _paths(getattr(recipe, part), part)
    }
    for name, choice in recipe.datasets.items():
        keys = {f"datasets.{name}.{setting}": value for setting, value in choice.config}
        named |= {key: str(value) for key, value in keys.items() if is_place(recipe, key)}
    told = [parse(text)[0] for text in overrides]
    lacking = {key: value for key, value in named.items() if not any(f"{key}.".startswith(f"{each}.") for each in told)}
    if lacking:
        raise RecipeError(
            f"{folder}: is a model that was shared, and its recipe names places of another machine; say where they "
            f"are on yours: {' '.join(f'{key}={value}' for key, value in lacking.items())}"
        )


def _paths(value: Any, key: str) -> Iterator[tuple[str, Path]]:
    """Every path in a setting, with its dotted key."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, Choice):
        yield from _paths(value.config, key)
    elif isinstance(value, BaseModel | Mapping):
        for name, each in value.items() if isinstance(value, Mapping) else value:
            yield from _paths(each, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _paths(each, f"{key}[{number}]")
