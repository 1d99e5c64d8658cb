"""The losses of AttGAN (He et al. 2019, section III-B)."""

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import DiscriminatorOutput, Loss, Ramp, Terms, Translation


class Reconstruction(Loss):
    """Translating an image to its own label should return the image.

    Mean absolute difference; equation 9 has the sum.
    """

    name = "attgan-reconstruction"

    class Config(Loss.Config):
        weight: float | Ramp = Field(100.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        return (t.generate(t.real, t.source, t.source) - t.real).abs().mean((1, 2, 3))


class Classification(Loss):
    """The discriminator classifies real images, and translations should be classified as the target label.

    Mean over the attributes of an image; equations 5 and 7 have the sum. The published weights of 100, 10 and 1 are for
    means over attributes and pixels, as in the released code. Unknown attributes count as 0.
    """

    name = "attgan-classification"

    class Config(Loss.Config):
        generator: float = Field(10.0, ge=0, description="additional factor of the generator's term (section IV-A)")

    def __init__(self, config, *, label_encoder, image_size):
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        # Number of attributes of each dataset; 1 instead of 0 to avoid a division by zero.
        counts = torch.tensor([max(len(attributes), 1) for attributes in label_encoder.attributes])
        self.register_buffer("counts", counts, persistent=False)

    def discriminator(self, t: Translation) -> Terms:
        return self._mean_loss(t, t.real_output, t.source)

    def generator(self, t: Translation) -> Terms:
        return self.config.generator * self._mean_loss(t, t.fake_output, t.target)

    def _mean_loss(self, t: Translation, output: DiscriminatorOutput, label: Tensor) -> Tensor:
        return t.classification_loss(output, label) / self.counts[self.label_encoder.dataset_index(label)]
