"""What is asked of generators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mdtranslate.api import Generator
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.networks.network_case import GENERATOR, Given, apart, drawn_alike, stirred, unreached
from mdtranslate.testing.networks.network_checks import SAME, run

Subject = Given[Generator]
LEAST = 1e-4
"""Difference of pictures, on the scale of [-1, 1], that two targets make at the least, with stirred first weights.

Rounding alone makes 1e-5 of planes that a normalisation takes away again."""


@GENERATOR.premise
def gives_pictures(given: Subject) -> str | None:
    """Pictures [B, 3, S, S] become pictures of the same shape and type, finite and in [-1, 1].

    Losses and files take them as they come.
    """
    with torch.no_grad(), drawn_alike():
        fake = run(given.new(), given)
    if fake.shape != given.real.shape or fake.dtype != given.real.dtype:
        return f"{fake.dtype} {list(fake.shape)}"
    if not fake.isfinite().all() or fake.abs().max() > 1:
        return f"values from {float(fake.min()):.3g} to {float(fake.max()):.3g}"
    return None


@GENERATOR.check
def takes_other_sizes(given: Subject) -> str | None:
    """Pictures of other sizes, not square too, come back at their size where sides are multiples of `multiple`.

    `translate --size native` pads to such sides.
    """
    network = given.new().eval()
    step = network.multiple
    with torch.no_grad():
        for height, width in ((given.size + step, given.size), (2 * given.size, given.size + step)):
            real = torch.nn.functional.interpolate(given.real, (height, width))
            fake = network(real, given.source, given.target)
            if fake.shape != real.shape:
                return f"{list(fake.shape)} for {list(real.shape)}"
    return None


@GENERATOR.check
def multiple_is_a_count(given: Subject) -> str | None:
    """`multiple` is a whole number above 0, and the size of training is one.

    Pictures are padded to it.
    """
    multiple = given.network.multiple
    return None if type(multiple) is int and multiple > 0 and given.size % multiple == 0 else repr(multiple)


@GENERATOR.check
def says_what_it_reads(given: Subject) -> str | None:
    """`reads` is "all", "changed" or "none".

    By it translations know what must be inferred of a picture.
    """
    return None if given.network.reads in ("all", "changed", "none") else repr(given.network.reads)


@GENERATOR.check
def heeds_the_target(given: Subject) -> str | None:
    """Different targets make different pictures, unless it says `conditional = False`.

    A generator that is not told the target makes one translation of all.
    """
    if not given.network.conditional:
        raise DoesNotApply("it does not heed labels")
    made = _by_target(given)
    least = min(apart(made[one], made[other]) for one in range(len(made)) for other in range(one))
    return f"pictures of two targets are {least:.1g} apart" if least < LEAST else None


@GENERATOR.check
def heeds_no_target_where_it_says_so(given: Subject) -> str | None:
    """With `conditional = False`, all targets make the same picture.

    Otherwise the declaration is wrong.
    """
    if given.network.conditional:
        raise DoesNotApply("it heeds labels")
    made = _by_target(given)
    most = max(apart(made[0], each) for each in made)
    return f"pictures of two targets are {most:.1g} apart" if most > 0 else None


@GENERATOR.check
def heeds_the_picture(given: Subject) -> str | None:
    """Different pictures have different translations.

    One that paints the same for all has forgotten its input.
    """
    with torch.no_grad():
        fake = run(stirred(given.new().eval()), given)
    return "two pictures have one" if any(apart(fake[0], fake[n]) < LEAST for n in range(1, len(fake))) else None


@GENERATOR.check
def gradients_reach_each_parameter(given: Subject) -> str | None:
    """With pictures of every domain, each parameter has a gradient that is not 0.

    What has none is never learned.
    """
    network = stirred(given.new())
    every = given.encoder.domains
    source, target = every.repeat_interleave(len(every), 0), every.repeat(len(every), 1)
    real = sample_components.pictures(len(source), given.size)
    with drawn_alike():
        lost = unreached(
            network, (network(real, source, target) * torch.linspace(0.5, 1.5, given.size)).square().mean()
        )
    return f"{len(lost)} without one, the first {lost[0]}" if lost else None


@GENERATOR.check
def gradients_reach_the_picture(given: Subject) -> str | None:
    """The translation has a gradient by the picture.

    A cycle's loss goes through it twice.
    """
    real = given.real.clone().requires_grad_()
    with drawn_alike():
        fake = run(given.new(), given, image=real)
    if not fake.requires_grad:
        return "none"
    (slope,) = torch.autograd.grad(fake.square().sum(), real)
    return None if slope.isfinite().all() and slope.any() else "0, or not finite"


@GENERATOR.check
def trains_as_it_works(given: Subject) -> str | None:
    """In training mode it gives what it gives in evaluation mode, unless it says `stochastic = True`.

    Running statistics make the pictures of a trained generator others than those that the losses saw.
    """
    network = stirred(given.new())
    if network.stochastic:
        raise DoesNotApply("it draws at random while it trains")
    with torch.no_grad():
        difference = apart(run(network.train(), given), run(network.eval(), given))
    return f"{difference:.3g} apart" if difference > SAME else None


@GENERATOR.check
def can_be_exported(given: Subject) -> str | None:
    """`torch.export` takes it, with the same output. Banks are left out.

    `mdtranslate export` ships it so.
    """
    given.one_graph()
    network = stirred(given.new().eval())
    with torch.no_grad():
        expected = run(network, given)
        exported: Any = torch.export.export(network, (given.real, given.source, given.target)).module()
        found = exported(given.real, given.source, given.target)
    return f"{apart(expected, found):.3g} apart" if apart(expected, found) > SAME else None


@GENERATOR.check
def codes_are_of_the_target_and_the_noise(given: Subject) -> str | None:
    """`code` gives None, or a finite tensor [B, ...], the same for the same target and noise, that `forward` takes.

    A translation keeps its style on the way back.
    """
    network = given.new().eval()
    noise = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = network.code(given.target, noise), network.code(given.target, noise)
    if one is None or other is None:
        return None if one is other else "a code the second time alone"
    if len(one) != 4 or not one.isfinite().all():
        return f"{list(one.shape)}"
    with torch.no_grad():
        fake = network(given.real, given.source, given.target, one)
    if fake.shape != given.real.shape:
        return f"pictures {list(fake.shape)} by a code"
    return None if torch.equal(one, other) else "another one the second time"


@GENERATOR.check
def counts_its_networks(given: Subject) -> str | None:
    """`count` is a whole number above 0: the networks that train apart. Of one network it is 1.

    Suites are sized by it before anything is built.
    """
    count = given.component.count(given.config, given.encoder)
    return None if type(count) is int and count > 0 else repr(count)


def _by_target(given: Subject) -> list[Tensor]:
    """The translation of one picture to each domain but its own, trained."""
    network = stirred(given.new().eval())
    every = given.encoder.domains
    with torch.no_grad():
        return [network(given.real[:1], every[:1], target[None]) for target in every[1:]]
