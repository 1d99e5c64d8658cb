"""Checks of labels: attributes that are encoded and decoded again are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.testing.encoders.encoder_case import ENCODER, EncoderCase, expected_fully_known, random_logits
from mdtranslate.testing.sample_components import (
    GLASSES,
    HAIR,
    MOOD,
    ONE_DATASET,
    all_labels,
    attribute_combinations,
)
from mdtranslate.testing.side_effects import random_state


@ENCODER.prerequisite
def sizes_are_positive_integers(case: EncoderCase) -> str | None:
    """`condition_size` and `num_logits` are integers above 0.

    Networks are built with them.
    """
    for label_encoder in case.label_encoders:
        sizes = label_encoder.condition_size, label_encoder.num_logits
        if not all(type(size) is int and size > 0 for size in sizes):
            return f"condition_size {sizes[0]!r}, num_logits {sizes[1]!r}"
    return None


@ENCODER.check
def channel_names_are_complete(case: EncoderCase) -> str | None:
    """`channel_names` has a distinct string for each channel of a condition.

    They document the channels in the files of a translator.
    """
    for label_encoder in case.label_encoders:
        names = list(label_encoder.channel_names)
        are_strings = all(isinstance(name, str) for name in names)
        if len(names) != label_encoder.condition_size or len({*names}) < len(names) or not are_strings:
            return f"{names} for {label_encoder.condition_size} channels"
    return None


@ENCODER.prerequisite
def labels_are_vectors(case: EncoderCase) -> str | None:
    """`encode` returns float32 (L,), with the same L for any attributes and any dataset.

    The labels of a batch are stacked.
    """
    for label_encoder in case.label_encoders:
        labels = [
            label_encoder.encode(values, dataset)
            for dataset, attributes in enumerate(label_encoder.attributes)
            for values in attribute_combinations(attributes)
        ]
        formats = {(label.dtype, tuple(label.shape)) for label in labels}
        dtype, shape = next(iter(formats))
        if len(formats) > 1 or dtype != torch.float32 or len(shape) != 1:
            return f"{sorted(map(str, formats))}"
    return None


@ENCODER.check
def decodes_yes_and_no(case: EncoderCase) -> str | None:
    """`decode` returns the encoded True or False of a yes/no attribute.

    Labels must be lossless: images are translated back to their source label.
    """
    return _compare_decoded(case.for_attribute(GLASSES), [{GLASSES.name: True}, {GLASSES.name: False}])


@ENCODER.check
def decodes_named_values(case: EncoderCase) -> str | None:
    """`decode` returns the encoded value of an attribute with named values.

    Labels must be lossless: images are translated back to their source label.
    """
    return _compare_decoded(case.for_attribute(MOOD), [{MOOD.name: value} for value in MOOD.values])


@ENCODER.check
def decodes_none_of_these(case: EncoderCase) -> str | None:
    """`decode` returns the encoded None ("none of these") of an optional attribute, rather than leaving it out.

    None of these is a known value: a bald head has none of the hair colours.
    """
    return _compare_decoded(case.for_attribute(HAIR), [{HAIR.name: None}])


@ENCODER.check
def decodes_unknown(case: EncoderCase) -> str | None:
    """`decode` leaves out unknown attributes, rather than returning False or None.

    The attributes of other datasets are unknown, and must not be learned as absent.
    """
    for attribute in (GLASSES, HAIR, MOOD):
        if difference := _compare_decoded(case.for_attribute(attribute), [{}]):
            return difference
    return None


@ENCODER.check
def decodes_combinations(case: EncoderCase) -> str | None:
    """`decode` returns every combination of known and unknown attributes that was encoded, for each dataset.

    One vector holds the values of several attributes and datasets.
    """
    for label_encoder in case.label_encoders:
        for dataset, attributes in enumerate(label_encoder.attributes):
            if difference := _compare_decoded(label_encoder, attribute_combinations(attributes), dataset):
                return difference
    return None


@ENCODER.check
def dataset_index_is_correct(case: EncoderCase) -> str | None:
    """`dataset_index` returns the index of each label's dataset: int64 (B,).

    It must work even if all attributes of an image are unknown.
    """
    for label_encoder in case.label_encoders:
        expected = [
            dataset
            for dataset, attributes in enumerate(label_encoder.attributes)
            for _ in attribute_combinations(attributes)
        ]
        indices = label_encoder.dataset_index(all_labels(label_encoder))
        if indices.dtype != torch.int64 or indices.tolist() != expected:
            return f"{indices.dtype} {indices.tolist()}; expected is {expected}"
    return None


@ENCODER.check
def rejects_unknown_attributes(case: EncoderCase) -> str | None:
    """`encode` raises `ValueError` for an attribute that the dataset does not label, and names it.

    Otherwise an attribute with a misspelt name would be unknown.
    """
    return _check_error(case.for_one_dataset, {"no_such_attribute": True}, "no_such_attribute")


@ENCODER.check
def rejects_unknown_values(case: EncoderCase) -> str | None:
    """`encode` raises `ValueError` for a value that the attribute cannot have, and names it.

    Otherwise a misspelt value would become another one. `Attribute.index` raises this error.
    """
    return _check_error(case.for_one_dataset, {HAIR.name: "no_such_value"}, "no_such_value")


@ENCODER.check
def is_fully_known_is_correct(case: EncoderCase) -> str | None:
    """`is_fully_known` returns whether every attribute of the label's dataset is known: bool (B,).

    Translation infers the attributes of all other images.
    """
    for label_encoder in case.label_encoders:
        labels = all_labels(label_encoder)
        are_known = label_encoder.is_fully_known(labels)
        if are_known.dtype != torch.bool or are_known.tolist() != expected_fully_known(label_encoder, labels):
            return f"{are_known.dtype} {are_known.tolist()}"
    return None


@ENCODER.check
def is_deterministic(case: EncoderCase) -> str | None:
    """Another instance with the same settings gives the same labels, conditions and losses.

    A translator builds its own instance, in another process.
    """
    first, second = case.build(ONE_DATASET), case.build(ONE_DATASET)
    labels = all_labels(first)
    logits = random_logits(len(labels), first.num_logits)
    if not torch.equal(labels, all_labels(second)):
        return "different labels"
    if not torch.equal(first.condition(labels), second.condition(labels)):
        return "different conditions"
    return None if torch.equal(first.loss(logits, labels), second.loss(logits, labels)) else "different losses"


@ENCODER.check
def draws_no_random_numbers(case: EncoderCase) -> str | None:
    """No method changes the state of the global random generators.

    A run seeds them; all random numbers after it would change.
    """
    before = random_state()
    label_encoder = case.build(ONE_DATASET)
    labels = all_labels(label_encoder)
    logits = random_logits(len(labels), label_encoder.num_logits)
    label_encoder.infer(logits, labels)
    domains = label_encoder.domains
    label_encoder.loss(logits, domains[label_encoder.domain_index(domains)][:1].repeat(len(labels), 1))
    label_encoder.condition(labels)
    return None if random_state() == before else "the state of random, numpy.random or torch changed"


def _compare_decoded(
    label_encoder: LabelEncoder, combinations: Sequence[Mapping[str, Value]], dataset: int = 0
) -> str | None:
    for values in combinations:
        decoded: Any = label_encoder.decode(label_encoder.encode(values, dataset))
        if decoded != values or any(type(decoded[name]) is not type(value) for name, value in values.items()):
            return f"{values} was decoded as {decoded}"
    return None


def _check_error(label_encoder: LabelEncoder, values: Mapping[str, Value], text: str) -> str | None:
    try:
        label = label_encoder.encode(values, 0)
    except ValueError as error:
        return None if text in str(error) else f"a message without the name: {error}"
    return f"no error; the label is {label.tolist()}"
