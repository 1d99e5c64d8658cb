"""For each check of label encoders, one that breaks it."""

from __future__ import annotations

import random
from itertools import count

import torch
from bad_settings import break_common_checks, subclass_factory

from mdtranslate.config.registry import registry

Good = registry().component("encoder", "mask-vector")

variant = subclass_factory(Good)


def with_attributes(**changes):
    """Sets instance attributes to other values."""

    def __init__(self, *args, **kwargs):
        Good.__init__(self, *args, **kwargs)
        vars(self).update(changes)

    return variant(__init__=__init__)


def condition(change):
    return variant(condition=lambda self, label: change(self, label, Good.condition(self, label)))


def loss(change):
    return variant(loss=lambda self, logits, label: change(self, logits, label, Good.loss(self, logits, label)))


def decode(change):
    return variant(decode=lambda self, label: change(Good.decode(self, label)))


def edits(change):
    return variant(edits=lambda self, values, dataset: change(values, Good.edits(self, values, dataset)))


def infer(change):
    return variant(infer=lambda self, logits, label: change(Good.infer(self, logits, label)))


def domains(change):
    return variant(domains=property(lambda self: change(Good.domains.func(self))))


def _unknown_as_no(self, values, dataset):
    unknown = {attribute.name: False for attribute in self.attributes[dataset] if not attribute.values}
    return Good.encode(self, {**unknown, **values}, dataset)


def _ignore_unknown_attributes(self, values, dataset):
    names = {attribute.name for attribute in self.attributes[dataset]}
    return Good.encode(self, {name: value for name, value in values.items() if name in names}, dataset)


def _ignore_unknown_values(self, values, dataset):
    attributes = {attribute.name: attribute for attribute in self.attributes[dataset]}
    known = {
        name: value
        for name, value in values.items()
        if name not in attributes or value in attributes[name].allowed_values
    }
    return Good.encode(self, known, dataset)


def _draw(self, label):
    random.random()
    return Good.condition(self, label)


INSTANCE_NUMBERS = count()


def _number_instance(self, *args, **kwargs):
    Good.__init__(self, *args, **kwargs)
    self.number = next(INSTANCE_NUMBERS)


BAD = {
    **break_common_checks(Good, variant),
    "sizes_are_positive_integers": with_attributes(condition_size=2.5),
    "channel_names_are_complete": with_attributes(channel_names=["hair", "hair"]),
    "labels_are_vectors": variant(encode=lambda self, values, dataset: Good.encode(self, values, dataset).double()),
    "decodes_yes_and_no": decode(
        lambda values: {name: int(value) if value in (True, False) else value for name, value in values.items()}
    ),
    "decodes_named_values": decode(
        lambda values: {name: value.lower()[:3] if isinstance(value, str) else value for name, value in values.items()}
    ),
    "decodes_none_of_these": decode(
        lambda values: {name: value for name, value in values.items() if value is not None}
    ),
    "decodes_unknown": variant(encode=_unknown_as_no),
    "decodes_combinations": decode(lambda values: dict(list(values.items())[:1])),
    "dataset_index_is_correct": variant(dataset_index=lambda self, label: torch.zeros(len(label), dtype=torch.long)),
    "separates_datasets": condition(lambda self, label, conditions: torch.zeros_like(conditions)),
    "rejects_unknown_attributes": variant(encode=_ignore_unknown_attributes),
    "rejects_unknown_values": variant(encode=_ignore_unknown_values),
    "conditions_are_vectors": condition(lambda self, label, conditions: conditions.double()),
    "domains_have_distinct_conditions": condition(
        lambda self, label, conditions: conditions[:, :1].expand_as(conditions)
    ),
    "conditions_are_independent": condition(lambda self, label, conditions: conditions - conditions.mean(0)),
    "losses_are_per_sample": loss(lambda self, logits, label, losses: losses.mean()),
    "unknown_labels_have_no_loss": loss(lambda self, logits, label, losses: losses + logits.square().sum(1)),
    "unknown_attributes_have_no_gradient": loss(lambda self, logits, label, losses: losses + logits.square().sum(1)),
    "loss_and_inference_agree": loss(lambda self, logits, label, losses: Good.loss(self, -logits, label)),
    "infers_only_unknown_attributes": infer(lambda labels: labels.roll(1, 0)),
    "edits_change_one_attribute": edits(
        lambda values, edits: [{name: value} for name, value in values.items()] + [*edits]
    ),
    "edits_are_complete": edits(lambda values, edits: edits[:1]),
    "edits_change_the_label": edits(lambda values, edits: [{name: value} for name, value in values.items()]),
    "domains_are_complete": domains(lambda labels: labels[:-1]),
    "domain_index_is_correct": variant(domain_index=lambda self, label: Good.domain_index(self, label).flip(0)),
    "is_fully_known_is_correct": variant(is_fully_known=lambda self, label: torch.ones(len(label), dtype=torch.bool)),
    "is_deterministic": variant(
        __init__=_number_instance, condition=lambda self, label: Good.condition(self, label) + self.number
    ),
    "draws_no_random_numbers": variant(condition=_draw),
}
