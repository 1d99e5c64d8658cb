"""The contract of label encoders, as checks."""

from mdtranslate.testing.encoders import domains, labels, seen
from mdtranslate.testing.encoders.subject import ENCODER

__all__ = ["ENCODER", "domains", "labels", "seen"]
