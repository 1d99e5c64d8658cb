"""pix2pix's losses (Isola et al. 2017, section 3.1)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Loss, Ramp, Terms, Translation


class LogLoss(Loss):
    """The first adversarial loss (Goodfellow et al. 2014; equation 1): the log of how likely a score takes pictures.

    The discriminator's term is halved, and the generator maximises log D rather than minimising log(1 - D) (section
    3.3). Of pictures in pairs the discriminator is shown the true one as made from the picture.
    """

    name = "gan"

    def discriminator(self, t: Translation) -> Terms:
        return {"real": 0.5 * _surprise(t.verdict_on_real.score), "fake": 0.5 * _surprise(-t.verdict_on_fake.score)}

    def generator(self, t: Translation) -> Terms:
        return _surprise(t.verdict_on_fake.score)


class TruthL1(Loss):
    """Mean absolute difference of a translation from the true picture (equation 3), of `data.targets=paired`."""

    name = "truth-l1"
    needs_truth = True

    class Config(Loss.Config):
        weight: float | Ramp = Field(100.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        assert t.truth is not None, "it needs truth"
        return (t.fake - t.truth).abs().mean((1, 2, 3))


def _surprise(score: Tensor) -> Tensor:
    """-log of the probability that a score map gives, the mean of each picture: [B]."""
    return F.softplus(-score.reshape(len(score), -1)).mean(1)
