"""The contract of metrics, as checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import isclose, isfinite
from typing import Any

import torch
from torch import Tensor

from mdtranslate.api import Attribute, Edited, Features, Metric, Value
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import Suite
from mdtranslate.testing.component_checks import common, maker
from mdtranslate.testing.side_effects import random_state

Make = Callable[[Sequence[Attribute], Features], Metric]
SIZE = 16
ATTRIBUTES = (sample_components.HAIR, sample_components.GLASSES)


class Seeing(Features):
    """Features of nothing learned: means of parts of a picture."""

    name = "check-features"
    label = "check"
    identity = "check"

    def forward(self, image: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(image, 2).flatten(1)

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image, torch.nn.functional.avg_pool2d(image, 2)]


class Given:
    """A metric, and what an evaluation shows it."""

    def __init__(self, given: type[Metric] | Make) -> None:
        """`given`: a class, with its default settings; or a function of the attributes and the judge's features."""
        self.make: Make = maker(given, "attributes", "judge")
        metric = self.new()
        self.component, self.config = type(metric), metric.config

    def new(self) -> Metric:
        return self.make(ATTRIBUTES, Seeing(Seeing.Config()))

    def shown(self, *, truth: bool = True, parts: int = 1, turned: bool = False) -> Metric:
        """One that has seen everything: twelve pictures in each of three edits, each cut into `parts` batches."""
        metric = self.new()
        real = sample_components.pictures(12, SIZE)
        known = [_known(n) for n in range(len(real))]
        for rows in _cut(len(real), parts):
            metric.see(real[rows].clone(), known[rows], real[rows].clone() * 0.9)
        edited = [batch for edit in EDITS for batch in batches(edit, truth=truth, parts=parts)]
        for batch in reversed(edited) if turned else edited:
            metric.update(batch)
        return metric


EDITS: tuple[Mapping[str, Value], ...] = ({"hair": "Blond_Hair"}, {"hair": "Black_Hair"}, {"Eyeglasses": True})


def batches(edit: Mapping[str, Value], *, truth: bool = True, parts: int = 1) -> list[Edited]:
    """Twelve pictures with an edit, in so many batches."""
    real = sample_components.pictures(12, SIZE)
    fake, true = (sample_components.pictures(12, SIZE, seed) for seed in (len(str(edit)), 7))
    before = [_known(n) for n in range(12)]
    judged = [{**each, **(edit if n % 3 else {})} for n, each in enumerate(before)]
    return [
        Edited(
            edit,
            real[rows],
            (fake[rows] + real[rows]) / 2,
            real[rows] * 0.8,
            true[rows] if truth else None,
            before[rows],
            judged[rows],
        )
        for rows in _cut(12, parts)
    ]


METRIC: Suite[Given] = Suite(Given)
common(METRIC)


@METRIC.premise
def figures_have_names(given: Given) -> str | None:
    """`compute` gives finite numbers by names that are texts, at least one.

    They stand in reports and tables as they are.
    """
    figures = given.shown().compute()
    for name, value in figures.items():
        if not isinstance(name, str) or not name or not isinstance(value, int | float) or isinstance(value, bool):
            return f"{name!r}: {value!r}"
        if not isfinite(value):
            return f"{name}: {value}"
    return None if figures else "none"


@METRIC.check
def without_pictures_there_are_no_figures(given: Given) -> str | None:
    """Before it has seen anything, `compute` gives no figures, and no NaN.

    What never had data is missing: 0 would be a figure.
    """
    figures = given.new().compute()
    return f"{dict(figures)}" if figures else None


@METRIC.check
def works_without_truth(given: Given) -> str | None:
    """It takes batches of which the true pictures are not known.

    Most datasets know none. What is of the truth is missing then.
    """
    wrong = [name for name, value in given.shown(truth=False).compute().items() if not isfinite(value)]
    return f"{wrong[0]} is not finite" if wrong else None


@METRIC.check
def is_the_same_twice(given: Given) -> str | None:
    """`compute` asked twice gives the same, and two of them that saw the same give the same.

    Figures are repeated by a command.
    """
    metric = given.shown()
    return _compared(metric.compute(), metric.compute()) or _compared(metric.compute(), given.shown().compute())


