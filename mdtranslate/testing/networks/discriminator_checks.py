"""What is asked of discriminators."""

from __future__ import annotations

import torch

from mdtranslate.api import Discriminator, Verdict
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.networks.network_case import DISCRIMINATOR, Given, apart, drawn_alike, stirred, unreached
from mdtranslate.testing.networks.network_checks import SAME, flat

Subject = Given[Discriminator]


@DISCRIMINATOR.premise
def gives_verdicts(given: Subject) -> str | None:
    """It gives a `Verdict` of a finite score, [B, ...], and logits [B, classes] or None.

    Losses take them by name.
    """
    verdict = _judged(given)
    if not isinstance(verdict, Verdict):
        return f"{type(verdict).__name__}"
    if len(verdict.score) != len(given.real) or not verdict.score.isfinite().all():
        return f"a score {list(verdict.score.shape)}"
    if verdict.logits is None:
        return None
    fits = verdict.logits.shape == (len(given.real), given.encoder.classes) and verdict.logits.isfinite().all()
    return None if fits else f"logits {list(verdict.logits.shape)}, and there are {given.encoder.classes} classes"


@DISCRIMINATOR.check
def heeds_the_picture(given: Subject) -> str | None:
    """Different pictures have different verdicts.

    Otherwise it tells nothing of them.
    """
    network = stirred(given.new().eval())
    label = given.target[:1].expand(len(given.real), -1)
    with torch.no_grad():
        verdicts = flat(network(given.real, label, given.real if network.needs_truth else None))
    return "two pictures have one" if any(apart(verdicts[0], each) == 0 for each in verdicts[1:]) else None


@DISCRIMINATOR.check
def alone_means_alone(given: Subject) -> str | None:
    """With `alone = True`, the verdict on a picture is the same alone and among others, in training mode, too.

    Real and made pictures are judged in one pass then; statistics of the batch would mix them.
    """
    network = stirred(given.new())
    if not network.alone:
        raise DoesNotApply("it does not say so")
    if network.stochastic:
        network.eval()  # What it draws while it trains is another thing each time.
    made_from = given.real if network.needs_truth else None
    with torch.no_grad():
        together = flat(network(given.real, given.target, made_from))
        one = [slice(n, n + 1) for n in range(len(given.real))]
        alone = [
            flat(network(given.real[n], given.target[n], None if made_from is None else made_from[n])) for n in one
        ]
    difference = apart(together, torch.cat(alone))
    return f"{difference:.3g} apart" if difference > SAME else None


@DISCRIMINATOR.check
def gradients_reach_each_parameter(given: Subject) -> str | None:
    """With pictures of every domain, each parameter has a gradient that is not 0, by the score or the logits.

    What has none is never learned.
    """
    network = stirred(given.new())
    every = given.encoder.domains
    real = sample_components.pictures(len(every), given.size)
    with drawn_alike():
        verdict = flat(network(real, every, real if network.needs_truth else None))
    lost = unreached(network, (verdict * torch.linspace(0.5, 1.5, verdict.shape[1])).sum())
    return f"{len(lost)} without one, the first {lost[0]}" if lost else None


@DISCRIMINATOR.check
def gradients_reach_the_picture(given: Subject) -> str | None:
    """The score has a gradient by the picture.

    The generator learns by it.
    """
    network = given.new()
    real = given.real.clone().requires_grad_()
    with drawn_alike():
        score = network(real, given.target, given.real if network.needs_truth else None).score
    if not score.requires_grad:
        return "none"
    (slope,) = torch.autograd.grad(score.square().sum(), real)
    return None if slope.isfinite().all() and slope.any() else "0, or not finite"


@DISCRIMINATOR.check
def slopes_are_those_of_autograd(given: Subject) -> str | None:
    """`slope` gives the gradient of each picture's mean score, or with `total` of the sum, by the picture.

    Penalties are of it; one that is found in another way than by autograd is to be the same.
    """
    network = given.new()
    made_from = given.real if network.needs_truth else None
    for total in (False, True):
        with drawn_alike():
            own = network.slope(given.real, given.target, made_from, total=total)
        with drawn_alike():
            theirs = Discriminator.slope(network, given.real, given.target, made_from, total=total)
        if own.shape != given.real.shape or apart(own, theirs) > SAME * max(1.0, float(theirs.detach().abs().max())):
            return f"{list(own.shape)}, {apart(own, theirs) if own.shape == theirs.shape else 'far':.3g} apart"
    return None


@DISCRIMINATOR.check
def penalties_teach_the_weights(given: Subject) -> str | None:
    """A penalty of `slope` has the gradients by the weights that it has through autograd.

    A slope without a graph makes a penalty that changes nothing, and nobody says so.
    """
    network = given.new()
    made_from = given.real if network.needs_truth else None
    weights = [each for each in network.parameters() if each.requires_grad]
    found = []
    for way in (type(network).slope, Discriminator.slope):
        with drawn_alike():
            slope = way(network, given.real, given.target, made_from)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        if not penalty.requires_grad:
            return "no gradient"
        found.append(torch.autograd.grad(penalty, weights, allow_unused=True, materialize_grads=True))
    for own, theirs in zip(*found, strict=True):
        if apart(own, theirs) > 1e-3 * max(1.0, float(theirs.abs().max())):
            return f"{apart(own, theirs):.3g} apart"
    return None


@DISCRIMINATOR.check
def needs_truth_only_where_it_says_so(given: Subject) -> str | None:
    """Without `needs_truth`, it judges pictures of which it is not told what they were made from.

    Real pictures are made from nothing, but in pairs.
    """
    network = given.new().eval()
    if network.needs_truth:
        raise DoesNotApply("it judges pairs")
    with torch.no_grad():
        network(given.real, given.target)
    return None


@DISCRIMINATOR.check
def takes_what_a_picture_was_made_from(given: Subject) -> str | None:
    """It can be told what pictures were made from, whether it heeds that or not.

    The engine tells every discriminator.
    """
    network = given.new().eval()
    with torch.no_grad():
        verdict = network(given.real, given.target, given.real.flip(0))
    return None if len(verdict.score) == len(given.real) else f"{list(verdict.score.shape)}"


def _judged(given: Subject) -> Verdict:
    network = given.new()
    with torch.no_grad(), drawn_alike():
        verdict: Verdict = network(given.real, given.target, given.real if network.needs_truth else None)
    return verdict
