"""Checks of the dataset contract."""

# In the order in which the checks run.
from mdtranslate.testing.datasets import declaration_checks  # isort: skip
from mdtranslate.testing.datasets import record_checks  # isort: skip
from mdtranslate.testing.datasets import listing_checks  # isort: skip
from mdtranslate.testing.datasets import image_checks  # isort: skip
from mdtranslate.testing.datasets import dataset_side_effects  # isort: skip
from mdtranslate.testing.datasets.dataset_case import DATASET

__all__ = ["DATASET", "dataset_side_effects", "declaration_checks", "image_checks", "listing_checks", "record_checks"]
