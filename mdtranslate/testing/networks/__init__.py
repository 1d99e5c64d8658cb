"""Checks of the contracts of generators and discriminators."""

from mdtranslate.testing.networks import discriminator_checks, generator_checks, network_checks
from mdtranslate.testing.networks.network_case import DISCRIMINATOR, GENERATOR

__all__ = ["DISCRIMINATOR", "GENERATOR", "discriminator_checks", "generator_checks", "network_checks"]
