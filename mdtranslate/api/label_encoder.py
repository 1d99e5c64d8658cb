"""The label encoder interface: attribute values as tensors, for networks and losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdtranslate.api.attribute import Attribute, Value
from mdtranslate.api.component import Component

if TYPE_CHECKING:
    from torch import Tensor


class LabelEncoder(Component):
    """Converts attribute values to labels and back.

    A *label* is a float32 vector of length L that loses nothing: yes, no, none of these and unknown differ, and it
    says which dataset it belongs to. Networks do not see labels but *conditions*, made by `condition`. Label encoders
    hold no parameters, and their methods work on any device.

    Attributes:
        condition_size: Number of channels C of a condition.
        num_logits: Number of logits K that a discriminator returns for classification.
        shared_attributes: Names of attributes that are the same in all datasets that label them. Any other attribute
            is separate in each dataset.
        channel_names: Meaning of each channel of a condition, in order: `hair=Black_Hair`, `Male`, `celeba?` (a mask).
        config: The settings.
        datasets: Names of the datasets in the recipe.
        attributes: The labelled attributes of each dataset, in the order of `datasets`.
    """

    condition_size: int
    num_logits: int
    shared_attributes: frozenset[str] = frozenset()
    channel_names: Sequence[str]

    def __init__(self, config: Any, *, attributes: Mapping[str, Sequence[Attribute]]) -> None:
        """Initialises the label encoder.

        Args:
            config: An instance of this class's `Config`.
            attributes: The labelled attributes of each dataset, by dataset name, in the recipe's order.

        Raises:
            ValueError: The settings do not fit the attributes.
        """
        self.config = config
        self.datasets = tuple(attributes)
        self.attributes = tuple(tuple(labelled) for labelled in attributes.values())

    @abstractmethod
    def encode(self, attributes: Mapping[str, Value], dataset: int) -> Tensor:
        """Encodes the attributes of one image.

        Args:
            attributes: Values by attribute name; a missing attribute is unknown.
            dataset: Index of the dataset.

        Returns:
            The label of shape `(L,)`, float32.

        Raises:
            ValueError: The dataset does not label such an attribute or value.
        """

    @abstractmethod
    def decode(self, label: Tensor) -> dict[str, Value]:
        """Decodes one label of shape `(L,)`; the inverse of `encode`. Unknown attributes are missing."""

    @abstractmethod
    def dataset_index(self, label: Tensor) -> Tensor:
        """Returns the dataset index of each label `(B, L)`: int64 of shape `(B,)`."""

    @abstractmethod
    def condition(self, label: Tensor) -> Tensor:
        """Converts labels `(B, L)` to the conditions that networks see: float32 of shape `(B, C)`."""

    @abstractmethod
    def loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Computes the classification loss per sample.

        Unknown attributes contribute 0, unless a setting of the encoder says otherwise.

        Args:
            logits: Logits of a discriminator, `(B, K)`.
            label: Labels, `(B, L)`.

        Returns:
            Losses of shape `(B,)`.
        """

    @abstractmethod
    def infer(self, logits: Tensor, label: Tensor) -> Tensor:
        """Replaces what labels leave unknown by the most likely value according to the logits.

        Args:
            logits: Logits of a discriminator, `(B, K)`.
            label: Labels, `(B, L)`.

        Returns:
            Labels of shape `(B, L)`; attributes of the sample's dataset are known as far as the logits cover them.
        """

    @abstractmethod
    def edits(self, attributes: Mapping[str, Value], dataset: int) -> Sequence[dict[str, Value]]:
        """Lists the edits of one attribute that lead an image to another domain, in a fixed order.

        Args:
            attributes: Known attributes of the image; their own values are not among the edits.
            dataset: Index of the dataset.

        Returns:
            Edits such as `{"hair": "Blond_Hair"}`.
        """

    def is_fully_known(self, label: Tensor) -> Tensor:
        """Returns whether every attribute of the sample's dataset is known, for labels `(B, L)`: bool `(B,)`."""
        import torch

        rows = zip(label, self.dataset_index(label).tolist(), strict=True)
        flags = [len(self.decode(row)) == len(self.attributes[dataset]) for row, dataset in rows]
        return torch.tensor(flags, dtype=torch.bool, device=label.device)

    @property
    @abstractmethod
    def domains(self) -> Tensor:
        """The labels of all D domains (combinations of values), dataset by dataset: shape `(D, L)`.

        Raises:
            ValueError: There are too many to list.
        """

    @abstractmethod
    def domain_index(self, label: Tensor) -> Tensor:
        """Returns the position of labels `(B, L)` in `domains`: int64 `(B,)`, -1 where an attribute is unknown.

        It also works where `domains` are too many to list.

        Raises:
            ValueError: There are too many domains to number with 64 bits.
        """
