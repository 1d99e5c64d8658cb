"""The label encoder contract: attribute values as tensors, and what networks and losses see of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdtranslate.api.component import Component
from mdtranslate.api.dataset import Attribute, Value

if TYPE_CHECKING:
    from torch import Tensor

Attributes = Mapping[str, Value]


class LabelEncoder(Component):
    """Turns attribute values into labels and back.

    A *label* is lossless: yes, no, none of these and unknown are four things, and it knows its dataset. What a
    network sees of it is its `condition`. Encoders hold no parameters and work on any device.
    """

    size: int
    """Channels of a condition."""

    classes: int
    """Logits that a discriminator gives to be compared with a label."""

    shared: frozenset[str] = frozenset()
    """Names of attributes that are one thing in all datasets that label them; any other is its own in each."""

    layout: Sequence[str]
    """What each channel of a condition means, in order: `hair=Black_Hair`, `Male`, `celeba?` (a mask)."""

    def __init__(self, config: Any, *, attributes: Mapping[str, Sequence[Attribute]]) -> None:
        """`attributes`: what each dataset labels, by the dataset's name in the recipe, in the recipe's order."""
        self.config = config
        self.datasets = tuple(attributes)
        self.attributes = tuple(tuple(each) for each in attributes.values())

    @abstractmethod
    def encode(self, attributes: Attributes, dataset: int) -> Tensor:
        """The label of one picture, float32 [L]. What `attributes` does not mention is unknown.

        Raises `ValueError` for an attribute or value that the dataset does not label.
        """

    @abstractmethod
    def decode(self, label: Tensor) -> dict[str, Value]:
        """The inverse of `encode` for one label [L]; what is unknown is missing."""

    @abstractmethod
    def dataset(self, label: Tensor) -> Tensor:
        """Which dataset each label [B, L] belongs to: int64 [B]."""

    @abstractmethod
    def condition(self, label: Tensor) -> Tensor:
        """What networks see of labels [B, L]: float32 [B, size]."""

    @abstractmethod
    def loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """How badly logits [B, classes] fit labels [B, L]: [B], one value per picture, 0 where nothing is known."""

    @abstractmethod
    def infer(self, logits: Tensor, label: Tensor) -> Tensor:
        """Labels [B, L] in which what `label` leaves unknown of its dataset is the likeliest by logits [B, classes]."""

    @abstractmethod
    def edits(self, attributes: Attributes, dataset: int) -> Sequence[dict[str, Value]]:
        """The changes of one attribute that make another domain of a picture: never its own value."""

    def known(self, label: Tensor) -> Tensor:
        """Whether of each label [B, L] everything is known that its dataset labels: bool [B]."""
        import torch

        own = zip(label, self.dataset(label).tolist(), strict=True)
        return torch.tensor([len(self.decode(each)) == len(self.attributes[number]) for each, number in own])

    @property
    @abstractmethod
    def domains(self) -> Tensor:
        """The label of every domain, dataset by dataset: [D, L]. Raises `ValueError` where they are too many."""

    @abstractmethod
    def domain(self, label: Tensor) -> Tensor:
        """The position in `domains` of labels [B, L]: int64 [B]; -1 where something is unknown.

        Works where `domains` are too many to list; raises `ValueError` where they are too many to number.
        """
