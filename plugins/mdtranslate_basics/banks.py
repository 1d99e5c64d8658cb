"""Banks: networks that turn methods for two domains into methods for many.

A bank holds one network (a *member*) for each translation, and passes each image to the member of its own edit. Members
change one attribute; an edit of several attributes is a chain of members, as for the baselines of the StarGAN paper
(Choi et al. 2018, section 5.3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from mdtranslate import (
    Choice,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    LabelEncoder,
    Settings,
    Value,
    format_value,
)
from mdtranslate.errors import RecipeError, nearest


class Edit(NamedTuple):
    """The edit of an attribute that a member is for.

    Attributes:
        dataset: Index of the dataset.
        attribute: Name of the attribute.
        before: Value before the edit; equal to `after` if the member is for any value before.
        after: Value after the edit.
    """

    dataset: int
    attribute: str
    before: Value
    after: Value

    def __str__(self) -> str:
        return f"{self.attribute}={format_value(self.before)}>{format_value(self.after)}"


class _Members(nn.ModuleList):
    """The networks of a bank, one per edit."""

    def __init__(self, bank: Bank | PerValue, edits: Sequence[Edit]) -> None:
        choice, max_members = bank.config.member, bank.config.max_members
        if len(edits) > max_members:
            raise ValueError(
                f"these attributes need {len(edits)} networks of {choice.name!r}, more than max_members={max_members}"
            )
        super().__init__(choice.build(label_encoder=bank.label_encoder, image_size=bank.image_size) for _ in edits)
        self.index_of = {edit: index for index, edit in enumerate(edits)}
        parameters = sum(param.numel() for param in self.parameters())
        bank.note = f"{bank.name}: {len(edits)} networks of {choice.name}, {parameters / 1e6:.1f} M parameters"

    def assign(self, edits: Sequence[Edit | None]) -> Iterator[tuple[Any, list[int]]]:
        """Yields each member that is needed, with the rows of the batch that need it; None needs no member.

        Raises:
            RecipeError: The bank has no member for an edit.
        """
        rows: defaultdict[Edit, list[int]] = defaultdict(list)
        for row, edit in enumerate(edits):
            if edit is not None:
                rows[edit].append(row)
        for edit, edit_rows in rows.items():
            if edit not in self.index_of:
                raise RecipeError(f"this translator has no network for {edit}")
            yield self[self.index_of[edit]], edit_rows


class Bank(Generator, ABC):
    """A generator that holds one generator per edit of an attribute. Images without an edit are returned as they are.

    Members see the whole labels; it is best that they ignore them (such as `conditional-unet` with `label="none"`).
    """

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Builds the members; see `Generator` for the arguments.

        Raises:
            ValueError: The attributes need more than `max_members` networks.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.members = _Members(self, self.list_edits(config, label_encoder))
        first_member: Any = self.members[0]
        self.size_multiple = first_member.size_multiple  # It may depend on the member's settings.

    @classmethod
    @abstractmethod
    def list_edits(cls, config: Any, label_encoder: LabelEncoder) -> list[Edit]:
        """Lists the edits that have a member, for the attributes of a label encoder."""

    @abstractmethod
    def edit_of(self, dataset: int, attribute: str, before: Value, after: Value) -> Edit:
        """Returns the edit whose member changes an attribute from `before` to `after`."""

    @classmethod
    def network_count(cls, config: Any, label_encoder: LabelEncoder) -> int:
        """Returns the number of members."""
        return len(cls.list_edits(config, label_encoder))

    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Passes each image through the members of all attributes that change, in the order of the label encoder.

        See `Generator.forward` for arguments and result.

        Raises:
            RecipeError: The source value of an attribute is unknown, or there is no member for an edit.
        """
        before, after = _decode_labels(self.label_encoder, source), _decode_labels(self.label_encoder, target)
        for name in dict.fromkeys(attribute.name for _, attribute in _attributes(self.label_encoder)):
            edits: list[Edit | None] = []
            for (_, old), (dataset, new) in zip(before, after, strict=True):
                if name in new and name not in old and self.required_labels != "none":
                    raise RecipeError(
                        f"{self.name}: {name}={format_value(new[name])} needs the value of {name} before the edit, "
                        "which is unknown"
                    )
                is_edited = name in new and (name not in old or old[name] != new[name])
                edits.append(self.edit_of(dataset, name, old.get(name), new[name]) if is_edited else None)
            for member, rows in self.members.assign(edits):
                if len(rows) == len(image):
                    image = member(image, source, target, style_code)
                    continue
                row_codes = None if style_code is None else style_code[rows]
                fake = member(image[rows], source[rows], target[rows], row_codes)
                image = image.index_copy(0, torch.tensor(rows, device=image.device), fake.to(image.dtype))
        return image


