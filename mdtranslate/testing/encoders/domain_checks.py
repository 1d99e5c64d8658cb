"""Domains, and the edits that lead from one to another."""

from __future__ import annotations

from math import prod

import torch

from mdtranslate.testing.encoders.encoder_case import ENCODER, Given, wholly_known
from mdtranslate.testing.sample_components import known, labels


@ENCODER.check
def edits_change_one_attribute(given: Given) -> str | None:
    """`edits` gives changes of one attribute each, never to the value that the picture has, nor to "none of these".

    They are the translations worth showing.
    """
    for each in given.both:
        for number, own in enumerate(each.attributes):
            for some in known(own):
                for edit in each.edits(some, number):
                    ((name, value),) = edit.items()
                    if name in some and some[name] == value:
                        return f"{edit} for {some}"
                    if value is None:
                        return f"{edit}"
    return None


@ENCODER.check
def edits_are_complete(given: Given) -> str | None:
    """`edits` gives every value that the picture does not have.

    A domain that is never shown cannot be judged.
    """
    for each in given.both:
        for number, own in enumerate(each.attributes):
            for some in known(own):
                expected = {
                    (attribute.name, value)
                    for attribute in own
                    for value in attribute.allowed
                    if value is not None and not (attribute.name in some and some[attribute.name] == value)
                }
                found = {pair for edit in each.edits(some, number) for pair in edit.items()}
                if missing := expected - found:
                    return f"{sorted(missing, key=str)[0]} is missing for {some}"
    return None


@ENCODER.check
def edits_lead_to_labels(given: Given) -> str | None:
    """The label after each edit can be made, and is another one.

    Targets of training are drawn that way.
    """
    for each in given.both:
        for number, own in enumerate(each.attributes):
            for some in known(own):
                before = each.encode(some, number)
                for edit in each.edits(some, number):
                    if torch.equal(each.encode({**some, **edit}, number), before):
                        return f"{edit} changes nothing of {some}"
    return None


@ENCODER.check
def domains_are_listed(given: Given) -> str | None:
    """`domains` holds the label of each combination of values once, dataset by dataset.

    Balance and banks of networks count by them.
    """
    for each in given.both:
        every = each.domains
        expected = [prod(len(attribute.allowed) for attribute in own) for own in each.attributes]
        numbers = each.dataset(every).tolist()
        if [numbers.count(number) for number in range(len(expected))] != expected or numbers != sorted(numbers):
            return f"{len(every)} of datasets {numbers}, and there are {expected}"
        if len({tuple(label.tolist()) for label in every}) < len(every):
            return "one of them twice"
    return None


@ENCODER.check
def domains_are_numbered(given: Given) -> str | None:
    """`domain` gives the position of a label in `domains`, int64 [B], and -1 where something is unknown.

    Balance and banks of networks count by it.
    """
    for each in given.both:
        every = each.domains
        numbers = each.domain(every)
        if numbers.dtype != torch.int64 or numbers.tolist() != list(range(len(every))):
            return f"{numbers.dtype} {numbers.tolist()}"
        some = labels(each)
        if [number >= 0 for number in each.domain(some).tolist()] != wholly_known(each, some):
            return "another number than -1 where something is unknown, or -1 where nothing is"
    return None
