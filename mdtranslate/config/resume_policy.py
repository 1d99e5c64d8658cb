"""What of a recipe may change when a run goes on, and why. Everything else stays what it was.

| settings | why they may change |
| --- | --- |
| `SCHEDULE` | how long the run is, and what is logged, checked, sampled and saved: no step changes |
| `COMPUTING` | how a step is computed: the same up to rounding |
| `DATA`, and where a dataset lies | images and labels must have the content that the run was trained on |
| `LEARNING` | how it learns from now on, such as after a non-finite value; `environment.json` records each change |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdtranslate.api.dataset import DECIDED_BY_CONTENT
from mdtranslate.config.recipes import flat, plain, toml_value
from mdtranslate.config.schema import Recipe
from mdtranslate.errors import DataError

SCHEDULE = (
    "train.steps",
    "train.log_every",
    "train.check_every",
    "train.sample_every",
    "train.save_every",
    "train.keep",
    "train.tensorboard",
)
DATA = ("data.unreadable",)
COMPUTING = (
    "train.precision",
    "train.compile",
    "train.accumulate",
    "train.checkpointing",
    "train.deterministic",
    "data.workers",
)
LEARNING = ("optimizers.*", "losses.NAME.weight", "train.on_nonfinite")
ALLOWED = (
    f"{', '.join((*SCHEDULE, *COMPUTING, *DATA, *LEARNING))} and where a dataset lies or what of it is read, such as "
    "datasets.NAME.root and datasets.NAME.range"
)
"""For messages."""


def trained_with(recipe: Recipe) -> dict[str, str]:
    """All that weights depend on up to rounding: every setting but `SCHEDULE`, `COMPUTING` and `DATA`, as TOML."""
    free = {*SCHEDULE, *COMPUTING, *DATA}
    return {key: toml_value(value) for key, value in flat(plain(recipe)) if key not in free}


def fixed(recipe: Recipe) -> dict[str, str]:
    """The settings that must not change when a run goes on, as TOML writes them."""
    return {
        key: value
        for key, value in trained_with(recipe).items()
        if not _is_learning(key) and not decided_by_content(recipe, key)
    }


def learning_changes(before: Recipe, after: Recipe) -> dict[str, list[str | None]]:
    """The `LEARNING` settings that differ: each with its value before and after, None where there is none."""
    old, new = trained_with(before), trained_with(after)
    return {
        key: [old.get(key), new.get(key)]
        for key in sorted(old.keys() | new.keys())
        if _is_learning(key) and old.get(key) != new.get(key)
    }


def decided_by_content(recipe: Recipe, key: str) -> bool:
    """Whether a setting of a dataset may change as long as its images and labels stay the same.

    Where it lies may, and what its `Config` marks by `json_schema_extra=DECIDED_BY_CONTENT`.
    """
    match key.split("."):
        case ["datasets", name, setting] if name in recipe.datasets:
            field = type(recipe.datasets[name].config).model_fields.get(setting)
            marked = field is not None and field.json_schema_extra == DECIDED_BY_CONTENT
            return marked or is_place(recipe, key)
    return False


def is_place(recipe: Recipe, key: str) -> bool:
    """Whether a key says where a dataset lies: a path, or the text that it must have instead of one."""
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
def naming_places(recipe: Recipe) -> Iterator[None]:
    """Adds to a `DataError` the keys that say where a dataset lies, for those whose place is not there."""
    try:
        yield
    except DataError as error:
        gone = [
            f"datasets.{name}.{setting}=PATH"
            for name, choice in recipe.datasets.items()
            for setting, value in choice.config
            if isinstance(value, Path) and not value.exists()
        ]
        raise DataError(f"{error}; {', '.join(gone)} says where it lies here" if gone else str(error)) from error


def _is_learning(key: str) -> bool:
    match key.split("."):
        case ["optimizers", *_] | ["losses", _, "weight", *_] | ["train", "on_nonfinite"]:
            return True
    return False
