"""Checks of the terms of a loss: their shapes, values and gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.batch import Batch
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.losses.loss_case import (
    BATCH_SIZE,
    IMAGE_SIZE,
    LOSS,
    ROLES,
    LossCase,
    compute_terms,
    require_stateless,
    term_label,
)
from mdtranslate.testing.sample_components import TinyNetworks

TOLERANCE = 1e-5
"""Absolute difference of terms that rounding may cause."""


@LOSS.check
def config_derives_from_loss_config(case: LossCase) -> str | None:
    """`Config` is a subclass of `Loss.Config`.

    Every loss has the setting `weight`.
    """
    config = case.component.Config
    return None if issubclass(config, Loss.Config) else f"{config.__mro__[1].__name__}"


@LOSS.prerequisite
def returns_terms(case: LossCase) -> str | None:
    """`discriminator` or `generator` returns at least one term.

    A loss without terms has no effect.
    """
    return None if any(case.terms(case.new_instance(), role) for role in ROLES) else "none"


@LOSS.prerequisite
def terms_are_per_sample(case: LossCase) -> str | None:
    """Each term is a tensor (B,): one value for each sample, not their mean.

    The trainer averages over samples, so that gradients do not depend on how batches are split.
    """
    for role in ROLES:
        for name, term in case.terms(case.new_instance(), role).items():
            if not isinstance(term, Tensor) or term.shape != (BATCH_SIZE,):
                actual = list(term.shape) if isinstance(term, Tensor) else type(term).__name__
                return f"{actual} for {BATCH_SIZE} samples ({term_label(role, name)})"
    return None


@LOSS.prerequisite
def terms_are_finite(case: LossCase) -> str | None:
    """Each term and its gradients are finite, for random images and for constant ones.

    A run stops at the first other value. Common causes are the gradient of a norm at 0, and the logarithm of 0.
    """
    batch = case.batch()
    truth = None if batch.truth is None else batch.truth * 0
    constant_batch = Batch(batch.real * 0, batch.source, batch.target, batch.seeds, truth)
    for images in (batch, constant_batch):
        for role in ROLES:
            networks = TinyNetworks(case.label_encoder, IMAGE_SIZE)
            network = networks.discriminator if role == "discriminator" else networks.generator
            for name, term in compute_terms(case.new_instance(), role, networks, images).items():
                if not term.isfinite().all():
                    return f"{term.tolist()} ({term_label(role, name)})"
                if term.requires_grad and not all(grad.isfinite().all() for grad in _gradients(term, network)):
                    return f"gradients that are not finite ({term_label(role, name)})"
    return None


@LOSS.check
def terms_have_gradients(case: LossCase) -> str | None:
    """The sum of a network's terms has gradients with respect to its parameters that are not all 0.

    A term without a graph has no effect, and no error is raised.
    """
    for role in ROLES:
        networks, loss = TinyNetworks(case.label_encoder, IMAGE_SIZE), case.new_instance()
        terms = compute_terms(loss, role, networks, case.batch())
        if not terms:
            continue
        network = networks.discriminator if role == "discriminator" else networks.generator
        total = torch.stack([term.mean() for term in terms.values()]).sum()
        if not total.requires_grad:
            return f"no gradient ({role})"
        if not any(gradient.any() for gradient in _gradients(total, network)):
            return f"all gradients are 0 ({role})"
    return None


@LOSS.check
def discriminator_terms_exclude_the_generator(case: LossCase) -> str | None:
    """The discriminator's terms have no gradient with respect to the generator's parameters.

    `t.fake` carries no graph in the discriminator's update; calling `t.generate` builds one for nothing.
    """
    networks, loss = TinyNetworks(case.label_encoder, IMAGE_SIZE), case.new_instance()
    all_terms = compute_terms(loss, "discriminator", networks, case.batch()).values()
    terms = [term for term in all_terms if term.requires_grad]
    if not terms:
        raise NotApplicable("it has no terms for the discriminator")
    params = list(networks.generator.parameters())
    gradients = torch.autograd.grad(torch.stack([term.sum() for term in terms]).sum(), params, allow_unused=True)
    return "there are gradients" if any(gradient is not None for gradient in gradients) else None


@LOSS.check
def samples_are_independent(case: LossCase) -> str | None:
    """The term of a sample is the same alone and in a batch, unless buffers of the loss change from batch to batch.

    Otherwise results depend on `train.gradient_accumulation` and the number of processes.
    """
    require_stateless(case)
    batch = case.batch()
    for role in ROLES:
        batch_terms = case.terms(case.new_instance(), role, batch)
        sample_terms = [
            case.terms(case.new_instance(), role, micro_batch) for micro_batch in batch.micro_batches(BATCH_SIZE)
        ]
        for name, term in batch_terms.items():
            single = torch.cat([terms[name] for terms in sample_terms])
            if not torch.allclose(term, single, rtol=1e-4, atol=TOLERANCE):
                return f"{term.tolist()} in a batch, {single.tolist()} alone ({term_label(role, name)})"
    return None


@LOSS.check
def term_names_are_constant(case: LossCase) -> str | None:
    """The names of the terms do not depend on the batch.

    All processes that share a batch must have the same terms.
    """
    for role in ROLES:
        names = [
            list(case.terms(case.new_instance(), role, case.batch(count, seed)))
            for count, seed in ((4, 0), (2, 1), (1, 2))
        ]
        if any(names_of_batch != names[0] for names_of_batch in names):
            return f"{names} ({role})"
    return None


def _gradients(term: Tensor, network: nn.Module) -> tuple[Tensor, ...]:
    """Returns the gradients of a term's sum by parameter; 0 if the term does not depend on it."""
    params = list(network.parameters())
    return torch.autograd.grad(term.sum(), params, allow_unused=True, materialize_grads=True, retain_graph=True)
