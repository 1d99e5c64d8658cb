"""Checks of a loss's behaviour: its state, its random numbers, and what it requires."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from mdtranslate.api import Ramp
from mdtranslate.api.batch import Batch
from mdtranslate.api.translation import Translation
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.losses.loss_case import (
    BATCH_SIZE,
    IMAGE_SIZE,
    LOSS,
    ROLES,
    LossCase,
    Role,
    compute_terms,
    require_stateless,
    term_label,
)
from mdtranslate.testing.sample_components import TWO_DATASETS, TinyNetworks, build_label_encoder, random_batch
from mdtranslate.testing.side_effects import random_state
from mdtranslate.utils.device import isolated_rng


@LOSS.check
def is_deterministic(case: LossCase) -> str | None:
    """The same batch gives the same terms again, unless buffers of the loss change from batch to batch.

    State outside of buffers is not in checkpoints, so a resumed run would differ.
    """
    require_stateless(case)
    loss = case.new_instance()
    for role in ROLES:
        first, second = case.terms(loss, role), case.terms(loss, role)
        for name, term in first.items():
            if not torch.equal(term, second[name]):
                return f"{term.tolist()}, then {second[name].tolist()} ({term_label(role, name)})"
    return None


@LOSS.check
def state_is_in_buffers(case: LossCase) -> str | None:
    """A new instance that loads the state dict after some batches gives the same terms as the original.

    Checkpoints contain nothing else of a loss.
    """
    loss = case.new_instance()
    for seed in range(4):
        for role in ROLES:
            case.terms(loss, role, case.batch(seed=seed))
    restored = case.new_instance()
    state = {name: tensor.clone().contiguous() for name, tensor in loss.state_dict().items()}
    restored.load_state_dict(load(save(state)) if state else {}, strict=False)
    for role in ROLES:
        first, second = (case.terms(instance, role, case.batch(seed=9)) for instance in (loss, restored))
        for name, term in first.items():
            if not torch.equal(term, second[name]):
                return f"{term.tolist()}, restored {second[name].tolist()} ({term_label(role, name)})"
    return None


@LOSS.check
def can_be_copied(case: LossCase) -> str | None:
    """A deep copy gives the same terms.

    Trial steps, such as those that search for a batch size, use copies.
    """
    loss = case.new_instance()
    copy = deepcopy(loss)
    for role in ROLES:
        terms, copy_terms = case.terms(loss, role), case.terms(copy, role)
        if any(not torch.equal(term, copy_terms[name]) for name, term in terms.items()):
            return f"different terms ({role})"
    return None


@LOSS.check
def does_not_modify_the_batch(case: LossCase) -> str | None:
    """Images and labels of the batch, and `t.fake`, are not modified.

    Other losses use them afterwards.
    """
    for role in ROLES:
        t: Any = TinyNetworks(case.label_encoder, IMAGE_SIZE).translation(case.batch(), role)
        before = [tensor.detach().clone() for tensor in (t.real, t.source, t.target, t.fake)]
        getattr(case.new_instance(), role)(t)
        if not all(map(torch.equal, before, (t.real, t.source, t.target, t.fake))):
            return f"they were modified ({role})"
    return None


@LOSS.check
def draws_no_global_random_numbers(case: LossCase) -> str | None:
    """Computing terms does not change the global random generators; random numbers come from `t.random` or `t.noise`.

    These are the same for any split into micro-batches and processes, and after a resume.
    """
    loss = case.new_instance()
    for role in ROLES:
        before = random_state()
        case.terms(loss, role)
        if random_state() != before:
            return f"the state of random, numpy.random or torch changed ({role})"
    return None


@LOSS.check
def requires_truth_is_correct(case: LossCase) -> str | None:
    """Without `requires_truth = True`, it works on batches without ground truth.

    Only `data.targets=paired` provides ground truth; recipes without it refuse losses that declare to require it.
    """
    if case.loss.requires_truth:
        raise NotApplicable("it requires ground truth")
    for role in ROLES:
        batch = random_batch(case.label_encoder, BATCH_SIZE, IMAGE_SIZE, truth=False)
        case.terms(case.new_instance(), role, batch)
    return None


@LOSS.check
def weight_follows_the_setting(case: LossCase) -> str | None:
    """`weight` returns the number in the settings at every step, or follows the ramp from its start to its end.

    The trainer multiplies the terms by it, and does not compute a loss while its weight is 0.
    """
    config = case.config
    ramp = config.model_copy(update={"weight": Ramp(start=0.0, end=4.0, steps=100)})
    number = config.model_copy(update={"weight": 3.0})
    loss = case.new_instance()
    weights = []
    for settings in (number, ramp):
        loss.config = settings
        weights += [loss.weight(0), loss.weight(50), loss.weight(1000)]
    return None if weights == [3.0, 3.0, 3.0, 0.0, 2.0, 4.0] else f"{weights}"


@LOSS.check
def compiles_to_one_graph(case: LossCase) -> str | None:
    """`torch.compile` captures the terms as one graph, unless buffers of the loss change from batch to batch.

    Otherwise `train.compile` trains the whole recipe without compilation and prints why.
    """
    require_stateless(case)
    loss, networks = case.new_instance(), TinyNetworks(case.label_encoder, IMAGE_SIZE)
    for role in ROLES:
        batch = case.batch()
        expected = compute_terms(loss, role, networks, batch)
        fake = networks.translation(batch, role).fake.detach()

        def compute(batch: Batch, fake: Tensor, role: Role = role) -> dict[str, Tensor]:
            components = networks.generator, networks.discriminator, networks.label_encoder
            t = Translation(batch, *components, updated=role, precomputed=(fake, None))
            terms = getattr(loss, role)(t)
            return {} if terms is None else dict(terms) if isinstance(terms, Mapping) else {"": terms}

        torch._dynamo.reset()
        terms = torch.compile(compute, fullgraph=True, backend="eager")(batch, fake)
        torch._dynamo.reset()
        for name, term in expected.items():
            if not torch.allclose(term, terms[name], rtol=1e-4, atol=1e-4):
                return f"{term.tolist()}, compiled {terms[name].tolist()} ({term_label(role, name)})"
    return None


@LOSS.check
def supports_any_labels(case: LossCase) -> str | None:
    """It can be built for, and computes terms for, the labels of two datasets.

    A loss must treat labels only through its label encoder.
    """
    label_encoder = build_label_encoder(TWO_DATASETS)
    with isolated_rng():
        loss = case.build(label_encoder, IMAGE_SIZE)
    networks = TinyNetworks(label_encoder, IMAGE_SIZE)
    for role in ROLES:
        batch = random_batch(label_encoder, BATCH_SIZE, IMAGE_SIZE, truth=loss.requires_truth)
        for name, term in compute_terms(loss, role, networks, batch).items():
            if term.shape != (BATCH_SIZE,):
                return f"{list(term.shape)} ({term_label(role, name)})"
    return None
