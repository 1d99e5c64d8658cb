"""Findings about names: attributes and values that are spelled differently, and attributes of several datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

from mdtranslate.api import Attribute, format_value
from mdtranslate.doctor.findings import Finding, InspectedDataset, Rank


def inspect_names(inspected: InspectedDataset) -> Iterator[Finding]:
    """Yields findings about similar names of attributes or values in one dataset."""
    names = [attribute.name for attribute in inspected.dataset.dataset.attributes]
    yield from _similar_names(f"{inspected.name}: the attributes", names)
    for attribute in inspected.dataset.attributes:
        yield from _similar_names(f"{inspected.name}: the values of {attribute.name}", attribute.values)


def inspect_shared_names(datasets: Sequence[InspectedDataset]) -> Iterator[Finding]:
    """Yields findings about attributes of different datasets with equal or similar names."""
    for first, second in combinations(datasets, 2):
        for attribute, other in product(first.dataset.attributes, second.dataset.attributes):
            if attribute.name == other.name:
                yield _shared_attribute(first, second, attribute, other)
            elif _normalise_name(attribute.name) == _normalise_name(other.name):
                yield Finding(
                    "similar-names",
                    Rank.WARNING,
                    f"{first.name} has {attribute.name} and {second.name} has {other.name}, possibly the same",
                    "give both the same name if they mean the same",
                )


def _similar_names(where: str, names: Sequence[str]) -> Iterator[Finding]:
    for first, second in combinations(names, 2):
        if _normalise_name(first) == _normalise_name(second) and not _are_distinct_numbers(first, second):
            yield Finding(
                "similar-names",
                Rank.WARNING,
                f"{where} {first!r} and {second!r} are possibly the same",
                "spell them the same way if they are",
            )


def _shared_attribute(
    first: InspectedDataset, second: InspectedDataset, attribute: Attribute, other: Attribute
) -> Finding:
    if attribute.values != other.values:
        return Finding(
            "different-values",
            Rank.INFO,
            f"{attribute.name} has other values in {first.name} ({_list_values(attribute)}) than in {second.name} "
            f"({_list_values(other)})",
            "nothing to do if that is intended: they stay separate attributes",
        )
    return Finding(
        "shared-attribute",
        Rank.INFO,
        f"{first.name} and {second.name} both label {attribute.name}",
        "they are learned separately, unless label_encoder.shared lists them",
    )


def _list_values(attribute: Attribute) -> str:
    return ", ".join(map(format_value, attribute.allowed_values))


def _are_distinct_numbers(*names: str) -> bool:
    """Whether all names are numbers and differ, such as `-1` and `1`, of which `_normalise_name` drops the sign."""
    try:
        return len({float(name) for name in names}) == len(names)
    except ValueError:
        return False


def _normalise_name(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
