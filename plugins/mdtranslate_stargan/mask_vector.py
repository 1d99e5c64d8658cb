"""StarGAN's labels: one-hot and binary channels, and a mask of the dataset that they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Attribute, LabelEncoder, Settings, Value
from mdtranslate.errors import nearest

MAX_DOMAINS = 4096
"""Largest number of domains that `domains` lists."""

UNKNOWN = -1
"""Index of an unknown attribute in a label, and of an unknown domain."""


class MaskVector(LabelEncoder):
    """The unified label of StarGAN (Choi et al. 2018, section 3.2).

    A condition is `[c_1, ..., c_n, m]`: the label channels of each dataset, and a one-hot mask of the dataset. A yes/no
    attribute has one channel, an attribute with several values one channel per value. Channels of other datasets and of
    unknown attributes are 0. With a single dataset there is no mask. `masks` changes what the mask says.

    A label `(L,)` holds the dataset index, followed by the index of the value of every attribute of every dataset: -1
    if unknown, otherwise its position in `Attribute.choices`.
    """

    name = "mask-vector"

    class Config(Settings):
        """Classification loss, mask channels and shared attributes."""

        exclusive_loss: Literal["softmax", "binary"] = Field(
            "softmax",
            description="loss of an optional attribute with several values: softmax: cross-entropy, where none of "
            "these has logit 0; binary: binary cross-entropy per value, as in the released code. Attributes that "
            "always have a value use cross-entropy",
        )
        masks: Literal["dataset", "attribute", "none"] = Field(
            "dataset",
            description="mask channels, which tell the networks what is known: one per dataset if there are several "
            "(the paper), one per attribute, or none",
        )
        unknown: Literal["ignore", "no"] = Field(
            "ignore",
            description="unknown attributes in the classification loss: ignore them (the paper), or take every "
            "value for no, also of attributes that only other datasets label, which the mask vector is meant to avoid",
        )
        shared: tuple[str, ...] = Field(
            (),
            description="attributes that are the same in all datasets that label them: they share channels and are "
            "learned from all of these datasets",
        )

    def __init__(self, config: Any, *, attributes: Mapping[str, Sequence[Attribute]]) -> None:
        """Lays out labels and conditions; see `LabelEncoder` for the arguments.

        Raises:
            ValueError: A shared attribute is not labelled by several datasets, or differs between them.
        """
        super().__init__(config, attributes=attributes)
        self.shared_attributes = frozenset(config.shared)
        self._slots = self._label_slots()
        has_several_datasets = len(self.datasets) > 1
        label_channels: list[str] = []
        slot_names: list[str] = []
        ones: list[tuple[int, int]] = []  # A channel is 1 where this column of the label has this value.
        for column, (owners, attribute) in enumerate(self._slots, start=1):
            is_separate = has_several_datasets and attribute.name not in self.shared_attributes
            slot_names.append(f"{self.datasets[owners[0]]}.{attribute.name}" if is_separate else attribute.name)
            label_channels += [f"{slot_names[-1]}={value}" for value in attribute.values] or slot_names[-1:]
            ones += [(column, index) for index in range(1, len(attribute.choices))]
        self.num_logits = len(label_channels)
        mask_channels: list[str] = []
        if config.masks == "dataset" and has_several_datasets:
            mask_channels = [f"{name}?" for name in self.datasets]
        elif config.masks == "attribute":
            mask_channels = [f"{name}?" for name in slot_names]
        self.channel_names = label_channels + mask_channels
        self.condition_size = len(self.channel_names)
        ones_table = torch.tensor(ones, dtype=torch.long).reshape(-1, 2)
        self._ones_by_device = {ones_table.device: ones_table}  # So that each condition needs no copy.

    def _label_slots(self) -> list[tuple[tuple[int, ...], Attribute]]:
        """Returns the attributes in the order of a label, each with the indices of the datasets that label it."""
        for name in self.config.shared:
            variants = {attribute for labelled in self.attributes for attribute in labelled if attribute.name == name}
            owners = self._owners(name)
            if not owners:
                names = {attribute.name for labelled in self.attributes for attribute in labelled}
                raise ValueError(f"shared: no dataset labels {name!r}; {nearest(name, names)}")
            if len(owners) < 2:
                raise ValueError(f"shared: only dataset {self.datasets[owners[0]]} labels {name!r}; remove it")
            if len(variants) > 1:
                raise ValueError(f"shared: {name!r} does not have the same values in all datasets")
        slots: list[tuple[tuple[int, ...], Attribute]] = []
        for dataset, labelled in enumerate(self.attributes):
            for attribute in labelled:
                is_shared = attribute.name in self.shared_attributes
                slots.append((self._owners(attribute.name) if is_shared else (dataset,), attribute))
        return list(dict.fromkeys(slots))  # A shared attribute has one slot.

    def _owners(self, name: str) -> tuple[int, ...]:
        """Returns the indices of the datasets that label an attribute."""
        return tuple(
            dataset
            for dataset, labelled in enumerate(self.attributes)
            if any(attribute.name == name for attribute in labelled)
        )

    def encode(self, attributes: Mapping[str, Value], dataset: int) -> Tensor:
        """Encodes the attributes of one image; see `LabelEncoder.encode`."""
        labelled = {attribute.name for attribute in self.attributes[dataset]}
        if strange := [name for name in attributes if name not in labelled]:
            names = ", ".join(attribute.name for attribute in self.attributes[dataset])
            raise ValueError(f"{self.datasets[dataset]} does not label {strange[0]!r}; it labels {names}")
        indices = [
            attribute.index(attributes[attribute.name])
            if dataset in owners and attribute.name in attributes
            else UNKNOWN
            for owners, attribute in self._slots
        ]
        return torch.tensor([dataset, *indices], dtype=torch.float32)

    def decode(self, label: Tensor) -> dict[str, Value]:
        """Decodes one label `(L,)`; unknown attributes are missing."""
        dataset, *indices = label.int().tolist()
        return {
            attribute.name: attribute.choices[index]
            for (owners, attribute), index in zip(self._slots, indices, strict=True)
            if dataset in owners and index != UNKNOWN
        }

    def dataset_index(self, label: Tensor) -> Tensor:
        """Returns the dataset index of each label: int64 `(B,)`."""
        return label[:, 0].long()

    def condition(self, label: Tensor) -> Tensor:
        """Converts labels `(B, L)` to conditions `(B, C)`: label channels, then mask channels, each 0 or 1."""
        label_channels = self._label_channels(label)
        if self.condition_size == self.num_logits:
            return label_channels
        if self.config.masks == "attribute":
            return torch.cat([label_channels, (label[:, 1:] != UNKNOWN).float()], 1)
        datasets = torch.arange(len(self.datasets), device=label.device)
        return torch.cat([label_channels, (label[:, :1] == datasets).float()], 1)

    def loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Computes the sum of the classification losses of all attributes per sample, `(B,)`."""
        total = torch.zeros(len(logits), device=logits.device)
        targets = self._label_channels(label)
        for attribute, index, (attribute_logits, target) in self._per_attribute(label, logits, targets):
            if attribute.values and (self.config.exclusive_loss == "softmax" or not attribute.optional):
                # The index of an unknown value would be out of range; `known` masks its term below.
                position = (index - _offset(attribute)).clamp(min=0).long()
                term = F.cross_entropy(_all_logits(attribute, attribute_logits), position, reduction="none")
            else:
                term = F.binary_cross_entropy_with_logits(attribute_logits, target, reduction="none").sum(1)
            known = index != UNKNOWN
            total = total + term * known
            if self.config.unknown == "no":
                total = total + F.softplus(attribute_logits).sum(1) * ~known
        return total

    def infer(self, logits: Tensor, label: Tensor) -> Tensor:
        """Replaces unknown attributes of each sample's dataset by the most likely value; see `LabelEncoder.infer`."""
        columns = [label[:, 0]]
        per_attribute = self._per_attribute(label, logits)
        for (owners, _), (attribute, index, (attribute_logits,)) in zip(self._slots, per_attribute, strict=True):
            most_likely = _all_logits(attribute, attribute_logits).argmax(1) + _offset(attribute)
            is_missing = (index == UNKNOWN) & _belongs_to(label, owners)
            columns.append(torch.where(is_missing, most_likely.to(label.dtype), index))
        return torch.stack(columns, 1)

    def edits(self, attributes: Mapping[str, Value], dataset: int) -> Sequence[dict[str, Value]]:
        """Lists the edits of one attribute, in the order of attributes and values; "none of these" is no target."""
        return [
            {attribute.name: value}
            for attribute in self.attributes[dataset]
            for value in attribute.allowed_values
            if value is not None and value != attributes.get(attribute.name)
        ]

    def is_fully_known(self, label: Tensor) -> Tensor:
        """Returns whether every attribute of each sample's dataset is known: bool `(B,)`."""
        result = torch.ones(len(label), dtype=torch.bool, device=label.device)
        for (owners, _), index in zip(self._slots, label.unbind(1)[1:], strict=True):
            result &= (index != UNKNOWN) | ~_belongs_to(label, owners)
        return result

    @cached_property
    def _domain_counts(self) -> list[int]:
        """Number of domains of each dataset."""
        return [prod(len(attribute.allowed_values) for attribute in labelled) for labelled in self.attributes]

    @cached_property
    def domains(self) -> Tensor:
        """The labels of all domains, `(D, L)`; raises `ValueError` if there are more than `MAX_DOMAINS`."""
        if sum(self._domain_counts) > MAX_DOMAINS:
            raise ValueError(f"the attributes make more than {MAX_DOMAINS} domains; label fewer of them")
        rows = [
            self.encode(dict(zip([attribute.name for attribute in labelled], values, strict=True)), dataset)
            for dataset, labelled in enumerate(self.attributes)
            for values in product(*(attribute.allowed_values for attribute in labelled))
        ]
        return torch.stack(rows)

    def domain_index(self, label: Tensor) -> Tensor:
        """Returns the position of labels in `domains`, -1 where an attribute is unknown: int64 `(B,)`."""
        if sum(self._domain_counts) > torch.iinfo(torch.long).max:
            raise ValueError("the attributes make too many domains to number with 64 bits; label fewer of them")
        indices = label.long().unbind(1)[1:]
        result = torch.full((len(label),), UNKNOWN, dtype=torch.long, device=label.device)
        first_domain = 0
        for dataset, labelled in enumerate(self.attributes):
            position = torch.zeros_like(result)
            is_known = self.dataset_index(label) == dataset
            index_of = {
                attribute: index
                for (owners, attribute), index in zip(self._slots, indices, strict=True)
                if dataset in owners
            }
            for attribute in labelled:
                index = index_of[attribute]
                position = position * len(attribute.allowed_values) + index - _offset(attribute)
                is_known = is_known & (index != UNKNOWN)
            result = torch.where(is_known, position + first_domain, result)
            first_domain += self._domain_counts[dataset]
        return result

    def _label_channels(self, label: Tensor) -> Tensor:
        """Returns the label channels of a condition, `(B, K)`: 1 where the value holds."""
        if label.device not in self._ones_by_device:
            self._ones_by_device[label.device] = next(iter(self._ones_by_device.values())).to(label.device)
        ones = self._ones_by_device[label.device]
        return (label[:, ones[:, 0]] == ones[:, 1]).float()

    def _per_attribute(self, label: Tensor, *per_logit: Tensor) -> Iterator[tuple[Attribute, Tensor, list[Tensor]]]:
        """Yields each attribute, the indices of its values `(B,)`, and its columns of tensors `(B, K)`."""
        widths = [len(attribute.choices) - 1 for _, attribute in self._slots]
        columns = zip(*(torch.split(tensor, widths, 1) for tensor in per_logit), strict=True)
        for (_, attribute), index, tensors in zip(self._slots, label.unbind(1)[1:], columns, strict=True):
            yield attribute, index, list(tensors)


def _belongs_to(label: Tensor, datasets: Sequence[int]) -> Tensor:
    """Returns whether each label belongs to one of the datasets: bool `(B,)`."""
    return torch.isin(label[:, 0], torch.tensor(datasets, dtype=label.dtype, device=label.device))


def _offset(attribute: Attribute) -> int:
    """Returns the position of the first allowed value in `choices`: 1 if "none of these" is not allowed."""
    return len(attribute.choices) - len(attribute.allowed_values)


def _all_logits(attribute: Attribute, logits: Tensor) -> Tensor:
    """Returns the logits of all allowed values: "no" and "none of these" have logit 0."""
    if attribute.values and not attribute.optional:
        return logits
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)
