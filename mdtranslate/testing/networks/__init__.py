"""The contract of generators and discriminators, as checks."""

from mdtranslate.testing.networks import both, discriminators, generators
from mdtranslate.testing.networks.subject import DISCRIMINATOR, GENERATOR

__all__ = ["DISCRIMINATOR", "GENERATOR", "both", "discriminators", "generators"]
