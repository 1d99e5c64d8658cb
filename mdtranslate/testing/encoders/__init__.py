"""Checks of the label encoder contract."""

from mdtranslate.testing.encoders import condition_checks, domain_checks, label_checks
from mdtranslate.testing.encoders.encoder_case import ENCODER

__all__ = ["ENCODER", "condition_checks", "domain_checks", "label_checks"]
