"""For each check of label encoders, one that breaks it."""

from __future__ import annotations

import random
from types import SimpleNamespace

import torch
from bad_settings import COMMON, variants

from mdtranslate.config.registry import registry

Good = registry().component("encoder", "mask-vector")

variant = variants(Good)


def made(**changes):
    """With attributes of another value once it is made."""

    def __init__(self, *given, **more):
        Good.__init__(self, *given, **more)
        vars(self).update(changes)

    return variant(__init__=__init__)


def condition(change):
    return variant(condition=lambda self, label: change(self, label, Good.condition(self, label)))


def loss(change):
    return variant(loss=lambda self, logits, label: change(self, logits, label, Good.loss(self, logits, label)))


def decode(change):
    return variant(decode=lambda self, label: change(self, label, Good.decode(self, label)))


def edits(change):
    return variant(edits=lambda self, has, number: change(self, has, Good.edits(self, has, number)))


def infer(change):
    return variant(infer=lambda self, logits, label: change(self, label, Good.infer(self, logits, label)))


def _unknown_is_no(self, attributes, dataset):
    unknown = {each.name: False for each in self.attributes[dataset] if not each.values}
    return Good.encode(self, {**unknown, **attributes}, dataset)


def _tolerant(self, attributes, dataset):
    own = {each.name for each in self.attributes[dataset]}
    return Good.encode(self, {name: value for name, value in attributes.items() if name in own}, dataset)


def _any_value(self, attributes, dataset):
    own = {each.name: each for each in self.attributes[dataset]}
    good = {name: value for name, value in attributes.items() if name not in own or value in own[name].choices}
    return Good.encode(self, good, dataset)


def _drawing(self, label):
    random.random()
    return Good.condition(self, label)


def _domains(change):
    return variant(domains=property(lambda self: change(Good.domains.func(self))))


SALT = iter(range(10_000))


def _salted(self, *given, **more):
    Good.__init__(self, *given, **more)
    self.salt = next(SALT)


def _with_salt(self, label):
    return Good.condition(self, label) + self.salt


BAD = {
    **{name: SimpleNamespace(cls=cls, config=config) for name, (cls, config) in COMMON(Good, variant).items()},
    "sizes_are_counts": made(size=2.5),
    "layout_names_each_channel": made(layout=["hair", "hair"]),
    "labels_are_vectors": variant(encode=lambda self, has, number: Good.encode(self, has, number).double()),
    "keeps_yes_and_no": decode(
        lambda self, label, has: {n: int(v) if v in (True, False) else v for n, v in has.items()}
    ),
    "keeps_values": decode(
        lambda self, label, has: {n: v.lower()[:3] if isinstance(v, str) else v for n, v in has.items()}
    ),
    "keeps_none_of_these": decode(lambda self, label, has: {n: v for n, v in has.items() if v is not None}),
    "keeps_the_unknown": variant(encode=_unknown_is_no),
    "keeps_everything_together": decode(lambda self, label, has: dict(list(has.items())[:1])),
    "knows_whose_picture_it_is": variant(dataset=lambda self, label: torch.zeros(len(label), dtype=torch.long)),
    "keeps_datasets_apart": condition(lambda self, label, made: torch.zeros_like(made)),
    "refuses_a_strange_attribute": variant(encode=_tolerant),
    "refuses_a_strange_value": variant(encode=_any_value),
    "conditions_are_vectors": condition(lambda self, label, made: made.double()),
    "domains_have_conditions_of_their_own": condition(lambda self, label, made: made[:, :1].expand_as(made)),
    "conditions_do_not_mix_pictures": condition(lambda self, label, made: made - made.mean(0)),
    "losses_are_one_a_picture": loss(lambda self, logits, label, found: found.mean()),
    "losses_are_0_where_nothing_is_known": loss(lambda self, logits, label, found: found + logits.square().sum(1)),
    "losses_take_only_what_is_known": loss(lambda self, logits, label, found: found + logits.square().sum(1)),
    "losses_teach_what_is_inferred": loss(lambda self, logits, label, found: Good.loss(self, -logits, label)),
    "infers_only_the_unknown": infer(lambda self, label, found: found.roll(1, 0)),
    "edits_change_one_attribute": edits(lambda self, has, found: [{n: v} for n, v in has.items()] + [*found]),
    "edits_are_complete": edits(lambda self, has, found: found[:1]),
    "edits_lead_to_labels": edits(lambda self, has, found: [{n: v} for n, v in has.items()]),
    "domains_are_listed": _domains(lambda every: every[:-1]),
    "domains_are_numbered": variant(domain=lambda self, label: Good.domain(self, label).flip(0)),
    "says_what_is_known": variant(known=lambda self, label: torch.ones(len(label), dtype=torch.bool)),
    "is_the_same_twice": variant(__init__=_salted, condition=_with_salt),
    "touches_no_random_state": variant(condition=_drawing),
}
