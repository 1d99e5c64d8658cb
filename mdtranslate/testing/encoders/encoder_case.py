"""What the checks of a label encoder test: label encoders for one and for two datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from mdtranslate.api import Attribute, LabelEncoder
from mdtranslate.errors import RecipeError
from mdtranslate.testing.checks import NotApplicable, Suite
from mdtranslate.testing.component_checks import add_common_checks, as_builder
from mdtranslate.testing.sample_components import ONE_DATASET, TWO_DATASETS, AttributesByDataset

EncoderBuilder = Callable[[AttributesByDataset], LabelEncoder]


class EncoderCase:
    """Label encoders for one dataset and, if it supports that, for two.

    Attributes:
        build: Builds a label encoder for the attributes of each dataset.
        for_one_dataset: The label encoder for one dataset.
        component: Its class.
        config: Its settings.
    """

    def __init__(self, component: type[LabelEncoder] | EncoderBuilder) -> None:
        """Initialises the case.

        Args:
            component: The class, built with default settings, or a function that builds a label encoder for the
                attributes of each dataset.
        """
        self.build: EncoderBuilder = as_builder(component, "attributes")
        self.for_one_dataset = self.build(ONE_DATASET)
        self.component, self.config = type(self.for_one_dataset), self.for_one_dataset.config

    @cached_property
    def for_two_datasets(self) -> LabelEncoder:
        """The label encoder for two datasets."""
        try:
            return self.build(TWO_DATASETS)
        except (ValueError, RecipeError) as error:
            raise NotApplicable(f"it supports one dataset only: {error}") from None

    @cached_property
    def label_encoders(self) -> Sequence[LabelEncoder]:
        """The label encoder for one dataset and, if there is one, that for two datasets."""
        try:
            return self.for_one_dataset, self.for_two_datasets
        except NotApplicable:
            return (self.for_one_dataset,)

    def for_attribute(self, attribute: Attribute) -> LabelEncoder:
        """Builds a label encoder for one dataset with one attribute."""
        return self.build({"images": (attribute,)})


def random_logits(count: int, num_logits: int) -> Tensor:
    """Returns random logits `(count, num_logits)`, always the same."""
    return torch.randn(count, num_logits, generator=torch.Generator().manual_seed(0))


def expected_fully_known(label_encoder: LabelEncoder, labels: Tensor) -> list[bool]:
    """Returns for each label `(B, L)` whether it decodes to a value of every attribute of its dataset."""
    rows = zip(labels, label_encoder.dataset_index(labels).tolist(), strict=True)
    return [len(label_encoder.decode(label)) == len(label_encoder.attributes[dataset]) for label, dataset in rows]


ENCODER: Suite[EncoderCase] = Suite(EncoderCase)
add_common_checks(ENCODER)
