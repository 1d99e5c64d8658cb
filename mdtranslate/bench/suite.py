"""What a suite is: a TOML file that names methods, budgets, seeds and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from mdtranslate.api import Settings
from mdtranslate.config.recipes import Resolved, mistakes, read_toml, resolve, toml_value
from mdtranslate.config.schema import Evaluation, Recipe
from mdtranslate.data.source import Source, attributes_of, build_sources
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.evaluation.evaluate import try_metrics

Seed = Annotated[int, Field(ge=0, lt=2**63)]  # As train.seed.


class Method(Settings):
    """One of those that are compared."""

    recipe: str = Field(description="a recipe's name, or a .toml file")
    settings: tuple[str, ...] = Field((), description="what is changed of it, as on the command line: key=value")
    title: str | None = Field(None, description="what the tables call it; its key if left out")


class Budget(Settings):
    """What each method may spend: one of the three.

    Pictures, not updates: an update of a bank's member is of the part of a batch that is its own, and batches of
    methods have their sizes.
    """

    each: PositiveInt | None = Field(
        None, description="pictures that each generator of a method translates in training, on average"
    )
    total: PositiveInt | None = Field(
        None, description="pictures that its generators translate in training all together: a bank shares them out"
    )
    seconds: PositiveInt | None = Field(
        None, description="seconds of training; steps are set from the speed of the first ones on this machine"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.each, self.total, self.seconds)) != 1:
            raise ValueError("a budget is one of each, total (pictures) and seconds")
        return self

    @property
    def title(self) -> str:
        """In words."""
        if self.each is not None:
            return f"{self.each:,} pictures for each generator"
        return f"{self.total:,} pictures in all" if self.total is not None else f"{self.seconds:,} seconds of training"


class Suite(Settings):
    """The whole file."""

    title: str = Field(description="what the page is called")
    about: str = Field("", description="what is compared and why, for the page")
    methods: dict[str, Method] = Field(min_length=1, description="by name")
    budgets: dict[str, Budget] = Field(min_length=1, description="by name; a table each")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="each method is trained once with each")
    settings: tuple[str, ...] = Field((), description="what is changed of every recipe: data, sizes, how it is logged")
    metrics: dict[str, dict[str, Any]] = Field(
        {"edit-accuracy": {}, "reconstruction": {}, "counterfactual": {}},
        description="the metrics of every method, as a recipe has them",
    )
    columns: tuple[str, ...] = Field(
        ("accuracy", "preservation", "l1", "psnr gain"),
        description="figures of the tables, as metrics call them; one that metrics give by attribute is the mean of "
        "those",
    )
    evaluation: Evaluation = Field(
        default_factory=lambda: Evaluation.model_validate({}), description="how all are judged, as a recipe has it"
    )
    pictures: int = Field(5, ge=1, le=32, description="test pictures that the page shows")
    edits: tuple[str, ...] = Field((), description="edits that the page shows: hair=Blond_Hair; the first if left out")

    @model_validator(mode="after")
    def _plain(self) -> Self:
        for name in (*self.methods, *self.budgets):
            if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
                raise ValueError(f"{name!r}: methods and budgets are called by letters, digits, _ and -")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is there twice")
        for setting in (*self.settings, *(each for method in self.methods.values() for each in method.settings)):
            key = setting.partition("=")[0].strip()
            if key.partition(".")[0] in ("metrics", "evaluation") or key in ("train.steps", "train.seed"):
                raise ValueError(f"settings: {key}: metrics, evaluation, budgets and seeds of the suite say that")
        return self


@dataclass(frozen=True)
class Meant:
    """A method as it will be run, before its length is set."""

    resolved: Resolved
    sources: Sequence[Source]
    networks: int
    """How many generators it trains apart."""

    @property
    def recipe(self) -> Recipe:
        """What was resolved."""
        return self.resolved.recipe


@dataclass(frozen=True)
class Cell:
    """One method, trained with one seed at one budget."""

    budget: str
    method: str
    seed: int
    folder: Path


def load(path: Path) -> Suite:
    """A suite's file. Raises `RecipeError` with a line per mistake, each naming the key and what would be right."""
    tree = read_toml(path)
    try:
        return Suite.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("\n".join(mistakes(error, tree, str(path), {}))) from None


def cells(suite: Suite, out: Path) -> list[Cell]:
    """Every cell, in the order in which they are run: seed by seed, so that each method has a result early."""
    return [
        Cell(budget, method, seed, out / "cells" / budget / method / f"seed-{seed}")
        for seed in suite.seeds
        for budget in suite.budgets
        for method in suite.methods
    ]


def measures(suite: Suite) -> list[str]:
    """How all methods are measured, as the command line has it."""
    evaluation = suite.evaluation.model_dump(mode="json", exclude_none=True)
    return [f"metrics={toml_value(suite.metrics)}", f"evaluation={toml_value(evaluation)}"]


def methods(suite: Suite, file: Path) -> tuple[Mapping[str, Meant], Mapping[str, str]]:
    """Each method as it will be run; and what is wrong with those that cannot be meant. `file`: of the suite."""
    found, wrong = dict[str, Meant](), dict[str, str]()
    for name, method in suite.methods.items():
        try:
            overrides = (*suite.settings, *method.settings, *measures(suite))
            resolved = resolve(method.recipe, overrides, file.name)
            sources = build_sources(resolved.recipe)
            found[name] = Meant(resolved, sources, _networks(resolved.recipe, sources))
            try_metrics(resolved.recipe, sources)
        except MdtranslateError as error:
            found.pop(name, None)
            wrong[name] = " ".join(str(error).split())
    return found, wrong


def _networks(recipe: Recipe, sources: Sequence[Source]) -> int:
    """How many generators it trains apart. Raises `RecipeError` also for losses that cannot be built."""
    encoder = recipe.encoder.build(attributes=attributes_of(sources))
    for choice in recipe.losses.values():
        choice.build(encoder=encoder, image_size=recipe.data.image_size)
    try:
        count: int = recipe.generator.component.count(recipe.generator.config, encoder)
    except ValueError as error:
        raise RecipeError(f"generator: {error}") from None
    return count


def steps(recipe: Recipe, budget: Budget, networks: int) -> int:
    """The length of a run that spends a budget of pictures, for a method that trains so many generators apart.

    Where the generator is updated, each picture of the batch is translated once, by one of them.
    """
    pictures = budget.total if budget.total is not None else (budget.each or 0) * networks
    return -(-pictures // recipe.data.batch_size) * recipe.train.critic_steps
