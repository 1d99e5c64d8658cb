"""Checks of a label encoder's domains and of the edits between them."""

from __future__ import annotations

from math import prod

import torch

from mdtranslate.testing.encoders.encoder_case import ENCODER, EncoderCase, expected_fully_known
from mdtranslate.testing.sample_components import all_labels, attribute_combinations


@ENCODER.check
def edits_change_one_attribute(case: EncoderCase) -> str | None:
    """Each of `edits` changes one attribute, neither to the value that the image has nor to "none of these".

    These are the translations that samples and evaluations show.
    """
    for label_encoder in case.label_encoders:
        for dataset, attributes in enumerate(label_encoder.attributes):
            for values in attribute_combinations(attributes):
                for edit in label_encoder.edits(values, dataset):
                    ((name, value),) = edit.items()
                    if name in values and values[name] == value:
                        return f"{edit} for {values}"
                    if value is None:
                        return f"{edit}"
    return None


@ENCODER.check
def edits_are_complete(case: EncoderCase) -> str | None:
    """`edits` contains every value that the image does not have, except "none of these".

    A domain that is never shown cannot be evaluated.
    """
    for label_encoder in case.label_encoders:
        for dataset, attributes in enumerate(label_encoder.attributes):
            for values in attribute_combinations(attributes):
                expected = {
                    (attribute.name, value)
                    for attribute in attributes
                    for value in attribute.allowed_values
                    if value is not None and not (attribute.name in values and values[attribute.name] == value)
                }
                actual = {pair for edit in label_encoder.edits(values, dataset) for pair in edit.items()}
                if missing := expected - actual:
                    return f"{sorted(missing, key=str)[0]} is missing for {values}"
    return None


@ENCODER.check
def edits_change_the_label(case: EncoderCase) -> str | None:
    """The attributes after each edit can be encoded, and their label differs from that before.

    Training draws target labels this way.
    """
    for label_encoder in case.label_encoders:
        for dataset, attributes in enumerate(label_encoder.attributes):
            for values in attribute_combinations(attributes):
                label = label_encoder.encode(values, dataset)
                for edit in label_encoder.edits(values, dataset):
                    if torch.equal(label_encoder.encode({**values, **edit}, dataset), label):
                        return f"{edit} does not change the label of {values}"
    return None


@ENCODER.check
def domains_are_complete(case: EncoderCase) -> str | None:
    """`domains` contains the label of every combination of values once, dataset by dataset.

    Balanced sampling and banks of networks count domains by it.
    """
    for label_encoder in case.label_encoders:
        domains = label_encoder.domains
        expected = [
            prod(len(attribute.allowed_values) for attribute in attributes) for attributes in label_encoder.attributes
        ]
        datasets = label_encoder.dataset_index(domains).tolist()
        if [datasets.count(index) for index in range(len(expected))] != expected or datasets != sorted(datasets):
            return f"{len(domains)} domains of the datasets {datasets}; expected are {expected}"
        if len({tuple(label.tolist()) for label in domains}) < len(domains):
            return "one of them twice"
    return None


@ENCODER.check
def domain_index_is_correct(case: EncoderCase) -> str | None:
    """`domain_index` returns positions in `domains` as int64 (B,), and -1 for labels with unknown attributes.

    Balanced sampling and banks of networks use it.
    """
    for label_encoder in case.label_encoders:
        domains = label_encoder.domains
        indices = label_encoder.domain_index(domains)
        if indices.dtype != torch.int64 or indices.tolist() != list(range(len(domains))):
            return f"{indices.dtype} {indices.tolist()}"
        labels = all_labels(label_encoder)
        expected = expected_fully_known(label_encoder, labels)
        if [index >= 0 for index in label_encoder.domain_index(labels).tolist()] != expected:
            return "-1 for a fully known label, or another index for one that is not"
    return None
