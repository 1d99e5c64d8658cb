"""A memory-efficient list of records: a million of them as objects would take gigabytes."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from mdtranslate.api.attribute import Value
from mdtranslate.api.dataset import Record
from mdtranslate.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_RECORDS = 1 << 13
"""Number of records per chunk of `Records.unique_attributes`."""

UNKNOWN = -1
"""Stands for an unknown attribute, or one that was not asked for."""

PLAIN_TYPES = {bool, str, type(None)}
"""Types whose values are never equal across types. Values of other types may be: 1 equals True, but is invalid."""


class _PairCodes(dict[tuple[Any, ...], int]):
    """Integer codes of (name, value) pairs, assigned on first use.

    The key has the type of the value as a third item unless it is one of `PLAIN_TYPES`.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[str, Value]] = []

    def __missing__(self, key: tuple[Any, ...]) -> int:
        code = self[key] = len(self.pairs)
        self.pairs.append((key[0], key[1]))
        return code


class InvalidRecord(TypeError):
    """A dataset returned something that is not a valid record; the message describes it."""


class UniqueAttributes(NamedTuple):
    """Attribute values of a chunk of records, with duplicates removed.

    Attributes:
        values: The distinct sets of known values, by name, in order of first occurrence.
        first_index: For each of them, the index of its first record among all records.
        inverse: For each record of the chunk, the index of its values in `values`; `(N,)`.
    """

    values: list[dict[str, Value]]
    first_index: list[int]
    inverse: NDArray[np.int64]


class Records(Sequence[Record]):
    """A sequence of records that is stored as columns; each `Record` is created when it is read.

    Attributes are stored as codes of their (name, value) pairs, those of all records in one array.

    Args:
        records: The records.

    Raises:
        InvalidRecord: As `append`.
        DataError: As `append`.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._keys: list[str] = []
        self._images: list[str | None] = []
        self._codes, self._cells, self._ends = _PairCodes(), array("I"), array("q", [0])
        self._pairs = self._codes.pairs
        for record in records:
            self.append(record)

    @classmethod
    def from_sequence(cls, records: Sequence[Record]) -> Records:
        """Returns `records` itself if it is of this class, otherwise a copy of this class."""
        return records if isinstance(records, Records) else cls(records)

    def append(self, record: Record) -> None:
        """Adds a record.

        Raises:
            InvalidRecord: It is not a `Record`, or its key or image has the wrong type.
            DataError: An attribute has a value of an impossible type, such as a list.
        """
        if not isinstance(record, Record):
            raise InvalidRecord(f"{repr(record)[:100]}, which is not a Record")
        if not (isinstance(record.key, str) and isinstance(record.image, Path | None)):
            raise InvalidRecord(f"{repr(record)[:200]}: its key must be a str, and its image a pathlib.Path or None")
        pairs: Iterable[tuple[Any, ...]] = record.attributes.items()
        if not PLAIN_TYPES.issuperset(map(type, record.attributes.values())):
            pairs = [(name, value, type(value)) for name, value in pairs]
        try:
            cells = [*map(self._codes.__getitem__, pairs)]
        except TypeError:  # The value cannot be hashed.
            values = [*record.attributes.values()]
            raise DataError(f"image {record.key}: no attribute can have one of the values {values}") from None
        self._cells.extend(cells)
        self._keys.append(record.key)
        self._images.append(None if record.image is None else os.fspath(record.image))
        self._ends.append(len(self._cells))

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[item] for item in range(len(self))[index]]
        index = range(len(self))[index]
        image, codes = self._images[index], self._cells[self._ends[index] : self._ends[index + 1]]
        return Record(
            self._keys[index], None if image is None else Path(image), dict(map(self._pairs.__getitem__, codes))
        )

    @property
    def duplicate_key(self) -> str | None:
        """A key that several records have; None if all keys are unique."""
        if len({*self._keys}) == len(self._keys):
            return None
        return Counter(self._keys).most_common(1)[0][0]

    @property
    def attribute_names(self) -> set[str]:
        """Names of all attributes that some record has."""
        return {name for name, _ in self._pairs}

    def files(self) -> Iterator[tuple[str, str | None]]:
        """Yields the key and the image file of each record."""
        return zip(self._keys, self._images, strict=True)

    def unique_attributes(self, names: Sequence[str]) -> Iterator[UniqueAttributes]:
        """Yields the distinct values of some attributes, one chunk of records after the other.

        Args:
            names: Names of the attributes.
        """
        columns = {name: column for column, name in enumerate(names)}
        column_of_code = np.array([columns.get(name, UNKNOWN) for name, _ in self._pairs], np.int64)
        all_codes, ends = np.asarray(self._cells), np.asarray(self._ends)
        for start in range(0, len(self), CHUNK_RECORDS):
            chunk_ends = ends[start : start + CHUNK_RECORDS + 1]
            count = len(chunk_ends) - 1
            codes = all_codes[chunk_ends[0] : chunk_ends[-1]]
            rows, column = np.repeat(np.arange(count), np.diff(chunk_ends)), column_of_code[codes]
            selected = column != UNKNOWN
            table = np.full((count, len(names)), UNKNOWN, np.int32)
            table[rows[selected], column[selected]] = codes[selected]
            row_keys = [row.tobytes() for row in table]
            positions = {row_key: position for position, row_key in enumerate(dict.fromkeys(row_keys))}
            inverse = np.fromiter(map(positions.__getitem__, row_keys), np.int64, count)
            _, first_rows = np.unique(inverse, return_index=True)
            values = [dict(self._pairs[code] for code in table[row].tolist() if code != UNKNOWN) for row in first_rows]
            yield UniqueAttributes(values, (first_rows + start).tolist(), inverse)
