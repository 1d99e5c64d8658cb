"""Labels: attribute values in, the same values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.testing.encoders.encoder_case import ENCODER, Given, some_logits, wholly_known
from mdtranslate.testing.sample_components import GLASSES, HAIR, MOOD, ONE, known, labels
from mdtranslate.testing.side_effects import random_state


@ENCODER.premise
def sizes_are_counts(given: Given) -> str | None:
    """`size` and `classes` are whole numbers above 0.

    Networks are built by them.
    """
    for each in given.both:
        if not all(type(count) is int and count > 0 for count in (each.size, each.classes)):
            return f"size {each.size!r}, classes {each.classes!r}"
    return None


@ENCODER.check
def layout_names_each_channel(given: Given) -> str | None:
    """`layout` has a text for each channel of a condition, no two alike.

    It says in a translator's file what each channel means.
    """
    for each in given.both:
        names = list(each.layout)
        if len(names) != each.size or len({*names}) < len(names) or not all(isinstance(name, str) for name in names):
            return f"{names} for {each.size} channels"
    return None


@ENCODER.premise
def labels_are_vectors(given: Given) -> str | None:
    """`encode` gives float32 [L], of the same L whatever is known and of whichever dataset.

    Labels of a batch are stacked.
    """
    for each in given.both:
        shapes = {
            (made.dtype, tuple(made.shape))
            for number, own in enumerate(each.attributes)
            for made in (each.encode(some, number) for some in known(own))
        }
        if len(shapes) > 1 or next(iter(shapes))[0] != torch.float32 or len(next(iter(shapes))[1]) != 1:
            return f"{sorted(map(str, shapes))}"
    return None


@ENCODER.check
def keeps_yes_and_no(given: Given) -> str | None:
    """`decode` gives back yes and no.

    A label is lossless: pictures are translated back by it.
    """
    return _kept(given.of(GLASSES), [{GLASSES.name: True}, {GLASSES.name: False}])


@ENCODER.check
def keeps_values(given: Given) -> str | None:
    """`decode` gives back each value of an exclusive attribute.

    A label is lossless: pictures are translated back by it.
    """
    return _kept(given.of(MOOD), [{MOOD.name: value} for value in MOOD.values])


@ENCODER.check
def keeps_none_of_these(given: Given) -> str | None:
    """`decode` gives back None, "none of these", of an optional attribute, and not as unknown.

    A bald head is known to be bald.
    """
    return _kept(given.of(HAIR), [{HAIR.name: None}])


@ENCODER.check
def keeps_the_unknown(given: Given) -> str | None:
    """`decode` leaves out what is unknown, and does not take it for no or none.

    The other datasets' attributes are unknown, and learning them as no is what the mask vector is there to avoid.
    """
    for attribute in (GLASSES, HAIR, MOOD):
        if found := _kept(given.of(attribute), [{}]):
            return found
    return None


@ENCODER.check
def keeps_everything_together(given: Given) -> str | None:
    """`decode` gives back everything that is known, whatever it is, for each dataset.

    Labels of several attributes and datasets lie in one vector.
    """
    for each in given.both:
        for number, own in enumerate(each.attributes):
            if found := _kept(each, known(own), number):
                return found
    return None


@ENCODER.check
def knows_whose_picture_it_is(given: Given) -> str | None:
    """`dataset` gives the number of each label's dataset: int64 [B].

    Even where nothing is known of a picture.
    """
    for each in given.both:
        expected = [number for number, own in enumerate(each.attributes) for _ in known(own)]
        numbers = each.dataset(labels(each))
        if numbers.dtype != torch.int64 or numbers.tolist() != expected:
            return f"{numbers.dtype} {numbers.tolist()}, and the datasets were {expected}"
    return None


@ENCODER.check
def refuses_a_strange_attribute(given: Given) -> str | None:
    """`encode` raises `ValueError` for an attribute that the dataset does not label, and names it.

    A misspelt name would be an unknown attribute otherwise.
    """
    return _refused(given.one, {"no_such_attribute": True}, "no_such_attribute")


@ENCODER.check
def refuses_a_strange_value(given: Given) -> str | None:
    """`encode` raises `ValueError` for a value that its attribute cannot have, and names it.

    A misspelt value would be something else otherwise. `Attribute.code` does it.
    """
    return _refused(given.one, {HAIR.name: "no_such_value"}, "no_such_value")


@ENCODER.check
def says_what_is_known(given: Given) -> str | None:
    """`known` is True of the labels in which nothing of their dataset is unknown: bool [B].

    Translations ask a network only for what is missing.
    """
    for each in given.both:
        some = labels(each)
        expected = wholly_known(each, some)
        found = each.known(some)
        if found.dtype != torch.bool or found.tolist() != expected:
            return f"{found.dtype} {found.tolist()}"
    return None


@ENCODER.check
def is_the_same_twice(given: Given) -> str | None:
    """Another instance of the same settings makes the same labels, conditions and losses.

    A translator makes its own, in another process.
    """
    one, other = given.make(ONE), given.make(ONE)
    every = labels(one)
    logits = some_logits(len(every), one.classes)
    same = torch.equal(every, labels(other)) and torch.equal(one.condition(every), other.condition(every))
    return None if same and torch.equal(one.loss(logits, every), other.loss(logits, every)) else "others"


@ENCODER.check
def touches_no_random_state(given: Given) -> str | None:
    """Nothing of it moves the global random generators.

    Whoever trains seeds them.
    """
    before = random_state()
    each = given.make(ONE)
    every = labels(each)
    each.infer(some_logits(len(every), each.classes), every)
    each.loss(some_logits(len(every), each.classes), each.domains[each.domain(each.domains)][:1].repeat(len(every), 1))
    each.condition(every)
    return None if random_state() == before else "random, numpy.random or torch's generator moved"


def _kept(encoder: LabelEncoder, some: Sequence[Mapping[str, Value]], number: int = 0) -> str | None:
    for each in some:
        back: Any = encoder.decode(encoder.encode(each, number))
        if back != each or any(type(back[name]) is not type(value) for name, value in each.items()):
            return f"{each} came back as {back}"
    return None


def _refused(encoder: LabelEncoder, some: Mapping[str, Value], names: str) -> str | None:
    try:
        made = encoder.encode(some, 0)
    except ValueError as error:
        return None if names in str(error) else f"a message that does not name it: {error}"
    return f"{made.tolist()}"
