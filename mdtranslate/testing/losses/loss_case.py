"""What the checks of a loss test: the loss, with small networks and images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from mdtranslate.api import LabelEncoder, Loss
from mdtranslate.api.batch import Batch
from mdtranslate.testing.checks import NotApplicable, Suite
from mdtranslate.testing.component_checks import add_common_checks, as_builder
from mdtranslate.testing.sample_components import TinyNetworks, build_label_encoder, random_batch
from mdtranslate.utils.device import isolated_rng

Role = Literal["discriminator", "generator"]
ROLES: tuple[Role, ...] = ("discriminator", "generator")
LossBuilder = Callable[[LabelEncoder, int], Loss]
BATCH_SIZE, IMAGE_SIZE = 4, 16


class LossCase:
    """A loss for small images of one dataset.

    Attributes:
        build: Builds the loss for a label encoder and an image size.
        label_encoder: The label encoder.
        loss: The loss.
        component: Its class.
        config: Its settings.
    """

    def __init__(self, component: type[Loss] | LossBuilder) -> None:
        """Initialises the case.

        Args:
            component: The class, built with default settings, or a function that builds a loss for a label encoder and
                an image size.
        """
        self.build: LossBuilder = as_builder(component, "label_encoder", "image_size")
        self.label_encoder = build_label_encoder()
        self.loss = self.new_instance()
        self.component, self.config = type(self.loss), self.loss.config

    def new_instance(self) -> Loss:
        """Builds another loss, always with the same random state."""
        with isolated_rng(0):
            return self.build(self.label_encoder, IMAGE_SIZE)

    def batch(self, count: int = BATCH_SIZE, seed: int = 0) -> Batch:
        """Returns a batch of random images, with ground truth if the loss requires it."""
        return random_batch(self.label_encoder, count, IMAGE_SIZE, truth=self.loss.requires_truth, seed=seed)

    def terms(self, loss: Loss, role: Role, batch: Batch | None = None) -> dict[str, Tensor]:
        """Returns the terms of a loss by name for a network, from tiny networks and a batch."""
        networks = TinyNetworks(self.label_encoder, IMAGE_SIZE)
        return compute_terms(loss, role, networks, self.batch() if batch is None else batch)


def compute_terms(loss: Loss, role: Role, networks: TinyNetworks, batch: Batch) -> dict[str, Tensor]:
    """Returns the terms of a loss by name for the network `role`; a single term has an empty name."""
    terms = getattr(loss, role)(networks.translation(batch, role))
    if terms is None:
        return {}
    return dict(terms) if isinstance(terms, Mapping) else {"": terms}


def require_stateless(case: LossCase) -> None:
    """Raises `NotApplicable` if the state of the loss changes from batch to batch."""
    loss = case.new_instance()
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    for seed in range(3):
        for role in ROLES:
            case.terms(loss, role, case.batch(seed=seed))
    after = loss.state_dict()
    if before.keys() != after.keys() or any(not torch.equal(after[name], tensor) for name, tensor in before.items()):
        raise NotApplicable("its buffers change from batch to batch")


def term_label(role: Role, name: str) -> str:
    """Returns how messages name a term: the network and, if it has one, the term's name."""
    return f"{role}{', ' if name else ''}{name}"


LOSS: Suite[LossCase] = Suite(LossCase)
add_common_checks(LOSS)
