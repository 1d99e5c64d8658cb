"""Adversarial losses that are not tied to one method: logistic, hinge, and R1 regularisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Loss, Terms, Translation


class Logistic(Loss):
    """Non-saturating logistic loss (Goodfellow et al. 2014, section 3), averaged over the score map.

    - Discriminator: `real`, softplus of minus the score of the real image; and `fake`, softplus of the score of the
      fake image.
    - Generator: softplus of minus the score of the fake image.
    """

    name = "logistic"

    def discriminator(self, t: Translation) -> Terms:
        """Computes the terms `real` and `fake`, each of shape `(B,)`."""
        return {
            "real": _mean(F.softplus(-t.real_output.score)),
            "fake": _mean(F.softplus(t.fake_output.score)),
        }

    def generator(self, t: Translation) -> Terms:
        """Computes the term of the fake image, `(B,)`."""
        return _mean(F.softplus(-t.fake_output.score))


class Hinge(Loss):
    """Hinge loss (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17), averaged over the score map.

    - Discriminator: `real`, max(0, 1 - score) of the real image; and `fake`, max(0, 1 + score) of the fake image.
    - Generator: minus the score of the fake image.
    """

    name = "hinge"

    def discriminator(self, t: Translation) -> Terms:
        """Computes the terms `real` and `fake`, each of shape `(B,)`."""
        return {
            "real": _mean(F.relu(1 - t.real_output.score)),
            "fake": _mean(F.relu(1 + t.fake_output.score)),
        }

    def generator(self, t: Translation) -> Terms:
        """Computes minus the score of the fake image, `(B,)`."""
        return _mean(-t.fake_output.score)


class R1(Loss):
    """R1 regularisation (Mescheder et al. 2018, equation 9): half the squared input gradient at real images.

    A conditional discriminator scores the real image with its own label. The weight of the loss is the paper's gamma.
    With `interval` it is computed in every n-th update only (Karras et al. 2020, appendix B).
    """

    name = "r1"

    class Config(Loss.Config):
        """The scalar whose gradient is penalised."""

        reduction: Literal["mean", "sum"] = Field(
            "mean", description="the scalar whose input gradient is penalised: the mean of the score map, or its sum"
        )

    def discriminator(self, t: Translation) -> Terms:
        """Computes half the squared norm of the input gradient, `(B,)`."""
        gradient = t.input_gradient(*t.real_sample, reduction=self.config.reduction)
        return 0.5 * gradient.flatten(1).square().sum(1)


def _mean(values: Tensor) -> Tensor:
    """Averages values `(B, ...)` over each sample, to `(B,)`."""
    return values.reshape(len(values), -1).mean(1)
