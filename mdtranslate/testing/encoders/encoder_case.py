"""What the checks of an encoder look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from mdtranslate.api import Attribute, LabelEncoder
from mdtranslate.errors import RecipeError
from mdtranslate.testing.checks import DoesNotApply, Suite
from mdtranslate.testing.component_checks import common, maker
from mdtranslate.testing.sample_components import ONE, TWO, Attributes

Make = Callable[[Attributes], LabelEncoder]


class Given:
    """An encoder of one dataset, and of two where it takes them."""

    def __init__(self, given: type[LabelEncoder] | Make) -> None:
        """`given`: a class, with its default settings; or a function that takes attributes and makes an encoder."""
        self.make: Make = maker(given, "attributes")
        self.one = self.make(ONE)
        self.component, self.config = type(self.one), self.one.config

    @cached_property
    def two(self) -> LabelEncoder:
        try:
            return self.make(TWO)
        except (ValueError, RecipeError) as error:
            raise DoesNotApply(f"it takes one dataset: {error}") from None

    @cached_property
    def both(self) -> Sequence[LabelEncoder]:
        try:
            return self.one, self.two
        except DoesNotApply:
            return (self.one,)

    def of(self, attribute: Attribute) -> LabelEncoder:
        return self.make({"pictures": (attribute,)})


def some_logits(count: int, classes: int) -> Tensor:
    """Logits [count, classes], the same each time."""
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(0))


def wholly_known(encoder: LabelEncoder, label: Tensor) -> list[bool]:
    """Whether of each label everything is known, by what it decodes to."""
    own = zip(label, encoder.dataset(label).tolist(), strict=True)
    return [len(encoder.decode(each)) == len(encoder.attributes[number]) for each, number in own]


ENCODER: Suite[Given] = Suite(Given)
common(ENCODER)