@METRIC.check
def batches_make_no_difference(given: Given) -> str | None:
    """The figures are the same however the pictures were cut into batches.

    A batch's size is a matter of memory.
    """
    return _compared(given.shown().compute(), given.shown(parts=4).compute())


@METRIC.check
def order_makes_no_difference(given: Given) -> str | None:
    """The figures are the same in whatever order edits came.

    It is not stated anywhere.
    """
    return _compared(given.shown().compute(), given.shown(turned=True).compute())


@METRIC.check
def computing_does_not_end_it(given: Given) -> str | None:
    """After `compute` it takes in more, and the figures are those of all.

    Figures are shown on the way.
    """
    metric = given.new()
    real = sample_components.pictures(12, SIZE)
    metric.see(real, [_known(n) for n in range(12)], real * 0.9)
    for edit in EDITS:
        for batch in batches(edit, parts=2):
            metric.update(batch)
            metric.compute()
    return _compared(given.shown(parts=2).compute(), metric.compute())


@METRIC.check
def leaves_what_it_is_shown(given: Given) -> str | None:
    """Pictures and what is known of them are after it as they were before.

    Other metrics look at them after it.
    """
    metric = given.new()
    real, known = sample_components.pictures(12, SIZE), [_known(n) for n in range(12)]
    before = deepcopy((real, known))
    metric.see(real, known, real * 0.9)
    if not torch.equal(real, before[0]) or known != before[1]:
        return "they changed in see"
    (batch,) = batches(EDITS[0])
    copied = deepcopy(batch)
    metric.update(batch)
    assert batch.truth is not None and copied.truth is not None
    pairs = [
        (batch.real, copied.real),
        (batch.fake, copied.fake),
        (batch.reconstruction, copied.reconstruction),
        (batch.truth, copied.truth),
    ]
    same = all(torch.equal(one, other) for one, other in pairs)
    return (
        None if same and batch.before == copied.before and batch.judged == copied.judged else "they changed in update"
    )


@METRIC.check
def draws_nothing(given: Given) -> str | None:
    """It moves no global random generator.

    Figures are repeated by a command.
    """
    before = random_state()
    given.shown().compute()
    return None if random_state() == before else "a generator moved"


@METRIC.check
def keeps_no_graph(given: Given) -> str | None:
    """Pictures that have a graph of gradients are taken in without keeping it.

    A graph a batch fills the memory.
    """
    metric = given.new()
    real = sample_components.pictures(12, SIZE)
    metric.see(real, [_known(n) for n in range(12)], real)
    (batch,) = batches(EDITS[0])
    held = replace(batch, fake=batch.fake.clone().requires_grad_() * 1)
    metric.update(held)
    kept = [each for each in _tensors(vars(metric)) if each.requires_grad and each.grad_fn is not None]
    return f"{len(kept)} tensors with a graph" if kept else None


@METRIC.check
def facts_can_be_written(given: Given) -> str | None:
    """`facts` can be written as JSON.

    They stand in the report.
    """
    json.dumps(given.shown().facts())
    return None


def _known(n: int) -> dict[str, Value]:
    return {"hair": sample_components.HAIR.allowed[n % 3], "Eyeglasses": n % 2 == 0}


def _cut(count: int, parts: int) -> list[slice]:
    return [slice(n * count // parts, (n + 1) * count // parts) for n in range(parts)]


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        return [each for value in values.values() for each in _tensors(value)]
    if isinstance(values, list | tuple):
        return [each for value in values for each in _tensors(value)]
    return []


def _compared(one: Mapping[str, float], other: Mapping[str, float]) -> str | None:
    if one.keys() != other.keys():
        return f"{sorted(one.keys() ^ other.keys())[0]} in one of them alone"
    for name, value in one.items():
        if not isclose(value, other[name], rel_tol=1e-4, abs_tol=1e-6):
            return f"{name} {value:.6g} and {other[name]:.6g}"
    return None
