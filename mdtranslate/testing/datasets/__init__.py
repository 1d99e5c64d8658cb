"""The contract of datasets, as checks."""

# In the order of their checks: what is listed before what is done with it.
from mdtranslate.testing.datasets import declaration, records, listing, pictures, manners  # isort: skip
from mdtranslate.testing.datasets.subject import DATASET

__all__ = ["DATASET", "declaration", "listing", "manners", "pictures", "records"]
