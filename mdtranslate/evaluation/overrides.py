"""The recipe of an evaluation: that of the run, with what may be otherwise when it is measured."""

from __future__ import annotations

from collections.abc import Sequence

from mdtranslate.api import Attribute, Split
from mdtranslate.api.dataset import spell
from mdtranslate.config.recipes import parse, plain, resolve_tree
from mdtranslate.config.registry import registry
from mdtranslate.config.resume_policy import decided_by_content, naming_places
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.config.schema import Recipe
from mdtranslate.config.shared_models import refuse_places
from mdtranslate.data.source import Source, build_sources
from mdtranslate.errors import RecipeError
from mdtranslate.inference.translator import Translator


def evaluated(run: RunFolder, overrides: Sequence[str]) -> Recipe:
    """The recipe of a run as it is to be measured; all metrics that want no setting, where it has none of its own.

    Raises `RecipeError` for an override of anything but `metrics`, `evaluation` and where a dataset lies.
    """
    recipe = run.written(overrides).recipe
    refuse_places(run.path, recipe, overrides)
    for key in (parse(text)[0] for text in overrides):
        if key.partition(".")[0] not in ("metrics", "evaluation") and not decided_by_content(recipe, key):
            raise RecipeError(
                f"{key}: an evaluation can change only metrics, evaluation, and where a dataset of the run lies: "
                f"metrics.l1=reconstruction or datasets.{next(iter(recipe.datasets))}.root=FOLDER"
            )
    if recipe.metrics:
        return recipe
    names = [name for name in registry().names("metric") if _needs_nothing(name)]
    return resolve_tree(
        run.name, {**plain(recipe), "metrics": {name: {} for name in names}}, source=str(run.path)
    ).recipe


def sources_of(recipe: Recipe) -> list[Source]:
    """The datasets, their test pictures listed. Raises `DataError`; of a place that is not there, with the key to say
    where it lies.
    """
    with naming_places(recipe):
        sources = build_sources(recipe)
        for source in sources:
            source.records(Split.TEST)
    return sources


def refuse_others(run: RunFolder, sources: Sequence[Source], translator: Translator) -> None:
    """Raises `RecipeError` for datasets that label something else than when the run was trained."""
    encoder = translator.encoder
    if (names := [each.name for each in sources]) != [*encoder.datasets]:
        raise RecipeError(
            f"{run.path} was trained on {', '.join(encoder.datasets)}, and its recipe has {', '.join(names)}"
        )
    for source, known in zip(sources, encoder.attributes, strict=True):
        if [*source.attributes] != [*known]:
            here, there = (", ".join(map(_declared, own)) for own in (source.attributes, known))
            raise RecipeError(f"datasets.{source.name}: labels {here}, and {run.path} was trained with {there}")


def _declared(attribute: Attribute) -> str:
    values = "|".join(map(spell, attribute.allowed))
    return f"{attribute.name} ({values})" if attribute.values else attribute.name


def _needs_nothing(metric: str) -> bool:
    """Whether a metric has no setting that must be given, such as a file of weights."""
    return not any(field.is_required() for field in registry().component("metric", metric).Config.model_fields.values())
