"""For each check of metrics, one that breaks it."""

from __future__ import annotations

import random
from types import SimpleNamespace

import torch
from bad_settings import COMMON, variants

from mdtranslate import Metric, Settings


class Good(Metric):
    """Mean absolute change of pictures, and their mean distance from the true ones where those are known."""

    name = "good"

    class Config(Settings):
        """It has none."""

    def __init__(self, config, *, attributes, judge):
        super().__init__(config, attributes=attributes, judge=judge)
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


variant = variants(Good)


def computing(change):
    return variant(compute=lambda self: change(self, Good.compute(self)))


def updating(change):
    def update(self, batch):
        change(self, batch)
        Good.update(self, batch)

    return variant(update=update)


def _of_batches(self, batch):
    self.sums["mean of batches"] = self.sums.get("mean of batches", 0.0) + float(batch.fake.max())
    self.counts["mean of batches"] = self.counts.get("mean of batches", 0) + 1


def _the_first(self, batch):
    self.sums.setdefault("first", float(batch.fake.mean()))
    self.counts["first"] = 1


def _once(self, figures):
    self.sums.clear()
    return figures


def _ends(self, figures):
    if not hasattr(self, "ended"):
        self.ended = figures
    return self.ended


def _marks(self, batch):
    batch.real.mul_(0.5)


def _draws(self, batch):
    random.random()


def _keeps(self, batch):
    self.__dict__.setdefault("kept", []).append(batch.fake)


BAD = {
    **{name: SimpleNamespace(cls=cls, config=config) for name, (cls, config) in COMMON(Good, variant).items()},
    "figures_have_names": computing(lambda self, figures: {**figures, "right": True}),
    "without_pictures_there_are_no_figures": computing(lambda self, figures: {"change": 0.0, **figures}),
    "works_without_truth": variant(update=lambda self, batch: self.add("distance", batch.fake - batch.truth)),
    "is_the_same_twice": computing(_once),
    "batches_make_no_difference": updating(_of_batches),
    "order_makes_no_difference": updating(_the_first),
    "computing_does_not_end_it": computing(_ends),
    "leaves_what_it_is_shown": updating(_marks),
    "draws_nothing": updating(_draws),
    "keeps_no_graph": updating(_keeps),
    "facts_can_be_written": variant(facts=lambda self: {"network": torch.zeros(1)}),
}
