"""Labels as StarGAN has them: one-hot and binary channels, and a mask that says whose labels they are."""

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

MOST_DOMAINS = 4096
UNKNOWN = -1


class MaskVector(LabelEncoder):
    """The unified label of Choi et al. 2018, section 3.2: `[labels of dataset 1 | ... | labels of dataset n | mask n]`.

    A yes/no attribute takes one channel, an exclusive one a channel per value; labels of other datasets, and what is
    unknown, are zero. With a single dataset there is no mask.

    A label is the dataset's number, then a code per attribute of every dataset: -1 unknown, else the position among
    `Attribute.choices`.
    """

    name = "mask-vector"

    class Config(Settings):
        exclusive: Literal["softmax", "binary"] = Field(
            "softmax",
            description="loss of an exclusive attribute that may be none of its values: cross-entropy, in which none "
            "has the logit 0, or a binary cross-entropy per value, as the released code has it for hair colours; "
            "without none it is cross-entropy",
        )
        masks: Literal["dataset", "attribute", "none"] = Field(
            "dataset",
            description="channels that say what is known: one per dataset where there are several (the paper), one per "
            "attribute, or none at all",
        )
        unknown: Literal["left-out", "no"] = Field(
            "left-out",
            description="what the classification makes of an unknown attribute: nothing (the paper), or no, "
            "which the mask vector is there to avoid",
        )
        shared: tuple[str, ...] = Field(
            (),
            description="attributes that are one in all datasets that label them: one channel, learned from all",
        )

    def __init__(self, config: Any, *, attributes: Mapping[str, Sequence[Attribute]]) -> None:
        super().__init__(config, attributes=attributes)
        self.shared = frozenset(config.shared)
        self._slots = self._laid_out()
        several = len(self.datasets) > 1
        layout: list[str] = []
        channels: list[tuple[int, int]] = []  # The column of the label, and the code there, that make a channel 1.
        names: list[str] = []
        for column, (owners, attribute) in enumerate(self._slots, start=1):
            prefix = f"{self.datasets[owners[0]]}." if several and attribute.name not in self.shared else ""
            names.append(f"{prefix}{attribute.name}")
            layout += [f"{names[-1]}={value}" for value in attribute.values] or names[-1:]
            channels += [(column, code) for code in range(1, len(attribute.choices))]
        self.classes = len(layout)
        masks: list[str] = []
        if config.masks == "dataset" and several:
            masks = [f"{name}?" for name in self.datasets]
        elif config.masks == "attribute":
            masks = [f"{name}?" for name in names]
        self.layout = layout + masks
        self.size = len(self.layout)
        channels_ = torch.tensor(channels, dtype=torch.long).reshape(-1, 2)
        self._channels = {channels_.device: channels_}  # By device, so that each condition costs no copy.

    def _laid_out(self) -> list[tuple[tuple[int, ...], Attribute]]:
        """The attributes in their order in a label, each with the numbers of the datasets that label it."""
        slots: list[tuple[tuple[int, ...], Attribute]] = []
        for name in self.config.shared:
            found = {each for own in self.attributes for each in own if each.name == name}
            owners = tuple(n for n, own in enumerate(self.attributes) if any(each.name == name for each in own))
            if not owners:
                known = {each.name for own in self.attributes for each in own}
                raise ValueError(f"shared: no dataset labels {name!r}; {nearest(name, known)}")
            if len(owners) < 2:
                raise ValueError(
                    f"shared: {name!r} is labelled by {self.datasets[owners[0]]} alone, so nobody shares it"
                )
            if len(found) > 1:
                raise ValueError(f"shared: {name!r} has other values in one dataset than in another")
        for number, own in enumerate(self.attributes):
            for each in own:
                owners = tuple(n for n, theirs in enumerate(self.attributes) if each in theirs)
                slots.append((owners if each.name in self.shared else (number,), each))
        return list(dict.fromkeys(slots))

    def encode(self, attributes: Mapping[str, Value], dataset: int) -> Tensor:
        own = {attribute.name: attribute for attribute in self.attributes[dataset]}
        if strange := [name for name in attributes if name not in own]:
            raise ValueError(f"{self.datasets[dataset]} does not label {strange[0]!r}; it labels {', '.join(own)}")
        codes = [
            each.code(attributes[each.name]) if dataset in owners and each.name in attributes else UNKNOWN
            for owners, each in self._slots
        ]
        return torch.tensor([dataset, *codes], dtype=torch.float32)

    def decode(self, label: Tensor) -> dict[str, Value]:
        dataset, *codes = label.int().tolist()
        return {
            attribute.name: attribute.choices[code]
            for (owners, attribute), code in zip(self._slots, codes, strict=True)
            if dataset in owners and code != UNKNOWN
        }

    def dataset(self, label: Tensor) -> Tensor:
        return label[:, 0].long()

    def condition(self, label: Tensor) -> Tensor:
        channels = self._truth(label)
        if self.size == self.classes:
            return channels
        if self.config.masks == "attribute":
            return torch.cat([channels, (label[:, 1:] != UNKNOWN).float()], 1)
        numbers = torch.arange(len(self.datasets), device=label.device)
        return torch.cat([channels, (label[:, :1] == numbers).float()], 1)

    def loss(self, logits: Tensor, label: Tensor) -> Tensor:
        total = torch.zeros(len(logits), device=logits.device)
        truths = self._truth(label)
        for attribute, code, (own, truth) in self._each(label, logits, truths):
            if attribute.values and (self.config.exclusive == "softmax" or not attribute.optional):
                # An unknown code would be out of range; the mask below takes its term out.
                position = (code - len(attribute.choices) + len(attribute.allowed)).clamp(min=0).long()
                term = F.cross_entropy(_with_none(attribute, own), position, reduction="none")
            else:
                term = F.binary_cross_entropy_with_logits(own, truth, reduction="none").sum(1)
            known = code != UNKNOWN
            total = total + term * known
            if self.config.unknown == "no":
                total = total + F.softplus(own).sum(1) * ~known
        return total

    def infer(self, logits: Tensor, label: Tensor) -> Tensor:
        columns = [label[:, 0]]
        for (owners, _), (attribute, code, (own,)) in zip(self._slots, self._each(label, logits), strict=True):
            skipped = len(attribute.choices) - len(attribute.allowed)
            likeliest = _with_none(attribute, own).argmax(1) + skipped
            labelled = torch.isin(label[:, 0], torch.tensor(owners, dtype=label.dtype, device=label.device))
            missing = (code == UNKNOWN) & labelled
            columns.append(torch.where(missing, likeliest.to(label.dtype), code))
        return torch.stack(columns, 1)

    def edits(self, attributes: Mapping[str, Value], dataset: int) -> Sequence[dict[str, Value]]:
        return [
            {attribute.name: value}
            for attribute in self.attributes[dataset]
            for value in attribute.allowed
            if value is not None and value != attributes.get(attribute.name)
        ]

    def known(self, label: Tensor) -> Tensor:
        known = torch.ones(len(label), dtype=torch.bool, device=label.device)
        for (owners, _), code in zip(self._slots, label.unbind(1)[1:], strict=True):
            theirs = torch.isin(label[:, 0], torch.tensor(owners, dtype=label.dtype, device=label.device))
            known &= (code != UNKNOWN) | ~theirs
        return known

    @cached_property
    def _count(self) -> int:
        """Number of domains."""
        return sum(prod(len(each.allowed) for each in own) for own in self.attributes)

    @cached_property
    def domains(self) -> Tensor:
        if self._count > MOST_DOMAINS:
            raise ValueError(f"the attributes make more than {MOST_DOMAINS} domains; label fewer of them")
        rows = [
            self.encode(dict(zip([attribute.name for attribute in own], values, strict=True)), number)
            for number, own in enumerate(self.attributes)
            for values in product(*(attribute.allowed for attribute in own))
        ]
        return torch.stack(rows)

    def domain(self, label: Tensor) -> Tensor:
        if self._count > torch.iinfo(torch.long).max:
            raise ValueError("the attributes make more domains than can be numbered; label fewer of them")
        codes = label.long().unbind(1)[1:]
        result = torch.full((len(label),), UNKNOWN, dtype=torch.long, device=label.device)
        offset = 0
        for dataset, own in enumerate(self.attributes):
            place = torch.zeros_like(result)
            known = self.dataset(label) == dataset
            mine = {slot: code for (owners, slot), code in zip(self._slots, codes, strict=True) if dataset in owners}
            for attribute in own:
                skipped = len(attribute.choices) - len(attribute.allowed)
                place = place * len(attribute.allowed) + mine[attribute] - skipped
                known = known & (mine[attribute] != UNKNOWN)
            result = torch.where(known, place + offset, result)
            offset += prod(len(attribute.allowed) for attribute in own)
        return result

    def _truth(self, label: Tensor) -> Tensor:
        """The channels that are labels, [B, classes]: 1 where the value holds."""
        if label.device not in self._channels:
            self._channels[label.device] = next(iter(self._channels.values())).to(label.device)
        channels = self._channels[label.device]
        return (label[:, channels[:, 0]] == channels[:, 1]).float()

    def _each(self, label: Tensor, *per_class: Tensor) -> Iterator[tuple[Attribute, Tensor, list[Tensor]]]:
        """Each attribute with its codes [B] and its own columns of tensors [B, classes]."""
        widths = [len(attribute.choices) - 1 for _, attribute in self._slots]
        parts = zip(*(torch.split(tensor, widths, 1) for tensor in per_class), strict=True)
        for (_, attribute), code, own in zip(self._slots, label.unbind(1)[1:], parts, strict=True):
            yield attribute, code, list(own)


def _with_none(attribute: Attribute, logits: Tensor) -> Tensor:
    """Logits of everything that is allowed: "no", and "none of these" where it is allowed, has the logit 0."""
    if attribute.values and not attribute.optional:
        return logits
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)
