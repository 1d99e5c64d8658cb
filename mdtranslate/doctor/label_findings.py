"""What labels tell by themselves: values that never vary, that are rare, that are missing, that look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from math import prod
from typing import Final

import numpy as np

from mdtranslate.api import Attribute, Split, Value
from mdtranslate.api.dataset import spell
from mdtranslate.data.batches import Batches
from mdtranslate.doctor.findings import Finding, Patient, Rank

FEW: Final = 20
"""Pictures of a value, below which a model cannot learn it."""
RARE: Final = 0.01
MANY: Final = 5
MOST_COMBINATIONS: Final = 4096
DRAWN: Final = 200  # Batches of which the targets are counted.
SAME_TARGETS: Final = 0.9
ENOUGH: Final = 50  # Draws without which a share says nothing.

ONE_HOLDS: Final = 0.8  # Share of the images in which one of several yes/no attributes holds that are one attribute.

Counts = dict[str, dict[Split, int]]


def values(patient: Patient) -> Counts:
    """Pictures by value of each labelled attribute (`hair=Blond_Hair`), and by split; unknown ones too."""
    found: Counts = {}
    labels = patient.labels
    for attribute in patient.source.attributes:
        for value in attribute.allowed:
            found[f"{attribute.name}={spell(value)}"] = {
                split: sum(attribute.name in each and each[attribute.name] == value for each in own)
                for split, own in labels.items()
            }
        unknown = {split: sum(attribute.name not in each for each in own) for split, own in labels.items()}
        if any(unknown.values()):
            found[f"{attribute.name} unknown"] = unknown
    return found


def domains(patient: Patient) -> Counts:
    """Pictures by combination of all labelled attributes, those that occur, the commonest in train first."""
    counts = {split: Counter(map(_combination, own)) for split, own in patient.labels.items()}
    names = sorted({name for own in counts.values() for name in own}, key=lambda name: -counts[Split.TRAIN][name])
    return {name: {split: own[name] for split, own in counts.items()} for name in names}


def examine(patient: Patient, targets: str) -> Iterator[Finding]:
    """Findings about the labels of one dataset; `targets` is the recipe's `data.targets`."""
    yield from _values(patient)
    yield from _combinations(patient, targets)
    yield from _exclusive(patient)
    yield from _alike(f"{patient.name}: the attributes", [each.name for each in patient.source.dataset.attributes])
    for attribute in patient.source.attributes:
        yield from _alike(f"{patient.name}: the values of {attribute.name}", attribute.values)


def _exclusive(patient: Patient) -> Iterator[Finding]:
    """Yes/no attributes of which never two hold, and nearly always one: values of one attribute, in columns."""
    names = [each.name for each in patient.source.attributes if not each.values]
    labels = patient.labels[Split.TRAIN]
    holds = np.array([[each.get(name) is True for name in names] for each in labels], np.int64).reshape(
        len(labels), len(names)
    )
    known = np.array([[name in each for name in names] for each in labels], np.int64).reshape(len(labels), len(names))
    together, counts, both_known = holds.T @ holds, holds.sum(0), known.T @ known
    left = [place for place in np.argsort(-counts, kind="stable").tolist() if counts[place] >= FEW]
    while left:
        group = [left.pop(0)]
        for place in list(left):
            if not together[place, group].any() and (both_known[place, group] >= FEW).all():
                group.append(place)
                left.remove(place)
        whole = known[:, group].all(1)
        if len(group) > 1 and whole.sum() >= FEW and holds[whole][:, group].sum() >= ONE_HOLDS * whole.sum():
            members = [names[place] for place in sorted(group)]
            listed = ", ".join(f'"{name}"' for name in members)
            has_setting = "exclusive" in type(patient.source.dataset.config).model_fields
            yield Finding(
                "one-hot-columns",
                Rank.TROUBLE,
                f"{patient.name}: never two of {', '.join(members)} hold, so a target with two of them shows nothing "
                "that exists",
                f"datasets.{patient.name}.exclusive={{NAME=[{listed}]}} makes them values of one attribute"
                if has_setting
                else "one attribute with these values",
            )


def examine_names(patients: Sequence[Patient]) -> Iterator[Finding]:
    """Findings about what several datasets call the same, or nearly."""
    for one, other in combinations(patients, 2):
        for mine, theirs in product(one.source.attributes, other.source.attributes):
            if mine.name == theirs.name:
                yield _twice(one, other, mine, theirs)
            elif _plain(mine.name) == _plain(theirs.name):
                yield Finding(
                    "similar-names",
                    Rank.TROUBLE,
                    f"{one.name} has {mine.name} and {other.name} has {theirs.name}: the same, spelt differently?",
                    "give both the same name where they mean the same",
                )


def examine_targets(batches: Batches, names: Sequence[str]) -> Iterator[Finding]:
    """How often a drawn target equals its source, by dataset: such a picture teaches no edit."""
    same, total = Counter[int](), Counter[int]()
    for step in range(DRAWN):
        source, target = batches.labels_of(step)
        numbers = batches.encoder.dataset(source).tolist()
        total.update(numbers)
        same.update(n for n, equal in zip(numbers, (source == target).all(1).tolist(), strict=True) if equal)
    for number, name in enumerate(names):
        if total[number] < ENOUGH:
            what = f"{name}: is drawn {total[number]} times in {DRAWN} batches"
            yield Finding(
                "rarely-drawn", Rank.TROUBLE, what, "data.balance=dataset draws from every dataset equally often"
            )
            continue
        share = same[number] / total[number]
        rank, cure = Rank.NOTE, "nothing to do; data.targets=other or one-edit never draws the picture's own"
        if share > SAME_TARGETS:
            rank = Rank.IN_VAIN if share == 1 else Rank.TROUBLE
            cure = "data.targets=other or one-edit never draws the picture's own; data.balance=domain draws rare ones"
        yield Finding(
            "target-equals-source",
            rank,
            f"{name}: a drawn target equals its source in {share:.0%} of the pictures",
            cure,
        )


