"""The contract of feature networks, as checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mdtranslate.api import Features
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import Suite
from mdtranslate.testing.component_checks import common, maker
from mdtranslate.testing.side_effects import random_state
from mdtranslate.utils.device import isolated

Make = Callable[[], Features]
SAME = 1e-4
"""Difference, on the scale of what comes out, that rounding may make."""


class Given:
    """A feature network, and pictures for it."""

    def __init__(self, given: type[Features] | Make) -> None:
        """`given`: a class, with its default settings; or a function that makes one."""
        self.make: Make = maker(given)
        self.network = self.new()
        self.component, self.config = type(self.network), self.network.config
        self.real = sample_components.pictures(4, 64)

    def new(self, seed: int = 0) -> Features:
        with isolated(seed):
            return self.make()


FEATURES: Suite[Given] = Suite(Given)
common(FEATURES)


@FEATURES.premise
def gives_features(given: Given) -> str | None:
    """Pictures [B, 3, H, W] in [-1, 1] become features [B, F], finite and of floating point.

    Distances between sets of pictures are taken of them.
    """
    found = given.network(given.real)
    fits = found.dim() == 2 and len(found) == len(given.real) and found.is_floating_point()
    return None if fits and found.isfinite().all() else f"{found.dtype} {list(found.shape)}"


@FEATURES.premise
def gives_maps(given: Given) -> str | None:
    """`maps` gives at least one map [B, C, h, w], finite, from early to late: none is larger than the one before.

    Perceptual losses and distances weigh them by their place.
    """
    found = _maps(given.network, given.real)
    if not found:
        return "none"
    for each in found:
        if each.dim() != 4 or len(each) != len(given.real) or not each.isfinite().all():
            return f"{list(each.shape)}"
    sizes = [each.shape[2] * each.shape[3] for each in found]
    return None if sizes == sorted(sizes, reverse=True) else f"maps of {sizes} pixels"


@FEATURES.check
def takes_pictures_of_any_size(given: Given) -> str | None:
    """Pictures of 16, 100 and 48 x 80 pixels have features of the same length.

    What the network wants, it scales them to itself.
    """
    for height, width in ((16, 16), (100, 100), (48, 80)):
        real = torch.nn.functional.interpolate(given.real, (height, width))
        if given.network(real).shape != given.network(given.real).shape:
            return f"{list(given.network(real).shape)} for {height} x {width} pixels"
    return None


@FEATURES.check
def heeds_the_picture(given: Given) -> str | None:
    """Different pictures have different features.

    Otherwise nothing can be compared.
    """
    found = given.network(given.real)
    return "two pictures have the same" if any(torch.equal(found[0], each) for each in found[1:]) else None


@FEATURES.check
def is_never_trained(given: Given) -> str | None:
    """No parameter takes a gradient, and `train()` changes nothing of what it gives.

    It is what things are measured by. Losses are put into training mode with all that they hold.
    """
    network = given.new()
    if taking := [name for name, each in network.named_parameters() if each.requires_grad]:
        return f"{taking[0]} takes a gradient"
    before = network(given.real)
    difference = float((network.train()(given.real) - before).abs().max())
    return f"{difference:.3g} apart in training mode" if difference > 0 else None


@FEATURES.check
def pictures_do_not_mix(given: Given) -> str | None:
    """The features of a picture are the same alone and in a batch.

    What is measured must not depend on how pictures are cut into batches.
    """
    together = given.network(given.real)
    alone = torch.cat([given.network(given.real[n : n + 1]) for n in range(len(given.real))])
    difference = float((together - alone).abs().max())
    return f"{difference:.3g} apart" if difference > SAME * max(1.0, float(together.abs().max())) else None


@FEATURES.check
def maps_teach_the_picture(given: Given) -> str | None:
    """Maps have a gradient by the picture, finite and not 0.

    Perceptual losses learn by it.
    """
    real = given.real.clone().requires_grad_()
    total = torch.stack([each.square().mean() for each in _maps(given.network, real)]).sum()
    if not total.requires_grad:
        return "none"
    (slope,) = torch.autograd.grad(total, real)
    return None if slope.isfinite().all() and slope.any() else "0, or not finite"


@FEATURES.check
def identity_tells_networks_apart(given: Given) -> str | None:
    """`identity` and `label` are texts of one line, and networks of the same identity give the same features.

    Tables of results show it, and figures of another network are not compared with its own. Weights at random are
    either the same each time, or part of the identity.
    """
    one, other = given.new(0), given.new(1)
    for text in (one.identity, one.label):
        if not isinstance(text, str) or not re.fullmatch(r"\S.*", text):
            return repr(text)
    if one.identity == other.identity and not torch.equal(one(given.real), other(given.real)):
        return f"other features of {one.identity!r} at another seed"
    return None


@FEATURES.check
def draws_nothing(given: Given) -> str | None:
    """It moves no global random generator.

    Whoever measures leaves a run as it was.
    """
    before = random_state()
    given.network(given.real)
    _maps(given.network, given.real)
    return None if random_state() == before else "a generator moved"


@FEATURES.check
def leaves_its_input(given: Given) -> str | None:
    """Pictures are after it as they were before.

    Others look at them after it.
    """
    real = given.real.clone()
    given.network(real)
    _maps(given.network, real)
    return None if torch.equal(real, given.real) else "they changed"


def _maps(network: Features, real: Tensor) -> Sequence[Tensor]:
    found: Sequence[Tensor] = network.maps(real)
    return found
