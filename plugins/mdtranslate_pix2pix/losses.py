"""pix2pix's losses (Isola et al. 2017, section 3.1)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Loss, Ramp, Terms, Translation


class LogLoss(Loss):
    """Non-saturating adversarial loss (Goodfellow et al. 2014; Isola et al. 2017, equation 1 and section 3.3).

    With D the sigmoid of the score map, averaged over patches:

    - Discriminator: `real`, half of -log D of real images; and `fake`, half of -log(1 - D) of fake images.
    - Generator: -log D of fake images.

    With `data.targets=paired`, the real image is the ground truth of the translation.
    """

    name = "gan"

    def discriminator(self, t: Translation) -> Terms:
        """Computes the terms `real` and `fake`, each of shape `(B,)`."""
        return {"real": 0.5 * _negative_log(t.real_output.score), "fake": 0.5 * _negative_log(-t.fake_output.score)}

    def generator(self, t: Translation) -> Terms:
        """Computes the term of the fake images, `(B,)`."""
        return _negative_log(t.fake_output.score)


class TruthL1(Loss):
    """L1 distance to the ground truth (Isola et al. 2017, equation 3).

    Mean absolute difference between the fake image and the ground truth of the translation, which `data.targets=paired`
    provides. Images are in [-1, 1].
    """

    name = "truth-l1"
    requires_truth = True

    class Config(Loss.Config):
        """The weight, by default as in the paper."""

        weight: float | Ramp = Field(100.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        """Computes the mean absolute difference per sample, `(B,)`."""
        assert t.truth is not None, "requires_truth is set"
        return (t.fake - t.truth).abs().mean((1, 2, 3))


def _negative_log(score: Tensor) -> Tensor:
    """Returns -log(sigmoid(score)) of scores `(B, ...)`, averaged over patches: `(B,)`."""
    return F.softplus(-score.reshape(len(score), -1)).mean(1)
