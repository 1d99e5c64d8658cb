"""The loss contract: the unit of an algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from torch import Tensor, nn

from mdtranslate.api.component import Component, Settings
from mdtranslate.api.label_encoder import LabelEncoder

if TYPE_CHECKING:
    from mdtranslate.api.translation import Translation

Terms = Tensor | Mapping[str, Tensor] | None
"""One value per picture, [B]; several by name; or None for "nothing to say to this network"."""


class Ramp(Settings):
    """A weight that grows or falls evenly over the first `steps` steps, then stays."""

    start: float = Field(description="weight at step 0")
    end: float = Field(description="weight from step `steps` on")
    steps: int = Field(ge=1, description="steps over which it changes")


class Loss(Component, nn.Module):
    """Looks at a `Translation` and returns its term for the discriminator, the generator, or both.

    Terms are one value per picture: the engine weights and averages them, so gradient accumulation and several
    processes give the same gradients. A loss never sees a file, an optimizer or a log. Its parameters, if any, train
    with the generator; its buffers are kept in checkpoints.

    The smallest one, complete::

        class Identity(Loss):
            name = "identity"

            def generator(self, t):
                return (t.generate(t.real, t.source, t.source) - t.real).abs().mean((1, 2, 3))
    """

    needs_truth: bool = False
    """Whether it compares with true pictures, which only `data.targets=paired` brings."""

    class Config(Settings):
        """Settings that every loss has."""

        weight: float | Ramp = Field(1.0, description="factor of the term, 0 or more: a number, or {start, end, steps}")

        @field_validator("weight", mode="after")
        @classmethod
        def _not_negative(cls, weight: float | Ramp) -> float | Ramp:
            if min((weight.start, weight.end) if isinstance(weight, Ramp) else (weight,)) < 0:
                raise ValueError("is negative, and a network would unlearn what the loss asks; 0 or more is right")
            return weight

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.encoder = encoder
        self.image_size = image_size

    def discriminator(self, t: Translation) -> Terms:
        """The term that the discriminator's update minimises."""
        return None

    def generator(self, t: Translation) -> Terms:
        """The term that the generator's update minimises."""
        return None

    def weight(self, step: int) -> float:
        """The factor at `step`, counted from 0."""
        weight = self.config.weight
        if isinstance(weight, Ramp):
            return float(weight.start + (weight.end - weight.start) * min(step / weight.steps, 1.0))
        return float(weight)
