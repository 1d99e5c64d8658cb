"""AttGAN's losses (He et al. 2019, section III-B)."""

from pydantic import Field

from mdtranslate import Loss, Ramp, Terms, Translation


class Reconstruction(Loss):
    """Told a picture's own label, the generator gives the picture back: mean absolute difference (equation 9)."""

    name = "attgan-reconstruction"

    class Config(Loss.Config):
        weight: float | Ramp = Field(100.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        return (t.generate(t.real, t.source, t.source) - t.real).abs().mean((1, 2, 3))


class Classification(Loss):
    """The discriminator learns the attributes of real pictures, the generator to be taken for the target (equations 5
    and 7)."""

    name = "attgan-classification"

    class Config(Loss.Config):
        generator: float = Field(10.0, ge=0, description="how much more the generator's term weighs (section IV-A)")

    def discriminator(self, t: Translation) -> Terms:
        return t.classification(t.verdict_on_real, t.source)

    def generator(self, t: Translation) -> Terms:
        return self.config.generator * t.classification(t.verdict_on_fake, t.target)
