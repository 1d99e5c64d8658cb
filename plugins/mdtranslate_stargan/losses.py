"""StarGAN's losses (Choi et al. 2018, section 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import Loss, Ramp, Terms, Translation


class WassersteinGP(Loss):
    """Wasserstein loss with gradient penalty (Choi et al. 2018, equation 8; Gulrajani et al. 2017, equation 3).

    - Discriminator: `distance`, the mean score of the fake image minus that of the real one; and `penalty`,
      `gradient_penalty * (norm - 1)^2`, where norm is the L2 norm of the input gradient at a random point between the
      real and the fake image.
    - Generator: minus the mean score of the fake image.

    A conditional discriminator scores the point with the label of the nearer end: the real image's label, or the target
    label. In the published discriminator, which is not conditional, the label makes no difference.
    """

    name = "wgan-gp"

    class Config(Loss.Config):
        """Settings of the gradient penalty."""

        gradient_penalty: float = Field(10.0, ge=0, description="factor of the gradient penalty; 0 switches it off")
        reduction: Literal["mean", "sum"] = Field(
            "mean",
            description="the scalar whose input gradient is penalised: the mean of the score map, which the loss uses, "
            "or its sum, as in the released code (the penalty then depends on the image size)",
        )

    def discriminator(self, t: Translation) -> Terms:
        """Computes the terms `distance` and, unless its factor is 0, `penalty`, each of shape `(B,)`."""
        real_score, fake_score = _mean_score(t.real_output.score), _mean_score(t.fake_output.score)
        terms = {"distance": fake_score - real_score}
        if self.config.gradient_penalty:
            image, label, _ = t.real_sample
            mix = t.random("mix", (1, 1, 1))
            interpolated = mix * image + (1 - mix) * t.fake
            label = torch.where(mix.flatten(1) > 0.5, label, t.target)
            gradient = t.input_gradient(interpolated, label, t.real, reduction=self.config.reduction)
            norm = gradient.flatten(1).norm(dim=1)
            terms["penalty"] = self.config.gradient_penalty * (norm - 1) ** 2
        return terms

    def generator(self, t: Translation) -> Terms:
        """Computes minus the mean score of the fake image, `(B,)`."""
        return -_mean_score(t.fake_output.score)


class DomainClassification(Loss):
    """Domain classification loss (Choi et al. 2018, equations 2 and 3).

    - Discriminator: classification loss of real images against their source labels.
    - Generator: classification loss of fake images against their target labels.

    The label encoder computes it from the discriminator's logits `(B, K)`; unknown attributes contribute 0.
    """

    name = "domain-classification"

    def discriminator(self, t: Translation) -> Terms:
        """Computes the classification loss of the real images, `(B,)`."""
        return t.classification_loss(t.real_output, t.source)

    def generator(self, t: Translation) -> Terms:
        """Computes the classification loss of the fake images, `(B,)`."""
        return t.classification_loss(t.fake_output, t.target)


class CycleReconstruction(Loss):
    """Cycle-consistency loss (Choi et al. 2018, equation 4).

    Mean absolute difference between the source image and its reconstruction, which is the fake image translated back to
    the source label. Images are in [-1, 1].
    """

    name = "cycle-reconstruction"

    class Config(Loss.Config):
        """The weight, by default as in the paper."""

        weight: float | Ramp = Field(10.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        """Computes the mean absolute difference per sample, `(B,)`."""
        return (t.reconstruction - t.real).abs().mean((1, 2, 3))


def _mean_score(score: Tensor) -> Tensor:
    """Averages scores `(B, ...)` over patches, to `(B,)`."""
    return score.reshape(len(score), -1).mean(1)
