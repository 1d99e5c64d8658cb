"""What is asked of generators and of discriminators alike."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from mdtranslate.api import Discriminator
from mdtranslate.errors import RecipeError
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.component_checks import common
from mdtranslate.testing.networks.network_case import DISCRIMINATOR, GENERATOR, Given, apart, drawn_alike, stirred
from mdtranslate.testing.side_effects import random_state

SAME = 1e-4
"""Difference, on the scale of what comes out, that rounding may make."""
LOWER = 0.25
"""Difference that bfloat16 may make."""


def run(network: Any, given: Given[Any], rows: slice = slice(None), image: Tensor | None = None) -> Tensor:
    """What a network of either kind makes of the pictures, as one tensor [B, ...]."""
    image = given.real[rows] if image is None else image
    if isinstance(network, Discriminator):
        made_from = given.real[rows] if network.needs_truth else None
        return flat(network(image, given.target[rows], made_from))
    return flat(network(image, given.source[rows], given.target[rows], None))  # As the engine calls it.


def flat(out: Any) -> Tensor:
    """A picture, or a verdict's score and logits side by side: [B, ...]."""
    if isinstance(out, Tensor):
        return out
    parts = [each.flatten(1) if each.dim() > 1 else each[:, None] for each in out if each is not None]
    return torch.cat([each.float() for each in parts], 1)


def first_weights_are_seeded(given: Given[Any]) -> str | None:
    """Built at the same seed of torch's generator, two of them have the same weights, and at another seed others.

    A run is repeated by its seed.
    """
    one, other, third = (given.new(seed).state_dict() for seed in (0, 0, 1))
    if not one:
        raise DoesNotApply("it has no weights")
    if any(not torch.equal(one[name], other[name]) for name in one):
        return "others at the same seed"
    return "the same at another seed" if all(torch.equal(one[name], third[name]) for name in one) else None


def weights_can_be_saved(given: Given[Any]) -> str | None:
    """Its state, written as safetensors and loaded into one of other first weights, gives the same output.

    Checkpoints and translators hold nothing else of a network.
    """
    network, other = stirred(given.new(0).eval()), given.new(1).eval()
    state = {name: each.clone().contiguous() for name, each in network.state_dict().items()}
    if not state:
        raise DoesNotApply("it has no weights")
    other.load_state_dict(load(save(state)))
    difference = apart(run(network, given), run(other, given))
    return f"{difference:.3g} apart" if difference > 0 else None


def can_be_copied(given: Given[Any]) -> str | None:
    """A deep copy gives the same output, and is not changed with the one that it was copied from.

    The average of weights that is shipped is a copy.
    """
    network = given.new().eval()
    copied = deepcopy(network)
    before = run(copied, given)
    with torch.no_grad():
        for each in network.parameters():
            each.add_(1.0)
    difference = apart(before, run(copied, given))
    return f"{difference:.3g} apart after the other was changed" if difference > 0 else None


def pictures_do_not_mix(given: Given[Any]) -> str | None:
    """Trained (`eval`), it gives of each picture the same alone and in a batch.

    A picture's translation must not depend on which others it is translated with.
    """
    network = stirred(given.new().eval())
    with torch.no_grad():
        together = run(network, given)
        alone = torch.cat([run(network, given, slice(n, n + 1)) for n in range(len(given.real))])
    difference = apart(together, alone)
    return f"{difference:.3g} apart" if difference > SAME else None


def is_the_same_twice(given: Given[Any]) -> str | None:
    """Trained (`eval`), it gives the same each time, and its state stays as it is.

    A translator is asked many times, and what is measured is what is shipped.
    """
    network = stirred(given.new().eval())
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with torch.no_grad():
        difference = apart(run(network, given), run(network, given))
    if difference > 0:
        return f"{difference:.3g} apart"
    changed = [name for name, each in network.state_dict().items() if not torch.equal(each, before[name])]
    return f"{changed[0]} changed" if changed else None


def leaves_its_input(given: Given[Any]) -> str | None:
    """Pictures and labels are after it as they were before.

    Others look at them after it.
    """
    before = given.real.clone(), given.source.clone(), given.target.clone()
    with torch.no_grad(), drawn_alike():
        run(given.new(), given)
    same = all(map(torch.equal, before, (given.real, given.source, given.target)))
    return None if same else "they changed"


