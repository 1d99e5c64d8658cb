"""What a loss says: terms, one value a picture, by which networks learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.translation import Batch
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.losses.loss_case import COUNT, LOSS, ROLES, SAME, SIZE, Given, called, terms, without_state


@LOSS.check
def config_extends_that_of_losses(given: Given) -> str | None:
    """`Config` is a subclass of `Loss.Config`.

    Every loss has a `weight`.
    """
    config = given.component.Config
    return None if issubclass(config, Loss.Config) else f"{config.__mro__[1].__name__}"


@LOSS.premise
def has_something_to_say(given: Given) -> str | None:
    """At least one of the two networks is given a term.

    A loss without any is of no use.
    """
    return None if any(given.terms(given.new(), role) for role in ROLES) else "none"


@LOSS.premise
def terms_are_one_a_picture(given: Given) -> str | None:
    """Each term is a tensor [B]: a value for each picture, not their mean.

    The engine averages: gradients are then the same however a batch is cut, and on several processes.
    """
    for role in ROLES:
        for name, term in given.terms(given.new(), role).items():
            if not isinstance(term, Tensor) or term.shape != (COUNT,):
                came = list(term.shape) if isinstance(term, Tensor) else type(term).__name__
                return f"{came} for {COUNT} pictures ({called(role, name)})"
    return None


@LOSS.premise
def terms_are_finite(given: Given) -> str | None:
    """Each term and its gradients are finite, on usual pictures and on ones that are all alike.

    One value that is not stops the run. A norm's gradient at 0, or a logarithm of 0, is found here.
    """
    usual = given.batch()
    flat = Batch(
        usual.real * 0, usual.source, usual.target, usual.seeds, None if usual.truth is None else usual.truth * 0
    )
    for batch in (usual, flat):
        for role in ROLES:
            stage = sample_components.Stage(given.encoder, SIZE)
            network = stage.discriminator if role == "discriminator" else stage.generator
            for name, term in terms(given.new(), role, stage, batch).items():
                if not term.isfinite().all():
                    return f"{term.tolist()} ({called(role, name)})"
                if term.requires_grad and not all(each.isfinite().all() for each in _slopes(term, network)):
                    return f"gradients that are not ({called(role, name)})"
    return None


@LOSS.check
def terms_teach(given: Given) -> str | None:
    """Each network's terms together have gradients by its weights that are not all 0.

    A term of what has no graph changes nothing, and nobody says so.
    """
    for role in ROLES:
        stage, loss = sample_components.Stage(given.encoder, SIZE), given.new()
        found = terms(loss, role, stage, given.batch())
        if not found:
            continue
        network = stage.discriminator if role == "discriminator" else stage.generator
        total = torch.stack([term.mean() for term in found.values()]).sum()
        if not total.requires_grad:
            return f"no gradient ({role})"
        slopes = _slopes(total, network)
        if not any(each.any() for each in slopes):
            return f"all gradients are 0 ({role})"
    return None


@LOSS.check
def the_discriminator_does_not_teach_the_generator(given: Given) -> str | None:
    """The discriminator's terms have no gradient by the generator's weights.

    `fake` has no graph there; whoever makes pictures anew (`generate`) pays for one that is thrown away.
    """
    stage, loss = sample_components.Stage(given.encoder, SIZE), given.new()
    found = [term for term in terms(loss, "discriminator", stage, given.batch()).values() if term.requires_grad]
    if not found:
        raise DoesNotApply("it says nothing to the discriminator")
    own = list(stage.generator.parameters())
    slopes = torch.autograd.grad(torch.stack([each.sum() for each in found]).sum(), own, allow_unused=True)
    return "there are gradients" if any(each is not None for each in slopes) else None


@LOSS.check
def terms_do_not_mix_pictures(given: Given) -> str | None:
    """The term of a picture is the same alone and in a batch, unless the loss keeps something in buffers.

    Otherwise `train.accumulate` and several processes train something else.
    """
    without_state(given)
    batch = given.batch()
    for role in ROLES:
        together = given.terms(given.new(), role, batch)
        parts = [given.terms(given.new(), role, part) for part in batch.cut(COUNT)]
        for name, term in together.items():
            alone = torch.cat([part[name] for part in parts])
            if not torch.allclose(term, alone, rtol=1e-4, atol=SAME):
                return f"{term.tolist()} together, {alone.tolist()} alone ({called(role, name)})"
    return None


@LOSS.check
def terms_are_always_the_same_ones(given: Given) -> str | None:
    """For any pictures there are the same terms by name.

    Several processes share a batch, and each must have the same terms.
    """
    for role in ROLES:
        names = [
            list(given.terms(given.new(), role, given.batch(count, seed))) for count, seed in ((4, 0), (2, 1), (1, 2))
        ]
        if any(each != names[0] for each in names):
            return f"{names} ({role})"
    return None


def _slopes(term: Tensor, network: nn.Module) -> tuple[Tensor, ...]:
    """The gradients of a term's sum by the weights of a network; 0 where it does not depend on them."""
    own = list(network.parameters())
    return torch.autograd.grad(term.sum(), own, allow_unused=True, materialize_grads=True, retain_graph=True)