class PerPair(Bank):
    """A bank with one generator per ordered pair of values of each attribute, as CycleGAN has (Zhu et al. 2017).

    An attribute of k values needs k(k - 1) generators. The value before an edit must be known.
    """

    name = "per-pair"
    required_labels = "changed"

    class Config(Settings):
        """The networks of the bank: their type and the largest number allowed."""

        member: Choice[Generator] = Field(description="generator of each member: its name and settings")
        max_members: int = Field(64, ge=1, description="largest number of networks to build")
        pairs: tuple[str, ...] = Field(
            (),
            description="pairs that have a member, such as domain=horse>zebra; all if left out (for imported "
            "checkpoints)",
        )

    @classmethod
    def list_edits(cls, config: Any, label_encoder: LabelEncoder) -> list[Edit]:
        """Lists all pairs, or those of `config.pairs`; raises `ValueError` if one of these does not exist."""
        edits = [
            Edit(dataset, attribute.name, before, after)
            for dataset, attribute in _attributes(label_encoder)
            for before, after in permutations(attribute.allowed_values, 2)
        ]
        if strange := [pair for pair in config.pairs if pair not in map(str, edits)]:
            raise ValueError(f"pairs: there is no pair {strange[0]!r}; {nearest(strange[0], map(str, edits))}")
        return [edit for edit in edits if not config.pairs or str(edit) in config.pairs]

    def edit_of(self, dataset: int, attribute: str, before: Value, after: Value) -> Edit:
        """Returns the edit of this pair of values."""
        return Edit(dataset, attribute, before, after)


class PerTarget(Bank):
    """A bank with one generator per value of each attribute, whatever the value before: as DIAT has (Li et al. 2016).

    An attribute of k values needs k generators. The value before an edit may be unknown.
    """

    name = "per-target"
    required_labels = "none"

    class Config(Settings):
        """The networks of the bank: their type and the largest number allowed."""

        member: Choice[Generator] = Field(description="generator of each member: its name and settings")
        max_members: int = Field(64, ge=1, description="largest number of networks to build")

    @classmethod
    def list_edits(cls, config: Any, label_encoder: LabelEncoder) -> list[Edit]:
        """Lists one edit per value, with equal values before and after."""
        return _one_edit_per_value(label_encoder)

    def edit_of(self, dataset: int, attribute: str, before: Value, after: Value) -> Edit:
        """Returns the edit of the value after it."""
        return Edit(dataset, attribute, after, after)


class PerValue(Discriminator):
    """A discriminator that holds one discriminator per value of each attribute: is this a real image with that value?

    The score of an image `(B, 1, h, w)` is the mean over the members of all values that its label knows; there are no
    logits. CycleGAN trains one discriminator per direction of each pair; here the pairs with the same target value
    share one.
    """

    name = "per-value"

    class Config(Settings):
        """The networks of the bank: their type and the largest number allowed."""

        member: Choice[Discriminator] = Field(description="discriminator of each member: its name and settings")
        max_members: int = Field(64, ge=1, description="largest number of networks to build")

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Builds the members; see `Discriminator` for the arguments.

        Raises:
            ValueError: The attributes need more than `max_members` networks.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.members = _Members(self, _one_edit_per_value(label_encoder))
        first_member: Any = self.members[0]
        self.is_batch_independent = first_member.is_batch_independent
        self.requires_truth = first_member.requires_truth

    @classmethod
    def network_count(cls, config: Any, label_encoder: LabelEncoder) -> int:
        """Returns the number of members."""
        return len(_one_edit_per_value(label_encoder))

    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Averages the scores of the members of all known values; see `Discriminator.forward`.

        Raises:
            RecipeError: No attribute of any image is known.
        """
        decoded = _decode_labels(self.label_encoder, label)
        total, counts = None, torch.tensor([float(max(len(values), 1)) for _, values in decoded], device=image.device)
        for name in dict.fromkeys(name for _, values in decoded for name in values):
            edits = [
                Edit(dataset, name, values[name], values[name]) if name in values else None
                for dataset, values in decoded
            ]
            for member, rows in self.members.assign(edits):
                selection = slice(None) if len(rows) == len(image) else rows
                row_sources = None if source_image is None else source_image[selection]
                score = member(image[selection], label[selection], row_sources).score
                if total is None:
                    total = score.new_zeros(len(image), *score.shape[1:])
                total = total.index_add(0, torch.tensor(rows, device=image.device), score)
        if total is None:
            raise RecipeError(f"{self.name}: no attribute of these images is known, so no discriminator scores them")
        return DiscriminatorOutput(total / counts.reshape(-1, *[1] * (total.dim() - 1)), None)


def _attributes(label_encoder: LabelEncoder) -> Iterator[tuple[int, Any]]:
    """Yields the index of each dataset with each of its attributes."""
    for dataset, labelled in enumerate(label_encoder.attributes):
        for attribute in labelled:
            yield dataset, attribute


def _one_edit_per_value(label_encoder: LabelEncoder) -> list[Edit]:
    """Lists one edit per value of each attribute, with equal values before and after."""
    return [
        Edit(dataset, attribute.name, value, value)
        for dataset, attribute in _attributes(label_encoder)
        for value in attribute.allowed_values
    ]


def _decode_labels(label_encoder: LabelEncoder, label: Tensor) -> list[tuple[int, dict[str, Value]]]:
    """Returns the dataset and known values of each label; equal labels are decoded once."""
    unique, inverse = torch.unique(label.cpu(), dim=0, return_inverse=True)
    decoded = [
        (dataset, label_encoder.decode(row))
        for row, dataset in zip(unique, label_encoder.dataset_index(unique).tolist(), strict=True)
    ]
    return [decoded[index] for index in inverse.tolist()]
