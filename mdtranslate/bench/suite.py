"""Benchmark suites: TOML files that name methods, budgets, seeds and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from mdtranslate.api import Settings
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_errors import validation_messages
from mdtranslate.config.recipe_loader import ResolvedRecipe, resolve
from mdtranslate.config.schema import Evaluation
from mdtranslate.config.toml_tree import read_toml, toml_value
from mdtranslate.data.recipe_datasets import RecipeDataset, attributes_by_dataset, build_datasets
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.evaluation.evaluate import check_metrics

Seed = Annotated[int, Field(ge=0, lt=2**63)]  # The bounds of train.seed.


class Method(Settings):
    """One of the methods that are compared."""

    recipe: str = Field(description="a recipe's name, or a .toml file")
    settings: tuple[str, ...] = Field((), description="overrides of the recipe, as on the command line: key=value")
    title: str | None = Field(None, description="name in tables; the method's key if left out")


class Budget(Settings):
    """Training budget of each method; exactly one of the three settings.

    It counts images, not updates: an update of one network of a bank sees only that network's part of the batch, and
    methods differ in batch size.
    """

    per_generator: PositiveInt | None = Field(
        None, description="images that each generator of a method translates in training, on average"
    )
    total: PositiveInt | None = Field(
        None, description="images that all generators of a method translate in training; a bank divides them"
    )
    seconds: PositiveInt | None = Field(
        None, description="seconds of training; the number of steps follows from the speed measured on this machine"
    )

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        if sum(value is not None for value in (self.per_generator, self.total, self.seconds)) != 1:
            raise ValueError("a budget has exactly one of per_generator and total (images), and seconds")
        return self

    @property
    def title(self) -> str:
        """The budget in words, as a heading."""
        if self.per_generator is not None:
            return f"{self.per_generator:,} images per generator"
        return f"{self.total:,} images in total" if self.total is not None else f"{self.seconds:,} seconds of training"


class Suite(Settings):
    """A benchmark suite."""

    title: str = Field(description="title of the page")
    description: str = Field("", description="what is compared and why, for the page")
    methods: dict[str, Method] = Field(min_length=1, description="the methods, by name")
    budgets: dict[str, Budget] = Field(min_length=1, description="the budgets, by name; each has its own table")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="each method is trained once per seed")
    settings: tuple[str, ...] = Field(
        (), description="overrides of every recipe: data, sizes, intervals of the log; key=value"
    )
    metrics: dict[str, dict[str, Any]] = Field(
        {"edit-accuracy": {}, "reconstruction": {}, "counterfactual": {}, "gap-closed": {}},
        description="metrics of every method, as in a recipe",
    )
    columns: tuple[str, ...] = Field(
        ("gap closed (efficientnet-lite0)", "accuracy", "preservation", "l1", "psnr gain"),
        description="columns of the tables: names of figures; a figure that metrics report by attribute is averaged "
        "over attributes",
    )
    evaluation: Evaluation = Field(
        default_factory=lambda: Evaluation.model_validate({}), description="how methods are evaluated, as in a recipe"
    )
    images: int = Field(5, ge=1, le=32, description="number of test images on the page")
    edits: tuple[str, ...] = Field(
        (), description="edits on the page, such as hair=Blond_Hair; the first possible ones if left out"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in (*self.methods, *self.budgets):
            if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
                raise ValueError(f"{name!r}: names of methods and budgets consist of letters, digits, _ and -")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: a seed occurs twice")
        for setting in (*self.settings, *(text for method in self.methods.values() for text in method.settings)):
            key = setting.partition("=")[0].strip()
            if key.partition(".")[0] in ("metrics", "evaluation") or key in ("train.steps", "train.seed"):
                raise ValueError(f"settings: {key}: set by the suite's metrics, evaluation, budgets and seeds instead")
        return self


@dataclass(frozen=True)
class ResolvedMethod:
    """A method with its recipe resolved; only the number of steps is not set yet.

    Attributes:
        resolved: The recipe, with the overrides of the suite and the method.
        datasets: The datasets of the recipe.
        num_generators: Number of generators that the method trains separately.
    """

    resolved: ResolvedRecipe
    datasets: Sequence[RecipeDataset]
    num_generators: int

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return self.resolved.recipe


@dataclass(frozen=True)
class Cell:
    """One method, trained with one seed at one budget.

    Attributes:
        budget: Name of the budget.
        method: Name of the method.
        seed: Random seed of the training.
        folder: Folder of the cell.
    """

    budget: str
    method: str
    seed: int
    folder: Path


def load_suite(path: Path) -> Suite:
    """Reads a suite's file.

    Raises:
        RecipeError: The file is invalid; one line per mistake names the key and says what would be right.
    """
    tree = read_toml(path)
    try:
        return Suite.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("\n".join(validation_messages(error, tree, str(path), {}))) from None


def list_cells(suite: Suite, out: Path) -> list[Cell]:
    """Lists all cells in the order of their runs: seed by seed, so that each method has a result early.

    Args:
        suite: The suite.
        out: Folder of the suite's results.
    """
    return [
        Cell(budget, method, seed, out / "cells" / budget / method / f"seed-{seed}")
        for seed in suite.seeds
        for budget in suite.budgets
        for method in suite.methods
    ]


def evaluation_overrides(suite: Suite) -> list[str]:
    """Returns the suite's metrics and evaluation settings as overrides of a recipe."""
    evaluation = suite.evaluation.model_dump(mode="json", exclude_none=True)
    return [f"metrics={toml_value(suite.metrics)}", f"evaluation={toml_value(evaluation)}"]


def resolve_methods(suite: Suite, file: Path) -> tuple[Mapping[str, ResolvedMethod], Mapping[str, str]]:
    """Resolves the recipe of each method.

    Args:
        suite: The suite.
        file: The suite's file, for messages.

    Returns:
        The valid methods by name, and by name what is wrong with the invalid ones.
    """
    methods, invalid = dict[str, ResolvedMethod](), dict[str, str]()
    for name, method in suite.methods.items():
        try:
            overrides = (*suite.settings, *method.settings, *evaluation_overrides(suite))
            resolved = resolve(method.recipe, overrides, file.name)
            datasets = build_datasets(resolved.recipe)
            resolved_method = ResolvedMethod(resolved, datasets, _count_generators(resolved.recipe, datasets))
            check_metrics(resolved.recipe, datasets)
            methods[name] = resolved_method
        except MdtranslateError as error:
            invalid[name] = " ".join(str(error).split())
    return methods, invalid


def _count_generators(recipe: Recipe, datasets: Sequence[RecipeDataset]) -> int:
    """Returns the number of generators that a recipe trains separately, after checking that its losses can be built."""
    label_encoder = recipe.label_encoder.build(attributes=attributes_by_dataset(datasets))
    for choice in recipe.losses.values():
        choice.build(label_encoder=label_encoder, image_size=recipe.data.image_size)
    try:
        count: int = recipe.generator.component.network_count(recipe.generator.config, label_encoder)
    except ValueError as error:
        raise RecipeError(f"generator: {error}") from None
    return count


def training_steps(recipe: Recipe, budget: Budget, num_generators: int) -> int:
    """Returns the number of training steps that a budget of images allows.

    Each update of the generator translates each image of the batch once, by one of the generators.

    Args:
        recipe: The recipe.
        budget: A budget of images, not of seconds.
        num_generators: Number of generators that the recipe trains separately.
    """
    images = budget.total if budget.total is not None else (budget.per_generator or 0) * num_generators
    return -(-images // recipe.data.batch_size) * recipe.train.critic_steps
