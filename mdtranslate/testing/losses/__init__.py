"""The contract of losses, as checks."""

from mdtranslate.testing.losses import manners, terms
from mdtranslate.testing.losses.subject import LOSS

__all__ = ["LOSS", "manners", "terms"]
