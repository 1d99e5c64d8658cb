"""Checks of the contract of metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import isclose, isfinite
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from mdtranslate.api import Attribute, EditBatch, Features, Metric, Value
from mdtranslate.testing.checks import Suite
from mdtranslate.testing.component_checks import add_common_checks, as_builder
from mdtranslate.testing.sample_components import GLASSES, HAIR, random_images
from mdtranslate.testing.side_effects import random_state

MetricBuilder = Callable[[Sequence[Attribute], Features], Metric]
COUNT, SIZE = 12, 16
ATTRIBUTES = (HAIR, GLASSES)
LABELLED = ("hair",)
EDITS: tuple[Mapping[str, Value], ...] = ({"hair": "Blond_Hair"}, {"hair": "Black_Hair"}, {"Eyeglasses": True})


class AverageColours(Features):
    """Features without weights: the average colours of the four quarters of an image."""

    name = "check-features"
    display_name = "check"
    fingerprint = "check"

    def forward(self, image: Tensor) -> Tensor:
        return adaptive_avg_pool2d(image, 2).flatten(1)

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image, avg_pool2d(image, 2)]


class MetricCase:
    """A metric, with the data of an evaluation.

    Attributes:
        build: Builds the metric for attributes and the features of the attribute classifier.
        component: Its class.
        config: Its settings.
    """

    def __init__(self, component: type[Metric] | MetricBuilder) -> None:
        """Initialises the case.

        Args:
            component: The class, built with default settings, or a function that builds a metric for attributes and
                the features of the attribute classifier.
        """
        self.build: MetricBuilder = as_builder(component, "attributes", "classifier_features")
        metric = self.new_instance()
        self.component, self.config = type(metric), metric.config

    def new_instance(self) -> Metric:
        """Builds another metric without data."""
        return self.build(ATTRIBUTES, AverageColours(AverageColours.Config()))

    def with_data(self, *, truth: bool = True, batches: int = 1, reverse: bool = False) -> Metric:
        """Builds a metric that has seen twelve training images, and twelve test images and three edits of each.

        Args:
            truth: Whether there is ground truth.
            batches: Number of batches into which the images of each edit are split.
            reverse: Whether the edited batches come in reverse order.
        """
        metric = self.new_instance()
        real, known = random_images(COUNT, SIZE), known_attributes()
        for rows in _split(batches):
            metric.update_reference(training_images()[rows], known[rows], LABELLED)
        for rows in _split(batches):
            metric.update_real(real[rows].clone(), known[rows], real[rows].clone() * 0.9)
        edited = [batch for edit in EDITS for batch in edit_batches(edit, truth=truth, batches=batches)]
        for batch in reversed(edited) if reverse else edited:
            metric.update(batch)
        return metric


def edit_batches(edit: Mapping[str, Value], *, truth: bool = True, batches: int = 1) -> list[EditBatch]:
    """Returns twelve images with an edit in several batches, with ground truth or without."""
    real, known = random_images(COUNT, SIZE), known_attributes()
    fake, truth_images = (random_images(COUNT, SIZE, seed) for seed in (len(str(edit)), 7))
    predicted = [{**values, **(edit if index % 3 else {})} for index, values in enumerate(known)]
    return [
        EditBatch(
            edit,
            real[rows],
            (fake[rows] + real[rows]) / 2,
            real[rows] * 0.8,
            truth_images[rows] if truth else None,
            known[rows],
            predicted[rows],
        )
        for rows in _split(batches)
    ]


def training_images() -> Tensor:
    """Returns twelve other images, with the same attributes."""
    return random_images(COUNT, SIZE, 11)


def known_attributes() -> list[dict[str, Value]]:
    """Returns what is known about each of the twelve images."""
    return [{"hair": HAIR.allowed_values[index % 3], "Eyeglasses": index % 2 == 0} for index in range(COUNT)]


def _split(parts: int) -> list[slice]:
    return [slice(part * COUNT // parts, (part + 1) * COUNT // parts) for part in range(parts)]


METRIC: Suite[MetricCase] = Suite(MetricCase)
add_common_checks(METRIC)


@METRIC.prerequisite
def figures_are_named_numbers(case: MetricCase) -> str | None:
    """`compute` returns at least one figure; names are strings, and figures are finite numbers.

    Reports and tables show them without any change.
    """
    figures = case.with_data().compute()
    for name, value in figures.items():
        if not isinstance(name, str) or not name or not isinstance(value, int | float) or isinstance(value, bool):
            return f"{name!r}: {value!r}"
        if not isfinite(value):
            return f"{name}: {value}"
    return None if figures else "none"


@METRIC.check
def figures_without_data_are_missing(case: MetricCase) -> str | None:
    """Before there is any data, `compute` returns no figures.

    0 would look like a measurement, and NaN cannot be averaged.
    """
    figures = case.new_instance().compute()
    return f"{dict(figures)}" if figures else None


@METRIC.check
def works_without_training_images(case: MetricCase) -> str | None:
    """Without training images, figures that need them are missing.

    A metric that overrides `update_reference` may be computed by other programs, too.
    """
    metric = case.new_instance()
    real = random_images(COUNT, SIZE)
    metric.update_real(real, known_attributes(), real * 0.9)
    for edit in EDITS:
        for batch in edit_batches(edit):
            metric.update(batch)
    invalid = [name for name, value in metric.compute().items() if not isfinite(value)]
    return f"{invalid[0]} is not finite" if invalid else None


@METRIC.check
def works_without_truth(case: MetricCase) -> str | None:
    """It accepts batches without ground truth.

    Most datasets have none; figures that need it are then missing.
    """
    invalid = [name for name, value in case.with_data(truth=False).compute().items() if not isfinite(value)]
    return f"{invalid[0]} is not finite" if invalid else None


@METRIC.check
def is_deterministic(case: MetricCase) -> str | None:
    """`compute` returns the same figures when it is called again, and so does another instance with the same data.

    An evaluation can be repeated.
    """
    metric = case.with_data()
    return _compare(metric.compute(), metric.compute()) or _compare(metric.compute(), case.with_data().compute())


@METRIC.check
def batch_size_does_not_matter(case: MetricCase) -> str | None:
    """Figures do not depend on how images are split into batches.

    The batch size is chosen by memory alone.
    """
    return _compare(case.with_data().compute(), case.with_data(batches=4).compute())


@METRIC.check
def order_does_not_matter(case: MetricCase) -> str | None:
    """Figures do not depend on the order of edits.

    The order of edits is not specified.
    """
    return _compare(case.with_data().compute(), case.with_data(reverse=True).compute())


@METRIC.check
def accumulates_after_compute(case: MetricCase) -> str | None:
    """After `compute`, it accepts further batches, and later figures include all of them.

    Figures are also shown during an evaluation.
    """
    metric = case.new_instance()
    real = random_images(COUNT, SIZE)
    metric.update_reference(training_images(), known_attributes(), LABELLED)
    metric.update_real(real, known_attributes(), real * 0.9)
    for edit in EDITS:
        for batch in edit_batches(edit, batches=2):
            metric.update(batch)
            metric.compute()
    return _compare(case.with_data(batches=2).compute(), metric.compute())


@METRIC.check
def does_not_modify_its_input(case: MetricCase) -> str | None:
    """`update`, `update_real` and `update_reference` do not modify images or attributes.

    Other metrics use them afterwards.
    """
    metric = case.new_instance()
    real, known = random_images(COUNT, SIZE), known_attributes()
    real_before = real.clone()
    metric.update_reference(real, known, LABELLED)
    if not torch.equal(real, real_before) or known != known_attributes():
        return "they were modified by update_reference"
    metric.update_real(real, known, real * 0.9)
    if not torch.equal(real, real_before) or known != known_attributes():
        return "they were modified by update_real"
    (batch,) = edit_batches(EDITS[0])
    before = deepcopy(batch)
    metric.update(batch)
    is_equal = all(map(torch.equal, _tensors(vars(batch)), _tensors(vars(before)))) and (
        batch.source_attributes == before.source_attributes
        and batch.predicted_attributes == before.predicted_attributes
    )
    return None if is_equal else "they were modified by update"


@METRIC.check
def draws_no_random_numbers(case: MetricCase) -> str | None:
    """It does not change the state of the global random generators.

    An evaluation can be repeated.
    """
    before = random_state()
    case.with_data().compute()
    return None if random_state() == before else "the state of random, numpy.random or torch changed"


@METRIC.check
def keeps_no_autograd_graph(case: MetricCase) -> str | None:
    """It does not keep the autograd graph of images.

    A graph for every batch fills the memory.
    """
    metric = case.new_instance()
    real = random_images(COUNT, SIZE)
    metric.update_real(real, known_attributes(), real)
    (batch,) = edit_batches(EDITS[0])
    metric.update(replace(batch, fake=batch.fake.clone().requires_grad_() * 1))
    tensors = [tensor for tensor in _tensors(vars(metric)) if tensor.requires_grad and tensor.grad_fn is not None]
    return f"{len(tensors)} tensors with a graph" if tensors else None


@METRIC.check
def metadata_is_json(case: MetricCase) -> str | None:
    """`metadata` can be written as JSON.

    It is part of the report.
    """
    json.dumps(case.with_data().metadata())
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in nested mappings, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _compare(first: Mapping[str, float], second: Mapping[str, float]) -> str | None:
    if first.keys() != second.keys():
        return f"{sorted(first.keys() ^ second.keys())[0]} is only in one of them"
    for name, value in first.items():
        if not isclose(value, second[name], rel_tol=1e-4, abs_tol=1e-6):
            return f"{name} is {value:.6g} and {second[name]:.6g}"
    return None
