"""Banks: methods that translate between two domains, between any number of them.

A bank holds one network for each translation that a one-to-one method would train a model for, and shows each picture
to the one that is its own. Attributes are translated one by one: an edit of several goes through a chain of members,
one per attribute, as the authors of StarGAN had the baselines do (Choi et al. 2018, section 5.3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mdtranslate import Choice, Discriminator, Generator, LabelEncoder, Settings, Value, Verdict
from mdtranslate.api import spell
from mdtranslate.errors import RecipeError, nearest

Member = tuple[int, str, Value, Value]
"""Dataset, attribute, the value before and the value after; those are equal where it matters only what comes out."""


class _Members(nn.ModuleList):
    """Networks of one kind, and what each is for."""

    def __init__(self, bank: Bank | PerValue, members: Sequence[Member]) -> None:
        of, most = bank.config.of, bank.config.most
        if len(members) > most:
            raise ValueError(f"these attributes take {len(members)} networks of {of.name!r}; most={most} are allowed")
        super().__init__(of.build(encoder=bank.encoder, image_size=bank.image_size) for _ in members)
        self.places = {member: number for number, member in enumerate(members)}
        parameters = sum(each.numel() for each in self.parameters())
        bank.note = f"{bank.name}: {len(members)} networks of {of.name}, {parameters / 1e6:.1f} M parameters"

    def asked(self, members: Sequence[Member | None]) -> Iterator[tuple[Any, list[int]]]:
        """Each network that is asked for, and the pictures that ask for it; for None, no network is."""
        rows: defaultdict[Member, list[int]] = defaultdict(list)
        for row, member in enumerate(members):
            if member is not None:
                rows[member].append(row)
        for member, own in rows.items():
            if member not in self.places:
                raise RecipeError(f"no network of this translator makes {written(member)}")
            yield self[self.places[member]], own


class Bank(Generator, ABC):
    """Generators, each for a translation of its own. What does not change comes back as it is, for none is asked."""

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.members = _Members(self, self.all_members(config, encoder))
        first: Any = self.members[0]
        self.multiple = first.multiple  # That of the network as it was made, not of its class.

    @classmethod
    @abstractmethod
    def all_members(cls, config: Any, encoder: LabelEncoder) -> list[Member]:
        """Those that the attributes of `encoder` take."""

    @abstractmethod
    def member(self, number: int, attribute: str, before: Value, after: Value) -> Member:
        """The one that changes an attribute of a dataset from one value to another."""

    @classmethod
    def count(cls, config: Any, encoder: LabelEncoder) -> int:
        return len(cls.all_members(config, encoder))

    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        """Each picture through the member of every attribute that changes, in the order of the encoder."""
        before, after = _known(self.encoder, source), _known(self.encoder, target)
        for name in dict.fromkeys(each.name for own in self.encoder.attributes for each in own):
            asked: list[Member | None] = []
            for (_, old), (number, new) in zip(before, after, strict=True):
                if name in new and name not in old and self.reads != "none":
                    raise RecipeError(f"{self.name}: {name}={spell(new[name])}: what the picture has now is not known")
                changes = name in new and (name not in old or old[name] != new[name])
                asked.append(self.member(number, name, old.get(name), new[name]) if changes else None)
            for member, rows in self.members.asked(asked):
                if len(rows) == len(image):
                    image = member(image, source, target, code)
                    continue
                given = None if code is None else code[rows]
                made = member(image[rows], source[rows], target[rows], given)
                image = image.index_copy(0, torch.tensor(rows, device=image.device), made.to(image.dtype))
        return image


class PerPair(Bank):
    """A generator for every ordered pair of values of each attribute: the way of CycleGAN (Zhu et al. 2017).

    An attribute of k values takes k(k - 1).
    """

    name = "per-pair"
    reads = "changed"

    class Config(Settings):
        of: Choice[Generator] = Field(description="the generator that each member is")
        most: int = Field(64, ge=1, description="how many members are meant at most")
        only: tuple[str, ...] = Field(
            (), description="the pairs that there are, such as domain=horse>zebra; all if left out (for imported ones)"
        )

    @classmethod
    def all_members(cls, config: Any, encoder: LabelEncoder) -> list[Member]:
        pairs, only = _pairs(encoder), config.only
        if strange := [each for each in only if each not in map(written, pairs)]:
            raise ValueError(f"only: there is no pair {strange[0]!r}; {nearest(strange[0], map(written, pairs))}")
        return [each for each in pairs if not only or written(each) in only]

    def member(self, number: int, attribute: str, before: Value, after: Value) -> Member:
        return number, attribute, before, after


class PerTarget(Bank):
    """A generator for every value of each attribute, whatever the picture had before: DIAT's way (Li et al. 2016)."""

    name = "per-target"
    reads = "none"

    class Config(Settings):
        of: Choice[Generator] = Field(description="the generator that each member is")
        most: int = Field(64, ge=1, description="how many members are meant at most")

    @classmethod
    def all_members(cls, config: Any, encoder: LabelEncoder) -> list[Member]:
        return _values(encoder)

    def member(self, number: int, attribute: str, before: Value, after: Value) -> Member:
        return number, attribute, after, after


