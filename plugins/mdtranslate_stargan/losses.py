"""StarGAN's losses (Choi et al. 2018, section 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import Loss, Ramp, Terms, Translation


class WassersteinGP(Loss):
    """Wasserstein distance with gradient penalty (equation 8; Gulrajani et al. 2017, equation 3)."""

    name = "wgan-gp"

    class Config(Loss.Config):
        gradient_penalty: float = Field(10.0, ge=0, description="factor of the penalty")
        penalised: Literal["mean", "sum"] = Field(
            "mean",
            description="what of the score map has gradients of norm 1: its mean, which is what the loss uses, or its "
            "sum, as the released code has it (the penalty then depends on the size of the pictures)",
        )

    def discriminator(self, t: Translation) -> Terms:
        real, fake = _mean(t.verdict_on_real.score), _mean(t.verdict_on_fake.score)
        terms = {"distance": fake - real}
        if self.config.gradient_penalty:
            image, label, _ = t.real_sample
            mix = t.random("mix", (1, 1, 1))
            # A conditional discriminator is asked about the label of the end that is nearer.
            label = torch.where(mix.flatten(1) > 0.5, label, t.target)
            between = mix * image + (1 - mix) * t.fake
            gradient = t.input_gradient(between, label, t.real, total=self.config.penalised == "sum")
            norm = gradient.flatten(1).norm(dim=1)
            terms["penalty"] = self.config.gradient_penalty * (norm - 1) ** 2
        return terms

    def generator(self, t: Translation) -> Terms:
        return -_mean(t.verdict_on_fake.score)


class DomainClassification(Loss):
    """The discriminator learns the domains of real pictures, the generator to be taken for the target
    (equations 2 and 3)."""

    name = "domain-classification"

    def discriminator(self, t: Translation) -> Terms:
        return t.classification(t.verdict_on_real, t.source)

    def generator(self, t: Translation) -> Terms:
        return t.classification(t.verdict_on_fake, t.target)


class CycleReconstruction(Loss):
    """Translated back to its source label, a picture is what it was: mean absolute difference (equation 4)."""

    name = "cycle-reconstruction"

    class Config(Loss.Config):
        weight: float | Ramp = Field(10.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        return (t.reconstruction - t.real).abs().mean((1, 2, 3))


def _mean(score: Tensor) -> Tensor:
    return score.reshape(len(score), -1).mean(1)
