"""Findings about labels: constant, rare or missing values, and how often sampled targets equal their sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Final

import numpy as np

from mdtranslate.api import Split, Value, format_value
from mdtranslate.data.batches import Batches
from mdtranslate.doctor.findings import Finding, InspectedDataset, Rank

MIN_IMAGES: Final = 20  # Images with a value that learning it takes at least.
MIN_SHARE: Final = 0.01  # A value with a smaller share is rare.
MAX_RARE_VALUES: Final = 5  # If more values are rare, they are reported together.
MAX_COMBINATIONS: Final = 4096
SAMPLED_BATCHES: Final = 200  # Batches whose targets are counted.
MAX_SAME_TARGETS: Final = 0.9
MIN_SAMPLES: Final = 50  # Samples that a share of same targets needs at least.
MIN_ONE_HOT: Final = 0.8  # Several yes/no attributes are one, if one of them holds in this share of images.

Counts = dict[str, dict[Split, int]]


def count_values(inspected: InspectedDataset) -> Counts:
    """Counts images by value of each labelled attribute (`hair=Blond_Hair`, `hair unknown`) and by split."""
    counts: Counts = {}
    for attribute in inspected.dataset.attributes:
        name = attribute.name
        for value in attribute.allowed_values:
            counts[f"{name}={format_value(value)}"] = {
                split: sum(name in label and label[name] == value for label in labels)
                for split, labels in inspected.labels.items()
            }
        unknown = {split: sum(name not in label for label in labels) for split, labels in inspected.labels.items()}
        if any(unknown.values()):
            counts[f"{name} unknown"] = unknown
    return counts


def count_domains(inspected: InspectedDataset) -> Counts:
    """Counts images by combination of values and by split, the most frequent in the train split first."""
    counts = {split: Counter(map(_describe, labels)) for split, labels in inspected.labels.items()}
    domains = {domain for by_domain in counts.values() for domain in by_domain}
    ranked = sorted(sorted(domains), key=lambda domain: -counts[Split.TRAIN][domain])
    return {domain: {split: by_domain[domain] for split, by_domain in counts.items()} for domain in ranked}


def inspect_labels(inspected: InspectedDataset, targets: str) -> Iterator[Finding]:
    """Yields findings about the labels of one dataset.

    Args:
        inspected: The dataset.
        targets: The recipe's setting `data.targets`.
    """
    yield from _values(inspected)
    yield from _missing_combinations(inspected, targets)
    yield from _one_hot_attributes(inspected)


def inspect_targets(batches: Batches, names: Sequence[str]) -> Iterator[Finding]:
    """Yields findings about how often a sampled target equals its source, from which no edit is learned.

    Args:
        batches: The batches of the run.
        names: Names of the datasets.
    """
    same, total = Counter[int](), Counter[int]()
    for step in range(SAMPLED_BATCHES):
        source, target = batches.labels_at(step)
        indices = batches.label_encoder.dataset_index(source).tolist()
        total.update(indices)
        same.update(index for index, equal in zip(indices, (source == target).all(1).tolist(), strict=True) if equal)
    for index, name in enumerate(names):
        if total[index] < MIN_SAMPLES:
            yield Finding(
                "rarely-drawn",
                Rank.WARNING,
                f"{name}: is sampled {total[index]} times in {SAMPLED_BATCHES} batches",
                "data.balance=dataset samples all datasets equally often",
            )
            continue
        share = same[index] / total[index]
        rank, remedy = (
            Rank.INFO,
            "nothing to do; data.targets=other-domain or one-edit never gives the source as target",
        )
        if share > MAX_SAME_TARGETS:
            rank = Rank.ERROR if share == 1 else Rank.WARNING
            remedy = (
                "data.targets=other-domain or one-edit never gives the source as target; data.balance=domain samples "
                "rare domains as often as others"
            )
        yield Finding(
            "target-equals-source",
            rank,
            f"{name}: the sampled target equals the source for {share:.0%} of the images",
            remedy,
        )


def _values(inspected: InspectedDataset) -> Iterator[Finding]:
    name, train, test = inspected.name, inspected.labels[Split.TRAIN], inspected.labels[Split.TEST]
    constant = []
    for attribute in inspected.dataset.attributes:
        known = [label[attribute.name] for label in train if attribute.name in label]
        counts = Counter(known)
        if len(counts) < 2:
            constant.append(attribute.name)
            state = f"is {format_value(known[0])} for all images" if known else "is unknown for all images"
            yield Finding(
                "constant-attribute",
                Rank.WARNING,
                f"{name}: {attribute.name} {state} of the train split, so nothing can be learned about it",
                f"leave it out of datasets.{name}.attributes",
            )
            continue
        unknown = 1 - len(known) / len(train)
        if unknown > 0:
            yield Finding(
                "unknown-values",
                Rank.WARNING if unknown > 0.9 else Rank.INFO,
                f"{name}: {attribute.name} is unknown for {unknown:.1%} of the train split",
                "such images teach nothing about it; some label encoders tell networks which attributes are known, "
                "such as mask-vector with label_encoder.masks=attribute",
            )
        by_value = {value: counts[value] for value in attribute.allowed_values}
        rare = [value for value, count in by_value.items() if _is_rare(count, len(known), len(by_value))]
        if len(rare) > MAX_RARE_VALUES:
            yield Finding(
                "many-values",
                Rank.WARNING,
                f"{name}: {attribute.name} has {len(by_value)} values in {len(known)} images, {len(rare)} of them rare",
                "leave it out if it is an id or a name, otherwise merge values",
            )
            continue
        for value in rare:
            yield Finding(
                "rare-value",
                Rank.WARNING,
                f"{name}: {attribute.name}={format_value(value)} holds for {by_value[value]} of {len(known)} images",
                "label more of them, or set data.balance=domain"
                if by_value[value]
                else "label some, or leave the value out",
            )
        tested = {label[attribute.name] for label in test if attribute.name in label}
        untested = [
            f"{attribute.name}={format_value(value)}"
            for value in attribute.allowed_values
            if by_value[value] and test and value not in tested
        ]
        if untested:
            yield Finding(
                "value-not-in-test",
                Rank.INFO,
                f"{name}: {', '.join(untested)} never occurs in the test split",
                "edits to it are evaluated, but the classifier's accuracy on it is unknown",
            )
    if len(constant) == len(inspected.dataset.attributes):
        yield Finding(
            "nothing-varies",
            Rank.ERROR,
            f"{name}: no attribute varies, so there is nothing to translate",
            "label other attributes",
        )


def _is_rare(count: int, known: int, num_values: int) -> bool:
    """Whether a value holds for less than 1 % of images, or for few and less than half as many as the average."""
    return count < MIN_SHARE * known or (count < MIN_IMAGES and 2 * count * num_values < known)


def _missing_combinations(inspected: InspectedDataset, targets: str) -> Iterator[Finding]:
    attributes = inspected.dataset.attributes
    if targets == "domain-pairs":  # Its targets change one attribute, all others are unknown.
        return
    if len(attributes) < 2 or prod(len(attribute.allowed_values) for attribute in attributes) > MAX_COMBINATIONS:
        return
    existing = set(map(_describe, inspected.labels[Split.TRAIN]))
    names = [attribute.name for attribute in attributes]
    possible = [
        _describe(dict(zip(names, values, strict=True)))
        for values in product(*(attribute.allowed_values for attribute in attributes))
    ]
    if missing := [combination for combination in possible if combination not in existing]:
        is_sampled = targets != "permute"
        yield Finding(
            "missing-combinations",
            Rank.WARNING if is_sampled else Rank.INFO,
            f"{inspected.name}: {len(missing)} of {len(possible)} combinations never occur, such as {missing[0]}",
            f"data.targets={targets} samples them all the same; permute samples only what occurs"
            if is_sampled
            else "edits to them are not trained; data.targets=one-edit trains some of them",
        )


def _one_hot_attributes(inspected: InspectedDataset) -> Iterator[Finding]:
    """Yields groups of yes/no attributes of which at most one, and mostly exactly one, holds."""
    names = [attribute.name for attribute in inspected.dataset.attributes if not attribute.values]
    labels = inspected.labels[Split.TRAIN]
    shape = len(labels), len(names)
    holds = np.array([[label.get(name) is True for name in names] for label in labels], np.int64).reshape(shape)
    known = np.array([[name in label for name in names] for label in labels], np.int64).reshape(shape)
    both_hold, counts, both_known = holds.T @ holds, holds.sum(0), known.T @ known
    remaining = [column for column in np.argsort(-counts, kind="stable").tolist() if counts[column] >= MIN_IMAGES]
    while remaining:
        group = [remaining.pop(0)]
        for column in list(remaining):
            if not both_hold[column, group].any() and (both_known[column, group] >= MIN_IMAGES).all():
                group.append(column)
                remaining.remove(column)
        all_known = known[:, group].all(1)
        num_known, num_holding = all_known.sum(), holds[all_known][:, group].sum()
        if len(group) > 1 and num_known >= MIN_IMAGES and num_holding >= MIN_ONE_HOT * num_known:
            members = [names[column] for column in sorted(group)]
            listed = ", ".join(f'"{name}"' for name in members)
            has_setting = "exclusive" in type(inspected.dataset.dataset.config).model_fields
            yield Finding(
                "one-hot-columns",
                Rank.WARNING,
                f"{inspected.name}: at most one of {', '.join(members)} holds, but targets may ask for several",
                f"set datasets.{inspected.name}.exclusive={{NAME=[{listed}]}} to make them values of one attribute"
                if has_setting
                else "make them values of one attribute",
            )


def _describe(label: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={format_value(value)}" for name, value in label.items()) or "nothing known"
