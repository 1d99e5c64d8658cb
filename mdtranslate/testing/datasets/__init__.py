"""The contract of datasets, as checks."""

from mdtranslate.testing.datasets import declaration, listing, manners, pictures, records
from mdtranslate.testing.datasets.subject import DATASET

__all__ = ["DATASET", "declaration", "listing", "manners", "pictures", "records"]
