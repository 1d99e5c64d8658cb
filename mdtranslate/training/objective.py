"""The weighted sum of loss terms that an update minimises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from mdtranslate.api import Loss, Terms
from mdtranslate.api.translation import Translation
from mdtranslate.config.schema import Optimizer
from mdtranslate.errors import PluginError

Network = Literal["discriminator", "generator"]


@dataclass(frozen=True)
class Phase:
    """One update of a training step.

    Attributes:
        network: The network that it trains.
        loss_terms: Calls the method of a loss that returns its terms for this network.
        parameters: The parameters that it updates, those of losses included.
        optimizer: Their optimizer.
        settings: The optimizer's settings in the recipe.
        interval: Steps from one update to the next.
    """

    network: Network
    loss_terms: Callable[[Loss, Translation], Terms]
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    settings: Optimizer
    interval: int


class Objective(NamedTuple):
    """What an update minimises.

    Attributes:
        total: The weighted sum of all terms, a scalar.
        terms: Mean of each term over the batch, detached, by its name in the log: `generator/wgan-gp.penalty`.
    """

    total: Tensor
    terms: dict[str, Tensor]


def compute_objective(
    phase: Phase, losses: Mapping[str, Loss], t: Translation, weights: Mapping[str, float | Tensor]
) -> Objective | None:
    """Computes the terms of all losses that have a weight, and their weighted sum.

    Args:
        phase: The update.
        losses: The losses by name.
        t: The batch and the networks.
        weights: Current weights of those losses that count.

    Returns:
        The objective, or None if no loss has a term for this network.

    Raises:
        PluginError: A term does not have shape `(B,)`.
    """
    terms, weighted = {}, []
    for name, weight in weights.items():
        t.loss_name = name  # Each loss draws from random streams of its own.
        loss_terms = phase.loss_terms(losses[name], t)
        if loss_terms is None:
            continue
        for term_name, term in (loss_terms if isinstance(loss_terms, Mapping) else {"": loss_terms}).items():
            if not isinstance(term, Tensor) or term.shape != t.real.shape[:1]:
                is_tensor = isinstance(term, Tensor)
                actual = f"a term of shape {list(term.shape)}" if is_tensor else f"a {type(term).__name__}"
                raise PluginError(
                    f"loss {name!r} returned {actual} for the {phase.network}; "
                    f"expected one value per sample, {list(t.real.shape[:1])}, such as a mean over the other dimensions"
                )
            mean = term.mean()
            weighted.append(weight * mean)
            terms[f"{phase.network}/{name}{'.' if term_name else ''}{term_name}"] = mean.detach()
    return Objective(torch.stack(weighted).sum(), terms) if terms else None


def is_term_of(name: str, network: Network, loss: str) -> bool:
    """Whether `compute_objective` gave this name to a term of a loss."""
    prefix = f"{network}/{loss}"
    return name == prefix or name.startswith(f"{prefix}.")