def _values(patient: Patient) -> Iterator[Finding]:
    name, train, test = patient.name, patient.labels[Split.TRAIN], patient.labels[Split.TEST]
    stuck = []
    for attribute in patient.source.attributes:
        known = [each[attribute.name] for each in train if attribute.name in each]
        seen = Counter(known)
        if len(seen) < 2:
            stuck.append(attribute.name)
            only = f"is {spell(known[0])} in every picture" if known else "is known of no picture"
            yield Finding(
                "constant-attribute",
                Rank.TROUBLE,
                f"{name}: {attribute.name} {only} of the train split, so nothing can be learned about it",
                f"leave it out of datasets.{name}.attributes",
            )
            continue
        unknown = 1 - len(known) / len(train)
        if unknown > 0:
            yield Finding(
                "unknown-values",
                Rank.TROUBLE if unknown > 0.9 else Rank.NOTE,
                f"{name}: {attribute.name} is unknown of {unknown:.1%} of the train split",
                "such pictures teach nothing about it; an encoder may tell networks what is known of each, as "
                "mask-vector does with encoder.masks=attribute",
            )
        counts = {value: seen[value] for value in attribute.allowed}
        rare = [value for value, count in counts.items() if _is_rare(count, len(known), len(counts))]
        if len(rare) > MANY:
            yield Finding(
                "many-values",
                Rank.TROUBLE,
                f"{name}: {attribute.name} has {len(counts)} values in {len(known)} pictures, and {len(rare)} are rare",
                "leave it out if it is no attribute (an id, a name), or join values",
            )
            continue
        for value in rare:
            yield Finding(
                "rare-value",
                Rank.TROUBLE,
                f"{name}: {attribute.name}={spell(value)} is true of {counts[value]} of {len(known)} pictures",
                "label more of them, or data.balance=domain" if counts[value] else "leave the value out, or label some",
            )
        tested = {each[attribute.name] for each in test if attribute.name in each}
        if unseen := [spell(value) for value in attribute.allowed if counts[value] and test and value not in tested]:
            yield Finding(
                "value-not-in-test",
                Rank.NOTE,
                f"{name}: {', '.join(f'{attribute.name}={each}' for each in unseen)} never occurs in the test split",
                "edits to it are measured, but not on real pictures",
            )
    if len(stuck) == len(patient.source.attributes):
        yield Finding(
            "nothing-varies",
            Rank.IN_VAIN,
            f"{name}: no attribute varies, so there is nothing to translate",
            "label other attributes",
        )


def _is_rare(count: int, known: int, values: int) -> bool:
    """One in a hundred, or few where an even share would be twice as many."""
    return count < RARE * known or (count < FEW and 2 * count * values < known)


def _combinations(patient: Patient, targets: str) -> Iterator[Finding]:
    attributes = patient.source.attributes
    if len(attributes) < 2 or prod(len(each.allowed) for each in attributes) > MOST_COMBINATIONS:
        return
    if targets == "pairs":  # Its labels know one attribute alone.
        return
    there = set(map(_combination, patient.labels[Split.TRAIN]))
    names = [each.name for each in attributes]
    every = [_combination(dict(zip(names, each, strict=True))) for each in product(*(a.allowed for a in attributes))]
    if missing := [each for each in every if each not in there]:
        drawn = targets != "permute"
        yield Finding(
            "missing-combinations",
            Rank.TROUBLE if drawn else Rank.NOTE,
            f"{patient.name}: {len(missing)} of {len(every)} combinations never occur, such as {missing[0]}",
            f"data.targets={targets} asks for them all the same; permute draws only what occurs"
            if drawn
            else "edits to them are a guess; data.targets=one-edit would train some of them",
        )


def _alike(where: str, names: Sequence[str]) -> Iterator[Finding]:
    for one, other in combinations(names, 2):
        if _plain(one) == _plain(other) and not _numbers(one, other):
            yield Finding(
                "similar-names", Rank.TROUBLE, f"{where} {one!r} and {other!r} look like one", "spell them the same way"
            )


def _twice(one: Patient, other: Patient, mine: Attribute, theirs: Attribute) -> Finding:
    if mine.values != theirs.values:
        return Finding(
            "different-values",
            Rank.NOTE,
            f"{mine.name} has other values in {one.name} ({_listed(mine)}) than in {other.name} ({_listed(theirs)})",
            "nothing to do if that is meant: they stay apart",
        )
    return Finding(
        "shared-attribute",
        Rank.NOTE,
        f"{one.name} and {other.name} both label {mine.name}",
        "they are learned apart, unless the encoder is told to share them",
    )


def _listed(attribute: Attribute) -> str:
    return ", ".join(map(spell, attribute.allowed))


def _numbers(*names: str) -> bool:
    """Whether all of them are numbers: what sets those apart, signs and points, is left out by `_plain`."""
    try:
        return len({float(name) for name in names}) == len(names)
    except ValueError:
        return False


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _combination(labels: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={spell(value)}" for name, value in labels.items()) or "nothing known"
