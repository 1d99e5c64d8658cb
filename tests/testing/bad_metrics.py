"""For each check of metrics, one that breaks it."""

from __future__ import annotations

import random

import torch
from bad_settings import break_common_checks, subclass_factory

from mdtranslate import Metric, Settings


class Good(Metric):
    """Mean absolute change of images, and their mean distance from ground truth."""

    name = "good"

    class Config(Settings):
        """No settings."""

    def __init__(self, config, *, attributes, classifier_features):
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        self.sums, self.counts = {}, {}

    def update(self, batch):
        self.add("change", (batch.fake - batch.real).detach())
        if batch.truth is not None:
            self.add("distance", (batch.fake - batch.truth).detach())

    def add(self, name, difference):
        self.sums[name] = self.sums.get(name, 0.0) + float(difference.abs().mean((1, 2, 3)).double().sum())
        self.counts[name] = self.counts.get(name, 0) + len(difference)

    def compute(self):
        return {name: total / self.counts[name] for name, total in self.sums.items()}


variant = subclass_factory(Good)


def compute(change):
    """Changes the figures."""
    return variant(compute=lambda self: change(self, Good.compute(self)))


def update(change):
    """Does something else before a batch is added."""

    def changed_update(self, batch):
        change(self, batch)
        Good.update(self, batch)

    return variant(update=changed_update)


def _average_batches(self, batch):
    self.sums["mean of batches"] = self.sums.get("mean of batches", 0.0) + float(batch.fake.max())
    self.counts["mean of batches"] = self.counts.get("mean of batches", 0) + 1


def _keep_first(self, batch):
    self.sums.setdefault("first", float(batch.fake.mean()))
    self.counts["first"] = 1


def _clear(self, figures):
    self.sums.clear()
    return figures


def _freeze(self, figures):
    if not hasattr(self, "figures"):
        self.figures = figures
    return self.figures


def _modify_images(self, batch):
    batch.real.mul_(0.5)


def _draw(self, batch):
    random.random()


def _keep_images(self, batch):
    self.__dict__.setdefault("images", []).append(batch.fake)


BAD = {
    **break_common_checks(Good, variant),
    "figures_are_named_numbers": compute(lambda self, figures: {**figures, "right": True}),
    "figures_without_data_are_missing": compute(lambda self, figures: {"change": 0.0, **figures}),
    "works_without_training_images": variant(
        update_reference=lambda self, real, known, labelled: self.__dict__.setdefault("references", real.mean()),
        compute=lambda self: {**Good.compute(self), "far": float(getattr(self, "references", float("nan")))},
    ),
    "works_without_truth": variant(update=lambda self, batch: self.add("distance", batch.fake - batch.truth)),
    "is_deterministic": compute(_clear),
    "batch_size_does_not_matter": update(_average_batches),
    "order_does_not_matter": update(_keep_first),
    "accumulates_after_compute": compute(_freeze),
    "does_not_modify_its_input": update(_modify_images),
    "draws_no_random_numbers": update(_draw),
    "keeps_no_autograd_graph": update(_keep_images),
    "metadata_is_json": variant(metadata=lambda self: {"network": torch.zeros(1)}),
}