class PerValue(Discriminator):
    """A discriminator for every value of each attribute: is this a real picture that has it?

    A picture is judged by the members of everything that its label knows, and scored by their mean. CycleGAN trains one
    for each direction of each pair; here the pairs that end in a value share its discriminator.
    """

    name = "per-value"

    class Config(Settings):
        of: Choice[Discriminator] = Field(description="the discriminator that each member is")
        most: int = Field(64, ge=1, description="how many members are meant at most")

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.members = _Members(self, _values(encoder))
        first: Any = self.members[0]
        self.alone, self.needs_truth = first.alone, first.needs_truth

    @classmethod
    def count(cls, config: Any, encoder: LabelEncoder) -> int:
        return len(_values(encoder))

    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        known = _known(self.encoder, label)
        total, counts = None, torch.tensor([float(max(len(own), 1)) for _, own in known], device=image.device)
        names = dict.fromkeys(name for _, own in known for name in own)
        for name in names:
            asked = [(number, name, own[name], own[name]) if name in own else None for number, own in known]
            for member, rows in self.members.asked(asked):
                some = slice(None) if len(rows) == len(image) else rows
                given = None if made_from is None else made_from[some]
                score = member(image[some], label[some], given).score
                if total is None:
                    total = score.new_zeros(len(image), *score.shape[1:])
                total = total.index_add(0, torch.tensor(rows, device=image.device), score)
        if total is None:
            raise RecipeError(f"{self.name}: a picture of which nothing is known has no discriminator")
        return Verdict(total / counts.reshape(-1, *[1] * (total.dim() - 1)), None)


def written(member: Member) -> str:
    """A member of `per-pair` as text: `domain=horse>zebra`."""
    _, attribute, before, after = member
    return f"{attribute}={spell(before)}>{spell(after)}"


def _pairs(encoder: LabelEncoder) -> list[Member]:
    return [
        (number, each.name, before, after)
        for number, own in enumerate(encoder.attributes)
        for each in own
        for before, after in permutations(each.allowed, 2)
    ]


def _values(encoder: LabelEncoder) -> list[Member]:
    return [
        (number, each.name, value, value)
        for number, own in enumerate(encoder.attributes)
        for each in own
        for value in each.allowed
    ]


def _known(encoder: LabelEncoder, label: Tensor) -> list[tuple[int, dict[str, Value]]]:
    """Of each label its dataset and what it knows. Labels of a batch are mostly few: each is read once."""
    alike, inverse = torch.unique(label.cpu(), dim=0, return_inverse=True)
    read = [(number, encoder.decode(each)) for each, number in zip(alike, encoder.dataset(alike).tolist(), strict=True)]
    return [read[place] for place in inverse.tolist()]
