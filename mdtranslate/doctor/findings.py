"""Findings of the doctor, and what it reads of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mdtranslate.api import Record, Split, Value
from mdtranslate.data.cache.store import CachedImages
from mdtranslate.data.recipe_datasets import RecipeDataset


class Rank(IntEnum):
    """The severity of a finding, most severe first; as text `error`, `warning` or `info`.

    Attributes:
        ERROR: Training would stop, or learn nothing.
        WARNING: Part of it would not work, or could not be measured.
        INFO: Worth knowing.
    """

    ERROR = 0
    WARNING = 1
    INFO = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """Something that the doctor noticed about the data.

    Attributes:
        kind: A stable identifier for programs, such as `unreadable`.
        rank: How severe it is.
        message: What was found, and in which dataset.
        remedy: What to do about it.
        files: The files it is about, if any.
    """

    kind: str
    rank: Rank
    message: str
    remedy: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class InspectedDataset:
    """A dataset of the recipe with its records, cached images and labels by split.

    Attributes:
        dataset: The dataset.
        records: The records whose image can be read.
        images: The images, at the size that the run caches.
        labels: The values of the attributes that the run labels, for each of `records`.
    """

    dataset: RecipeDataset
    records: Mapping[Split, Sequence[Record]]
    images: Mapping[Split, CachedImages]
    labels: Mapping[Split, Sequence[Mapping[str, Value]]]

    @property
    def name(self) -> str:
        """The dataset's name in the recipe."""
        return self.dataset.name
