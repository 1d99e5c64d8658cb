"""Safety of models from other people: no path in their files is opened unless the user names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mdtranslate.config.choice import Choice
from mdtranslate.config.manifest import is_shared
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_overrides import parse_override
from mdtranslate.config.resume_policy import is_location
from mdtranslate.errors import CheckpointError, RecipeError


def drop_paths(choice: Choice[Any] | None, folder: Path, role: str) -> Any:
    """Resets settings of a saved component that name files, so that loading it opens none of them.

    A saved model contains all weights, so optional paths of initial weights are dropped. For shared models every
    path is replaced by the setting's default.

    Args:
        choice: The component; None is returned as it is.
        folder: Folder of the translator.
        role: The component's dotted key, for messages.

    Returns:
        The component without paths.

    Raises:
        CheckpointError: A setting of a shared model names a file and has no default.
    """
    if choice is None:
        return None
    shared, changes = is_shared(folder) or is_shared(folder.parent), dict[str, Any]()
    for name, value in choice.config:
        field = type(choice.config).model_fields[name]
        if isinstance(value, Choice):
            changes[name] = drop_paths(value, folder, f"{role}.{name}")
        elif isinstance(value, Path) and (shared or field.default is None) and not field.is_required():
            changes[name] = field.get_default(call_default_factory=True)
        elif shared and (path := next(_paths(value, f"{role}.{name}"), None)):
            raise CheckpointError(f"{folder}: {path[0]}: names the file {path[1]}; shared models must not name files")
    return Choice(choice.component, choice.config.model_copy(update=changes)) if changes else choice


def require_path_overrides(folder: Path, recipe: Recipe, overrides: Sequence[str]) -> None:
    """Requires that the command line sets every path and location in the recipe of a shared model.

    Args:
        folder: Folder of the run; nothing is checked unless it is a shared model.
        recipe: Its recipe.
        overrides: `key=value` texts from the command line.

    Raises:
        RecipeError: The recipe names a location that is not overridden.
    """
    if not is_shared(folder):
        return
    locations = {
        key: str(path)
        for table in ("datasets", "metrics", "evaluation")
        for key, path in _paths(getattr(recipe, table), table)
    }
    for name, choice in recipe.datasets.items():
        settings = {f"datasets.{name}.{setting}": value for setting, value in choice.config}
        locations |= {key: str(value) for key, value in settings.items() if is_location(recipe, key)}
    overridden = [parse_override(text)[0] for text in overrides]
    missing = {
        key: value
        for key, value in locations.items()
        if not any(f"{key}.".startswith(f"{prefix}.") for prefix in overridden)
    }
    if missing:
        raise RecipeError(
            f"{folder}: is a shared model whose recipe names locations on another machine; set them to yours: "
            f"{' '.join(f'{key}={value}' for key, value in missing.items())}"
        )


def _paths(value: Any, key: str) -> Iterator[tuple[str, Path]]:
    """Yields every path in a setting with its dotted key."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, Choice):
        yield from _paths(value.config, key)
    elif isinstance(value, BaseModel | Mapping):
        for name, item in value.items() if isinstance(value, Mapping) else value:
            yield from _paths(item, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths(item, f"{key}[{index}]")
