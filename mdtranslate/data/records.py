"""Records kept as columns: a million of them as objects would take gigabytes."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from mdtranslate.api.dataset import Record, Value
from mdtranslate.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1 << 13
"""Records whose attributes are laid out side by side at a time."""

UNKNOWN = -1


PLAIN = {bool, str, type(None)}
"""Types of which different values are not equal. A plugin may bring others: 1 equals yes, and is none of its values."""


class _Numbers(dict[tuple[Any, ...], int]):
    """Numbers (name, value) as they come; the type comes third where it is not a plain one."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, Value]] = []

    def __missing__(self, key: tuple[Any, ...]) -> int:
        number = self[key] = len(self.pairs)
        self.pairs.append((key[0], key[1]))
        return number


class NoRecord(TypeError):
    """Something that a dataset gave as a record, and is none; what, and why."""


class Alike(NamedTuple):
    """Some successive records, and what they know of some attributes."""

    kinds: list[dict[str, Value]]
    """All that is different, in the order in which it first comes."""
    firsts: list[int]
    """The place of the first record of each kind, among all records."""
    which: NDArray[np.int64]
    """The kind of each record: [n]."""


class Records(Sequence[Record]):
    """Records in their order; each is made when it is asked for.

    Of attributes the numbers of their (name, value) are kept, those of all records end to end.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        """Raises `DataError` as `append` does."""
        self._keys: list[str] = []
        self._images: list[str | None] = []
        self._numbers, self._cells, self._ends = _Numbers(), array("I"), array("q", [0])
        self._pairs = self._numbers.pairs
        for record in records:
            self.append(record)

    @classmethod
    def of(cls, records: Sequence[Record]) -> Records:
        """Records as columns, if they are not yet."""
        return records if isinstance(records, Records) else cls(records)

    def append(self, record: Record) -> None:
        """Raises `NoRecord`, or `DataError` for an attribute's value that no attribute can have, such as a list."""
        if not isinstance(record, Record):
            raise NoRecord(f"{repr(record)[:100]}, which is no Record")
        if not (isinstance(record.key, str) and isinstance(record.image, Path | None)):
            raise NoRecord(f"{repr(record)[:200]}: its key should be a text, and its image a pathlib.Path or None")
        keys: Iterable[tuple[Any, ...]] = record.attributes.items()
        if not PLAIN.issuperset(map(type, record.attributes.values())):
            keys = [(name, value, type(value)) for name, value in keys]
        try:
            cells = [*map(self._numbers.__getitem__, keys)]
        except TypeError:  # It has no hash.
            raise DataError(f"picture {record.key}: no attribute can be {[*record.attributes.values()]}") from None
        self._cells.extend(cells)
        self._keys.append(record.key)
        self._images.append(None if record.image is None else os.fspath(record.image))
        self._ends.append(len(self._cells))

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        place = range(len(self))[place]
        image, pairs = self._images[place], self._cells[self._ends[place] : self._ends[place + 1]]
        return Record(
            self._keys[place], None if image is None else Path(image), dict(map(self._pairs.__getitem__, pairs))
        )

    @property
    def twice(self) -> str | None:
        """A key that two of them have."""
        if len({*self._keys}) == len(self._keys):
            return None
        return Counter(self._keys).most_common(1)[0][0]

    @property
    def names(self) -> set[str]:
        """The attributes that any of them mentions."""
        return {name for name, _ in self._pairs}

    def files(self) -> Iterator[tuple[str, str | None]]:
        """The key and the file of each."""
        return zip(self._keys, self._images, strict=True)

    def alike(self, names: Sequence[str]) -> Iterator[Alike]:
        """What records know of the attributes `names`, a chunk of records after the other, each kind once a chunk."""
        columns = {name: column for column, name in enumerate(names)}
        column_of = np.array([columns.get(name, UNKNOWN) for name, _ in self._pairs], np.int64)
        cells, ends = np.asarray(self._cells), np.asarray(self._ends)
        for first in range(0, len(self), CHUNK):
            own = ends[first : first + CHUNK + 1]
            pairs = cells[own[0] : own[-1]]
            rows, column = np.repeat(np.arange(len(own) - 1), np.diff(own)), column_of[pairs]
            wanted = column != UNKNOWN
            known = np.full((len(own) - 1, len(names)), UNKNOWN, np.int32)
            known[rows[wanted], column[wanted]] = pairs[wanted]
            texts = [row.tobytes() for row in known]
            kinds = {text: number for number, text in enumerate(dict.fromkeys(texts))}
            which = np.fromiter(map(kinds.__getitem__, texts), np.int64, len(texts))
            _, firsts = np.unique(which, return_index=True)
            different = [dict(self._pairs[pair] for pair in known[at].tolist() if pair != UNKNOWN) for at in firsts]
            yield Alike(different, (firsts + first).tolist(), which)
