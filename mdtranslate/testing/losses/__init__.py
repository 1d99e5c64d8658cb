"""Checks of the loss contract."""

from mdtranslate.testing.losses import loss_side_effects, term_checks
from mdtranslate.testing.losses.loss_case import LOSS

__all__ = ["LOSS", "loss_side_effects", "term_checks"]
