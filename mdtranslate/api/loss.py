"""The loss interface: the unit of an algorithm."""

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
"""Per-sample loss of shape `(B,)`, several of them by name, or None if the loss does not apply to the network."""


class Ramp(Settings):
    """A loss weight that changes linearly over the first steps and then stays constant."""

    start: float = Field(description="weight at step 0")
    end: float = Field(description="weight from step `steps` on")
    steps: int = Field(ge=1, description="number of steps over which it changes")


class Loss(Component, nn.Module):
    """Computes loss terms for the discriminator, the generator, or both, from a `Translation`.

    Terms are per sample: the trainer weights and averages them, so gradient accumulation and distributed training give
    the same gradients. A loss never sees a file, an optimizer or a log. Its parameters, if any, are trained with the
    generator; its buffers are kept in checkpoints.

    The smallest complete loss::

        class Identity(Loss):
            name = "identity"

            def generator(self, t):
                return (t.generate(t.real, t.source, t.source) - t.real).abs().mean((1, 2, 3))

    Attributes:
        requires_truth: Whether it compares with ground truth, which only `data.targets=paired` provides.
        config: The settings.
        label_encoder: Converts labels to conditions.
        image_size: Height and width of training images in pixels.
    """

    requires_truth: bool = False

    class Config(Settings):
        """Settings of every loss."""

        weight: float | Ramp = Field(1.0, description="factor of the term, 0 or more: a number, or {start, end, steps}")
        interval: int = Field(
            1,
            ge=1,
            description="compute the term only in every n-th update of a network, with n times the weight: cheaper, "
            "and the same on average (lazy regularisation, Karras et al. 2020, appendix B)",
        )

        @field_validator("weight", mode="after")
        @classmethod
        def _not_negative(cls, weight: float | Ramp) -> float | Ramp:
            if min((weight.start, weight.end) if isinstance(weight, Ramp) else (weight,)) < 0:
                raise ValueError("is negative, so the loss would be maximised; use 0 or more")
            return weight

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the loss.

        Args:
            config: An instance of this class's `Config`.
            label_encoder: Converts labels to conditions.
            image_size: Height and width of training images in pixels.

        Raises:
            ValueError: The settings do not go together.
        """
        nn.Module.__init__(self)
        self.config = config
        self.label_encoder = label_encoder
        self.image_size = image_size

    def discriminator(self, t: Translation) -> Terms:
        """Computes the terms that the discriminator's update minimises."""
        return None

    def generator(self, t: Translation) -> Terms:
        """Computes the terms that the generator's update minimises."""
        return None

    def weight(self, step: int) -> float:
        """Returns the factor of the terms at a step, counted from 0."""
        weight = self.config.weight
        if isinstance(weight, Ramp):
            return float(weight.start + (weight.end - weight.start) * min(step / weight.steps, 1.0))
        return float(weight)
