"""Which settings may change when a run is resumed, and why. All others are fixed.

| settings | why they may change |
| --- | --- |
| `SCHEDULE` | number of steps, and intervals of logging, validation, samples and checkpoints: no step changes |
| `COMPUTING` | how a step is computed: results are equal up to rounding; `environment.json` records the precision |
| `DATA`, and locations of datasets | the content of images and labels is compared with that of earlier steps |
| `LEARNING` | how training continues, for instance after a non-finite value; `environment.json` records each change |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdtranslate.api.dataset import DECIDED_BY_CONTENT
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_loader import to_tree
from mdtranslate.config.toml_tree import flatten, toml_value
from mdtranslate.errors import DataError

SCHEDULE = (
    "train.steps",
    "train.log_every",
    "train.validate_every",
    "train.sample_every",
    "train.save_every",
    "train.keep_checkpoints",
    "train.tensorboard",
)
DATA = ("data.unreadable",)
COMPUTING = (
    "train.precision",
    "train.compile",
    "train.gradient_accumulation",
    "train.activation_checkpointing",
    "train.deterministic",
    "data.workers",
)
LEARNING = ("optimizers.*", "losses.NAME.weight", "train.on_nonfinite")
ALLOWED = (
    f"{', '.join((*SCHEDULE, *COMPUTING, *DATA, *LEARNING))}, and the locations and value ranges of datasets, such as "
    "datasets.NAME.root and datasets.NAME.range"
)
"""The settings that may change, for messages."""


def training_settings(recipe: Recipe) -> dict[str, str]:
    """Returns the settings that trained weights depend on: all but `SCHEDULE`, `COMPUTING` and `DATA`.

    Returns:
        TOML values by dotted key.
    """
    excluded = {*SCHEDULE, *COMPUTING, *DATA}
    return {key: toml_value(value) for key, value in flatten(to_tree(recipe)) if key not in excluded}


def fixed_settings(recipe: Recipe) -> dict[str, str]:
    """Returns the settings that must not change when a run is resumed.

    Returns:
        TOML values by dotted key.
    """
    return {
        key: value
        for key, value in training_settings(recipe).items()
        if not _is_learning(key) and not decided_by_content(recipe, key)
    }


def learning_changes(before: Recipe, after: Recipe) -> dict[str, list[str | None]]:
    """Compares the `LEARNING` settings of two recipes.

    Returns:
        For each setting that differs, its TOML values before and after; None if it is not set.
    """
    old, new = training_settings(before), training_settings(after)
    return {
        key: [old.get(key), new.get(key)]
        for key in sorted(old.keys() | new.keys())
        if _is_learning(key) and old.get(key) != new.get(key)
    }


def decided_by_content(recipe: Recipe, key: str) -> bool:
    """Whether a dataset setting may change as long as the content of images and labels stays the same.

    That holds for locations, and for fields with `json_schema_extra=DECIDED_BY_CONTENT` in the dataset's `Config`.
    """
    match key.split("."):
        case ["datasets", name, setting] if name in recipe.datasets:
            field = type(recipe.datasets[name].config).model_fields.get(setting)
            has_marker = field is not None and field.json_schema_extra == DECIDED_BY_CONTENT
            return has_marker or is_location(recipe, key)
    return False


def is_location(recipe: Recipe, key: str) -> bool:
    """Whether a key is a dataset's location: a path, or a required text setting."""
    match key.split("."):
        case ["datasets", name, setting] if name in recipe.datasets:
            config = recipe.datasets[name].config
            field = type(config).model_fields.get(setting)
            if field is None:
                return False
            value = getattr(config, setting)
            return isinstance(value, Path) or (isinstance(value, str) and field.is_required())
    return False


@contextmanager
def suggest_path_settings(recipe: Recipe) -> Iterator[None]:
    """Adds to a `DataError` the dataset settings whose paths do not exist on this machine."""
    try:
        yield
    except DataError as error:
        missing = [
            f"datasets.{name}.{setting}=PATH"
            for name, choice in recipe.datasets.items()
            for setting, value in choice.config
            if isinstance(value, Path) and not value.exists()
        ]
        hint = f"; set {', '.join(missing)} to its location on this machine" if missing else ""
        raise DataError(f"{error}{hint}") from error


def _is_learning(key: str) -> bool:
    match key.split("."):
        case ["optimizers", *_] | ["losses", _, "weight", *_] | ["train", "on_nonfinite"]:
            return True
    return False
