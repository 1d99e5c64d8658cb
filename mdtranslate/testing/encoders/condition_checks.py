"""What networks and losses see of labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.encoders.encoder_case import ENCODER, Given, some_logits
from mdtranslate.testing.sample_components import GLASSES, HAIR, labels


@ENCODER.check
def keeps_datasets_apart(given: Given) -> str | None:
    """An attribute of the same name in two datasets is two things, unless it is named in `shared`.

    Young of one dataset is not what another calls so.
    """
    own = [given.two.condition(given.two.encode({"Young": True}, number)[None]) for number in (0, 1)]
    if "Young" in given.two.shared:
        raise DoesNotApply("it shares attributes of the same name")
    return "the condition of Young is the same in both" if torch.equal(*own) else None


@ENCODER.premise
def conditions_are_vectors(given: Given) -> str | None:
    """`condition` gives float32 [B, size] without NaN or infinity.

    It is what networks see.
    """
    for each in given.both:
        made = each.condition(labels(each))
        if made.dtype != torch.float32 or made.shape != (len(labels(each)), each.size) or not made.isfinite().all():
            return f"{made.dtype} {list(made.shape)} for {len(labels(each))} labels and size {each.size}"
    return None


@ENCODER.check
def domains_have_conditions_of_their_own(given: Given) -> str | None:
    """No two domains have the same condition.

    A generator cannot tell them apart otherwise.
    """
    for each in given.both:
        every = each.domains
        made = each.condition(every)
        for one in range(len(made)):
            for other in range(one):
                if torch.equal(made[one], made[other]):
                    return f"{each.decode(every[other])} and {each.decode(every[one])} have one"
    return None


@ENCODER.check
def conditions_do_not_mix_pictures(given: Given) -> str | None:
    """The condition of a label is the same alone and in a batch, and the label is left as it is.

    Batches are cut into parts, and shared among processes.
    """
    for each in given.both:
        every = labels(each)
        before = every.clone()
        alone = torch.cat([each.condition(label[None]) for label in every])
        if not torch.equal(each.condition(every), alone):
            return "other conditions in a batch"
        if not torch.equal(every, before):
            return "labels were changed"
    return None


@ENCODER.check
def losses_are_one_a_picture(given: Given) -> str | None:
    """`loss` gives a value for each picture, [B], the same alone and in a batch, finite and never below 0.

    The engine averages: gradients are then the same however a batch is cut.
    """
    for each in given.both:
        every = labels(each)
        logits = some_logits(len(every), each.classes)
        found = each.loss(logits, every)
        if found.shape != (len(every),):
            return f"{list(found.shape)} for {len(every)} pictures"
        alone = torch.cat([each.loss(logits[n : n + 1], every[n : n + 1]) for n in range(len(every))])
        if not torch.allclose(found, alone, atol=1e-6):
            return "other values in a batch"
        if not found.isfinite().all() or (found < 0).any():
            return f"{found.min().item()} to {found.max().item()}"
    return None


@ENCODER.check
def losses_are_0_where_nothing_is_known(given: Given) -> str | None:
    """`loss` is 0, without a gradient, for a picture of which nothing is known.

    What is not known cannot be learned; taken for no, it is learned wrongly.
    """
    for each in given.both:
        for number in range(len(each.attributes)):
            logits = some_logits(3, each.classes).requires_grad_()
            found = each.loss(logits, each.encode({}, number).repeat(3, 1))
            if found.abs().max() > 0:
                return f"{found.tolist()}"
            if found.requires_grad and torch.autograd.grad(found.sum(), logits)[0].abs().max() > 0:
                return "0, with a gradient"
    return None


@ENCODER.check
def losses_take_only_what_is_known(given: Given) -> str | None:
    """`loss` of a partly known picture has gradients by less logits than that of a wholly known one.

    What is not known cannot be learned; taken for no, it is learned wrongly.
    """
    whole = _touched(given.one, {HAIR.name: "Blond_Hair", GLASSES.name: True})
    for some in ({HAIR.name: "Blond_Hair"}, {GLASSES.name: True}):
        if not _touched(given.one, some) < whole:
            return f"knowing {some}, logits {sorted(_touched(given.one, some))} of {sorted(whole)}"
    return None


@ENCODER.check
def losses_teach_what_is_inferred(given: Given) -> str | None:
    """Logits that make `loss` small are those by which `infer` gives the same label.

    The two belong together: what the discriminator learned is what is read of its logits.
    """
    for each in given.both:
        every = labels(each, whole=True)
        logits = some_logits(len(every), each.classes).requires_grad_()
        for _ in range(200):
            (slope,) = torch.autograd.grad(each.loss(logits, every).sum(), logits)
            logits = (logits - slope).detach().requires_grad_()
        empty = torch.stack([each.encode({}, number) for number in each.dataset(every).tolist()])
        inferred = each.infer(logits.detach(), empty)
        for label, found in zip(every, inferred, strict=True):
            if each.decode(label) != each.decode(found):
                return f"{each.decode(found)} where {each.decode(label)} was learned"
    return None


@ENCODER.check
def infers_only_the_unknown(given: Given) -> str | None:
    """`infer` keeps what is known, and fills in everything else that the dataset labels, with values that there are.

    A picture is edited from what it has, and what the user says goes before what a network thinks.
    """
    for each in given.both:
        every = labels(each)
        inferred = each.infer(some_logits(len(every), each.classes), every)
        for label, found in zip(every, inferred, strict=True):
            had, has = each.decode(label), each.decode(found)
            own = each.attributes[int(each.dataset(label[None])[0])]
            if any(has.get(name) != value for name, value in had.items()):
                return f"{had} became {has}"
            if {
                name: value in attribute.allowed
                for attribute in own
                for name, value in has.items()
                if name == attribute.name
            } != {attribute.name: True for attribute in own}:
                return f"{has}, of the attributes {', '.join(attribute.name for attribute in own)}"
    return None


def _touched(encoder: LabelEncoder, some: Mapping[str, Value]) -> set[int]:
    """The logits by which the loss has a gradient."""
    logits = some_logits(1, encoder.classes).requires_grad_()
    (slope,) = torch.autograd.grad(encoder.loss(logits, encoder.encode(some, 0)[None]).sum(), logits)
    return {place for place, value in enumerate(slope[0].tolist()) if value}
