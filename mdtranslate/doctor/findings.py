"""What the doctor says: findings, the gravest first, each with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mdtranslate.api import Record, Split, Value
from mdtranslate.data.cache.store import Packed
from mdtranslate.data.source import Source


class Rank(IntEnum):
    """How grave a finding is."""

    IN_VAIN = 0
    """Training would stop, or learn nothing."""
    TROUBLE = 1
    """Part of it would not work, or could not be measured."""
    NOTE = 2
    """Worth knowing."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Finding:
    """One of them."""

    kind: str
    """What programs know it by, such as `unreadable`."""
    rank: Rank
    what: str
    cure: str
    files: tuple[str, ...] = ()
    """Those that it is about, where it is about files."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A dataset of the recipe, its pictures brought into the cache."""

    source: Source
    records: Mapping[Split, Sequence[Record]]
    """Those whose picture can be read."""
    packed: Mapping[Split, Packed]
    """At the size that the run caches."""
    labels: Mapping[Split, Sequence[Mapping[str, Value]]]
    """What the run knows of each of `records`."""

    @property
    def name(self) -> str:
        """The dataset's name in the recipe."""
        return self.source.name
