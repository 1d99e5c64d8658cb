"""AttGAN's losses (He et al. 2019, section III-B)."""

import torch
from pydantic import Field

from mdtranslate import Loss, Ramp, Terms, Translation


class Reconstruction(Loss):
    """Told a picture's own label, the generator gives the picture back: mean absolute difference (equation 9,
    there a sum)."""

    name = "attgan-reconstruction"

    class Config(Loss.Config):
        weight: float | Ramp = Field(100.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        return (t.generate(t.real, t.source, t.source) - t.real).abs().mean((1, 2, 3))


class Classification(Loss):
    """The discriminator learns the attributes of real pictures, the generator to be taken for the target (equations 5
    and 7).

    The mean of a picture's attributes, where the equations have their sum: the weights, 100 to 10 to 1, are for means,
    of attributes as of pixels, in the released code. What is unknown counts as 0.
    """

    name = "attgan-classification"

    class Config(Loss.Config):
        generator: float = Field(10.0, ge=0, description="how much more the generator's term weighs (section IV-A)")

    def __init__(self, config, *, encoder, image_size):
        super().__init__(config, encoder=encoder, image_size=image_size)
        # Of each dataset; 1 for one without any, whose sum is 0.
        counts = torch.tensor([max(len(own), 1) for own in encoder.attributes])
        self.register_buffer("counts", counts, persistent=False)

    def discriminator(self, t: Translation) -> Terms:
        return self._mean(t, t.verdict_on_real, t.source)

    def generator(self, t: Translation) -> Terms:
        return self.config.generator * self._mean(t, t.verdict_on_fake, t.target)

    def _mean(self, t, verdict, label):
        return t.classification(verdict, label) / self.counts[self.encoder.dataset(label)]
