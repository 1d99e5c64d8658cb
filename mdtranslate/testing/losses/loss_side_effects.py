"""How a loss behaves: what it keeps, draws and needs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from mdtranslate.api import Ramp
from mdtranslate.api.translation import Batch
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.losses.loss_case import COUNT, LOSS, ROLES, SIZE, Given, Role, called, terms, without_state
from mdtranslate.testing.side_effects import random_state
from mdtranslate.utils.device import isolated


@LOSS.check
def is_the_same_twice(given: Given) -> str | None:
    """Asked twice of the same batch it gives the same, unless it keeps something in buffers.

    What it keeps elsewhere is in no checkpoint, so a run that goes on is another one.
    """
    without_state(given)
    loss = given.new()
    for role in ROLES:
        one, other = given.terms(loss, role), given.terms(loss, role)
        for name, term in one.items():
            if not torch.equal(term, other[name]):
                return f"{term.tolist()} and then {other[name].tolist()} ({called(role, name)})"
    return None


@LOSS.check
def what_it_keeps_is_in_its_state(given: Given) -> str | None:
    """Its state, saved after some batches and loaded into another one, makes that one go on in the same way.

    Checkpoints hold nothing else of a loss.
    """
    loss = given.new()
    for seed in range(4):
        for role in ROLES:
            given.terms(loss, role, given.batch(seed=seed))
    other = given.new()
    state = {name: each.clone().contiguous() for name, each in loss.state_dict().items()}
    other.load_state_dict(load(save(state)) if state else {}, strict=False)
    for role in ROLES:
        one, two = (given.terms(each, role, given.batch(seed=9)) for each in (loss, other))
        for name, term in one.items():
            if not torch.equal(term, two[name]):
                return f"{term.tolist()} and {two[name].tolist()} ({called(role, name)})"
    return None


@LOSS.check
def can_be_copied(given: Given) -> str | None:
    """A deep copy gives the same terms.

    Trials are made with copies.
    """
    loss = given.new()
    copied = deepcopy(loss)
    for role in ROLES:
        one, other = given.terms(loss, role), given.terms(copied, role)
        if any(not torch.equal(term, other[name]) for name, term in one.items()):
            return f"others ({role})"
    return None


@LOSS.check
def leaves_the_batch(given: Given) -> str | None:
    """Pictures, labels and `fake` are after it as they were before.

    Other losses look at them after it.
    """
    for role in ROLES:
        stage, batch = sample_components.Stage(given.encoder, SIZE), given.batch()
        t: Any = stage.translation(batch, role)
        before = [each.detach().clone() for each in (t.real, t.source, t.target, t.fake)]
        getattr(given.new(), role)(t)
        if not all(map(torch.equal, before, (t.real, t.source, t.target, t.fake))):
            return f"they changed ({role})"
    return None


@LOSS.check
def draws_nothing_itself(given: Given) -> str | None:
    """It moves no global random generator: what varies by image is drawn by `t.random(name, shape)`, or is `t.noise`.

    A run is repeated, and cut among processes, by what a batch brings.
    """
    loss = given.new()
    for role in ROLES:
        before = random_state()
        given.terms(loss, role)
        if random_state() != before:
            return f"a generator moved ({role})"
    return None


@LOSS.check
def needs_truth_only_where_it_says_so(given: Given) -> str | None:
    """Without `needs_truth = True` it works on batches without true pictures.

    Only `data.targets=paired` brings them, and a recipe without is refused by that word alone.
    """
    if given.loss.needs_truth:
        raise DoesNotApply("it compares with true pictures")
    for role in ROLES:
        given.terms(given.new(), role, sample_components.batch(given.encoder, COUNT, SIZE, truth=False))
    return None


@LOSS.check
def weight_follows_its_setting(given: Given) -> str | None:
    """`weight` gives the setting's number at every step; of a ramp from its start to its end.

    The engine multiplies by it, and leaves a loss out while it is 0.
    """
    config = given.config
    ramp = config.model_copy(update={"weight": Ramp(start=0.0, end=4.0, steps=100)})
    plain = config.model_copy(update={"weight": 3.0})
    loss = given.new()
    found = []
    for settings in (plain, ramp):
        loss.config = settings
        found += [loss.weight(0), loss.weight(50), loss.weight(1000)]
    return None if found == [3.0, 3.0, 3.0, 0.0, 2.0, 4.0] else f"{found}"


@LOSS.check
def can_be_one_graph(given: Given) -> str | None:
    """`torch.compile` takes each of its terms as one graph, unless it keeps something in buffers.

    `train.compile` trains the whole recipe eagerly otherwise, and says why.
    """
    without_state(given)
    loss, stage = given.new(), sample_components.Stage(given.encoder, SIZE)
    for role in ROLES:
        batch = given.batch()
        expected = terms(loss, role, stage, batch)
        fake = stage.translation(batch, role).fake.detach()

        def graph(batch: Batch, fake: Tensor, role: Role = role) -> dict[str, Tensor]:
            from mdtranslate.api.translation import Translation

            networks = stage.generator, stage.discriminator, stage.encoder
            t = Translation(batch, *networks, learns=role, made=(fake, None))
            found = getattr(loss, role)(t)
            return {} if found is None else dict(found) if isinstance(found, Mapping) else {"": found}

        torch._dynamo.reset()
        found = torch.compile(graph, fullgraph=True, backend="eager")(batch, fake)
        torch._dynamo.reset()
        for name, term in expected.items():
            if not torch.allclose(term, found[name], rtol=1e-4, atol=1e-4):
                return f"{term.tolist()}, compiled {found[name].tolist()} ({called(role, name)})"
    return None


@LOSS.check
def takes_any_labels(given: Given) -> str | None:
    """It is built for, and works on, labels of two datasets.

    It is asked of labels only through its encoder.
    """
    encoder = sample_components.encoder(sample_components.TWO)
    with isolated():
        loss = given.make(encoder, SIZE)
    stage = sample_components.Stage(encoder, SIZE)
    for role in ROLES:
        for name, term in terms(
            loss, role, stage, sample_components.batch(encoder, COUNT, SIZE, truth=loss.needs_truth)
        ).items():
            if term.shape != (COUNT,):
                return f"{list(term.shape)} ({called(role, name)})"
    return None
