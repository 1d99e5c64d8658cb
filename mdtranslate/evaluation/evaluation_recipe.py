"""The recipe of an evaluation: the run's own, with the settings that an evaluation may change."""

from __future__ import annotations

from collections.abc import Sequence

from mdtranslate.api import Attribute, Split, format_value
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_loader import resolve_tree, to_tree
from mdtranslate.config.recipe_overrides import parse_override
from mdtranslate.config.registry import registry
from mdtranslate.config.resume_policy import decided_by_content, suggest_path_settings
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.config.shared_models import require_path_overrides
from mdtranslate.data.recipe_datasets import RecipeDataset, build_datasets
from mdtranslate.errors import RecipeError
from mdtranslate.inference.translator import Translator


def recipe_for_evaluation(run: RunFolder, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe that a run is evaluated with.

    If the run's recipe has no metrics, every metric without required settings is added.

    Args:
        run: The run.
        overrides: Settings as `KEY=VALUE`.

    Raises:
        mdtranslate.errors.RecipeError: An override changes anything but `metrics`, `evaluation` and paths of datasets.
    """
    recipe = run.saved_recipe(overrides).recipe
    require_path_overrides(run.path, recipe, overrides)
    for key in (parse_override(text)[0] for text in overrides):
        if key.partition(".")[0] not in ("metrics", "evaluation") and not decided_by_content(recipe, key):
            raise RecipeError(
                f"{key}: cannot be changed in an evaluation. Only metrics, evaluation and paths of the run's datasets "
                f"can, such as metrics.l1=reconstruction or datasets.{next(iter(recipe.datasets))}.root=FOLDER"
            )
    if recipe.metrics:
        return recipe
    metrics: dict[str, dict[str, object]] = {
        name: {} for name in registry().names("metric") if not _has_required_settings(name)
    }
    return resolve_tree(run.name, {**to_tree(recipe), "metrics": metrics}, source=str(run.path)).recipe


def build_test_datasets(recipe: Recipe) -> list[RecipeDataset]:
    """Builds the datasets of a recipe, and lists their test images.

    Raises:
        mdtranslate.errors.DataError: A dataset cannot be read, or its test split is empty. If a path does not exist,
            the message names the setting that changes it.
    """
    with suggest_path_settings(recipe):
        datasets = build_datasets(recipe)
        for dataset in datasets:
            dataset.records(Split.TEST)
    return datasets


def check_same_datasets(run: RunFolder, datasets: Sequence[RecipeDataset], translator: Translator) -> None:
    """Checks that the datasets and their labels are those that a run was trained on.

    Raises:
        mdtranslate.errors.RecipeError: They are not.
    """
    label_encoder = translator.label_encoder
    if (names := [dataset.name for dataset in datasets]) != [*label_encoder.datasets]:
        raise RecipeError(
            f"{run.path}: was trained on {', '.join(label_encoder.datasets)}, but its recipe has {', '.join(names)}"
        )
    for dataset, trained in zip(datasets, label_encoder.attributes, strict=True):
        if [*dataset.attributes] != [*trained]:
            actual, expected = (", ".join(map(_describe, attributes)) for attributes in (dataset.attributes, trained))
            raise RecipeError(
                f"datasets.{dataset.name}: labels {actual}, but {run.path} was trained with {expected}; "
                "evaluate it on a dataset with the same labels"
            )


def _describe(attribute: Attribute) -> str:
    values = "|".join(map(format_value, attribute.allowed_values))
    return f"{attribute.name} ({values})" if attribute.values else attribute.name


def _has_required_settings(metric: str) -> bool:
    """Whether a metric has a setting without default, such as a file of weights."""
    return any(field.is_required() for field in registry().component("metric", metric).Config.model_fields.values())