def trained_it_draws_nothing(given: Given[Any]) -> str | None:
    """Trained (`eval`), it moves no global random generator.

    A picture has one translation.
    """
    network = given.new().eval()
    before = random_state()
    with torch.no_grad():
        run(network, given)
    return None if random_state() == before else "a generator moved"


def runs_in_bf16(given: Given[Any]) -> str | None:
    """Under autocast to bfloat16 it gives finite values near those of float32, and finite gradients.

    `train.precision=bf16` runs it so.
    """
    network = stirred(given.new())
    with drawn_alike():
        exact = run(network, given)
    with drawn_alike(), torch.autocast("cpu", torch.bfloat16):
        lower = run(network, given).float()
    if not lower.isfinite().all():
        return "values that are not finite"
    if apart(exact, lower) > LOWER * max(1.0, float(exact.detach().abs().max())):
        return f"{apart(exact, lower):.3g} apart"
    if own := [each for each in network.parameters() if each.requires_grad]:
        slopes = torch.autograd.grad(lower.square().mean(), own, allow_unused=True)
        if not all(each is None or each.isfinite().all() for each in slopes):
            return "gradients that are not finite"
    return None


def takes_channels_last(given: Given[Any]) -> str | None:
    """Pictures that lie channels last in memory give the same.

    That is how they lie on GPUs.
    """
    network = stirred(given.new().eval())
    with torch.no_grad():
        usual, last = run(network, given), run(network, given, image=given.real.to(memory_format=torch.channels_last))
    return f"{apart(usual, last):.3g} apart" if apart(usual, last) > SAME else None


def can_be_one_graph(given: Given[Any]) -> str | None:
    """`torch.compile` takes it as one graph, with the same output. Banks are left out.

    `train.compile` and `translate --compile` run eagerly otherwise.
    """
    given.one_graph()
    network = stirred(given.new().eval())
    with torch.no_grad():
        expected = run(network, given)
        graph = torch.compile(lambda: run(network, given), fullgraph=True, backend="eager")
        torch._dynamo.reset()
        found = graph()
        torch._dynamo.reset()
    return f"{apart(expected, found):.3g} apart" if apart(expected, found) > SAME else None


def other_sizes_are_refused_in_words(given: Given[Any]) -> str | None:
    """For pictures of 8, 64 or 100 pixels it is built and works, or raises `ValueError` that says why it cannot.

    `data.image_size` is a setting of every recipe.
    """
    for size in (8, 64, 100):
        try:
            network = given.make(given.encoder, size)
        except (ValueError, RecipeError) as error:  # `Choice.build` makes the one of the other.
            if not str(error).strip():
                return f"a ValueError without words at {size} pixels"
            continue
        with torch.no_grad(), drawn_alike():
            run(network, given, image=sample_components.pictures(len(given.real), size))
    return None


def takes_any_labels(given: Given[Any]) -> str | None:
    """It is built for, and run on, labels of one yes/no attribute, and of two datasets.

    It is asked of labels only through its encoder: `encoder.size`, `encoder.classes`, `encoder.condition`.
    """
    for attributes in ({"pictures": (sample_components.GLASSES,)}, sample_components.TWO):
        encoder = sample_components.encoder(attributes)
        network = given.make(encoder, given.size).eval()
        for number in range(len(attributes)):
            every = encoder.domains[encoder.dataset(encoder.domains) == number]
            source, target, real = every[:2], every.flip(0)[:2], given.real[:2]
            with torch.no_grad():
                if isinstance(network, Discriminator):
                    out = flat(network(real, target, real if network.needs_truth else None))
                else:
                    out = flat(network(real, source, target))
            if len(out) != 2:
                return f"{list(out.shape)} for two pictures"
    return None


CHECKS: tuple[Callable[[Given[Any]], str | None], ...] = (
    first_weights_are_seeded,
    weights_can_be_saved,
    can_be_copied,
    pictures_do_not_mix,
    is_the_same_twice,
    leaves_its_input,
    trained_it_draws_nothing,
    runs_in_bf16,
    takes_channels_last,
    can_be_one_graph,
    other_sizes_are_refused_in_words,
    takes_any_labels,
)

for suite in (GENERATOR, DISCRIMINATOR):
    common(suite)
    for each in CHECKS:
        suite.check(each)
