"""What the checks of losses look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from mdtranslate.api import LabelEncoder, Loss
from mdtranslate.api.translation import Batch
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply, Suite
from mdtranslate.testing.component_checks import common, maker
from mdtranslate.utils.device import isolated

Role = Literal["discriminator", "generator"]
ROLES: tuple[Role, ...] = ("discriminator", "generator")
Make = Callable[[LabelEncoder, int], Loss]
COUNT, SIZE = 4, 16
SAME = 1e-5


class Given:
    """A loss for small pictures of one dataset, and the smallest networks that it can look at."""

    def __init__(self, given: type[Loss] | Make) -> None:
        """`given`: a class, with its default settings; or a function of an encoder and an image size."""
        self.make: Make = maker(given, "encoder", "image_size")
        self.encoder = sample_components.encoder()
        self.loss = self.new()
        self.component, self.config = type(self.loss), self.loss.config

    def new(self) -> Loss:
        with isolated(0):
            return self.make(self.encoder, SIZE)

    def batch(self, count: int = COUNT, seed: int = 0) -> Batch:
        return sample_components.batch(self.encoder, count, SIZE, truth=self.loss.needs_truth, seed=seed)

    def terms(self, loss: Loss, role: Role, batch: Batch | None = None) -> dict[str, Tensor]:
        """Its terms by name, none where it has nothing to say."""
        return terms(loss, role, sample_components.Stage(self.encoder, SIZE), self.batch() if batch is None else batch)


def terms(loss: Loss, role: Role, stage: sample_components.Stage, batch: Batch) -> dict[str, Tensor]:
    """What a loss gives, by name."""
    found = getattr(loss, role)(stage.translation(batch, role))
    if found is None:
        return {}
    return dict(found) if isinstance(found, Mapping) else {"": found}


def without_state(given: Given) -> None:
    """Leaves a check out for a loss whose state is another after some batches."""
    loss = given.new()
    before = {name: each.clone() for name, each in loss.state_dict().items()}
    for seed in range(3):
        for role in ROLES:
            given.terms(loss, role, given.batch(seed=seed))
    after = loss.state_dict()
    if before.keys() != after.keys() or any(not torch.equal(after[name], each) for name, each in before.items()):
        raise DoesNotApply("it keeps something in buffers")


def called(role: Role, name: str) -> str:
    return f"{role}{', ' if name else ''}{name}"


LOSS: Suite[Given] = Suite(Given)
common(LOSS)
