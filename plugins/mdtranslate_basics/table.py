"""The dataset `table`: a file with one row per image, one column of paths, and columns of attributes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from os.path import normpath
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, field_validator

from mdtranslate import Attribute, Dataset, Note, Record, Split, Value
from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate_basics.cell_values import YES, Pairs, check_pairs, parse_number
from mdtranslate_basics.table_columns import column_attribute, column_notes
from mdtranslate_basics.table_files import Columns, read_columns

UNKNOWN: Final = ("NA", "N/A", "nan", "None", "null", "?", "-")


class Table(Dataset):
    """A CSV, TSV, JSON lines or Parquet file: one column of paths, all others attributes::

        path,hair,smiling
        a/0001.jpg,blond,yes
        a/0002.jpg,,no

    A column of only yes and no (also true and false, or 1 and 0 or -1, in any mixture) is a yes/no attribute. Any other
    column is an attribute with the values that it holds. `bins` groups numbers into values, and `exclusive` joins
    yes/no columns of which at most one holds. Empty cells and those of `unknown` are unknown.

    Without a column for the split, an image's split follows from the hash of its path, so that adding images moves none
    to another split; with `group`, from the hash of its group, so that the images of a group are in the same split.
    """

    name = "table"

    class Config(Dataset.FileConfig):
        """File, columns, values and splits."""

        file: Path = Field(description="the table: .csv, .tsv, .jsonl or .parquet")
        root: Path | None = Field(None, description="folder that paths are relative to; the table's if left out")
        path: str = Field("path", description="name of the column of paths")
        split: str = Field("split", description="name of the column of splits (train, val or test), if there is one")
        ignore: tuple[str, ...] = Field((), description="columns that are not attributes")
        group: str | None = Field(
            None, description="column of groups, such as patients: all images of a group are in the same split"
        )
        unknown: tuple[str, ...] = Field(
            UNKNOWN, description="cells that mean unknown, besides empty ones; case does not matter"
        )
        exclusive: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(
            default_factory=dict,
            description="yes/no columns to join into one attribute with several values, of which at most one holds: "
            '{hair = ["Black_Hair", "Blond_Hair"]}',
        )
        bins: dict[str, Annotated[tuple[float, ...], Field(min_length=1)]] = Field(
            default_factory=dict,
            description="lower limits of the values of a column of numbers: {age = [18, 65]} makes three values",
        )
        mirrored: dict[str, Annotated[Pairs, AfterValidator(check_pairs)]] = Field(
            default_factory=dict,
            description='pairs of values that a horizontal flip swaps, by attribute: {gaze = [["left", "right"]]}',
        )
        separator: str | None = Field(
            None,
            min_length=1,
            max_length=1,
            description="separator of cells; if left out, a comma in .csv files and a tab in .tsv files",
        )
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split if there is no column of splits")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split if there is no column of splits")

        @field_validator("bins")
        @classmethod
        def _check_bins(cls, bins: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
            for name, limits in bins.items():
                if any(lower >= upper for lower, upper in pairwise(limits)):
                    raise ValueError(f"{name}: {list(limits)} must be in ascending order")
            return bins

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading the file."""
        super().__init__(config)
        self.file: Path = config.file
        self._split_of_group: dict[str, Split] = {}

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        """The attributes of `exclusive`, then those of all other columns.

        Raises:
            DataError: A column has too few or too many different values.
            RecipeError: A setting names a column or value that does not exist.
        """
        joined = [name for members in self.config.exclusive.values() for name in members]
        for setting, names in (("exclusive", joined), ("bins", [*self.config.bins])):
            for name in names:
                if name not in self._attribute_columns or names.count(name) > 1:
                    exists = name in self._attribute_columns
                    reason = "it is named twice" if exists else nearest(name, self._attribute_columns)
                    raise RecipeError(f"{setting}: {name!r} is not a column of {self.file} that can be used; {reason}")
        if clash := sorted({*self.config.exclusive} & {*self._attribute_columns}):
            raise RecipeError(f"exclusive: {clash[0]!r} is a column of {self.file} already; choose another name")
        for name in joined:
            if self._column_attribute(name).values:
                raise RecipeError(f"exclusive: column {name!r} of {self.file} does not only hold yes and no")
        attributes = {name: Attribute(name, members, optional=True) for name, members in self.config.exclusive.items()}
        attributes |= {name: self._column_attribute(name) for name in self._attribute_columns if name not in joined}
        for name, pairs in self.config.mirrored.items():
            if name not in attributes:
                raise RecipeError(f"mirrored: {self.file} has no attribute {name!r}; {nearest(name, attributes)}")
            values = attributes[name].values
            for value in (value for pair in pairs for value in pair):
                if value not in values:
                    raise RecipeError(f"mirrored: {name!r} of {self.file} has no {value!r}; {nearest(value, values)}")
            attributes[name] = replace(attributes[name], mirrored=pairs)
        return tuple(attributes.values())

    def records(self, split: Split) -> Iterator[Record]:
        """Lists the records of a split, in the order of the rows; see `Dataset.records`."""
        root, attributes = self.config.root or self.file.parent, self.attributes
        seen: set[str] = set()
        for row, key in enumerate(self._columns[self.config.path]):
            if not key:
                raise DataError(f"{self.file}: row {row + 1} has no {self.config.path}")
            if (path := normpath(key)) in seen:
                raise DataError(f"{self.file}: row {row + 1}: {key} is in another row, too")
            seen.add(path)
            if self._split_of(key, row) is split:
                yield Record(key, root / key, self._row_values(attributes, row))

    def notes(self) -> Iterator[Note]:
        """Reports columns of many numbers, suspicious values, contradicting columns and rows without a group."""
        for attribute in self.attributes:
            yield from column_notes(attribute, has_bins=attribute.name in self.config.bins)
        row_count = len(self._columns[self.config.path])
        for name, members in self.config.exclusive.items():
            rows = zip(*(self._columns[member] for member in members), strict=True)
            if count := sum(sum(cell.lower() in YES for cell in row) > 1 for row in rows):
                message = f"{count} of {row_count} rows have yes in more than one of {', '.join(members)}"
                yield Note("contradicting-columns", message, f"{name} is unknown in them")
        if self.config.group and (count := self._columns[self.config.group].count("")):
            message = f"{count} of {row_count} rows have no {self.config.group}"
            yield Note("missing-group", message, "each of them is treated as a separate group")

    def _row_values(self, attributes: tuple[Attribute, ...], row: int) -> dict[str, Value]:
        """Returns the known attributes of a row; a joined one with several values is unknown."""
        values: dict[str, Value] = {}
        for attribute in attributes:
            members = self.config.exclusive.get(attribute.name)
            cells = [self._columns[name][row] for name in members or (attribute.name,)]
            if "" in cells:
                continue
            if members is None:
                values[attribute.name] = self._cell_value(attribute, cells[0], row)
            elif sum(flags := [cell.lower() in YES for cell in cells]) < 2:
                values[attribute.name] = members[flags.index(True)] if any(flags) else None
        return values

    def _cell_value(self, attribute: Attribute, cell: str, row: int) -> Value:
        limits = self.config.bins.get(attribute.name)
        if limits is None:
            return cell if attribute.values else cell.lower() in YES
        if (number := parse_number(cell)) is None:
            raise DataError(
                f"{self.file}: row {row + 1}: {attribute.name} is {cell!r}; bins need numbers with a decimal point"
            )
        return attribute.values[bisect_right(limits, number)]

    def _split_of(self, key: str, row: int) -> Split:
        group = self._columns[self.config.group][row] if self.config.group else ""
        if self.config.split not in self._columns:
            return Split.from_hash(group or key, val=self.config.val, test=self.config.test)
        name = self._columns[self.config.split][row].lower()
        split = Split.from_name(name)
        if split is None:
            raise DataError(f"{self.file}: row {row + 1}: {self.config.split} is {name!r}; expected train, val or test")
        if group and self._split_of_group.setdefault(group, split) is not split:
            raise DataError(
                f"{self.file}: row {row + 1}: {self.config.group} {group!r} is in {split}, but in "
                f"{self._split_of_group[group]} in an earlier row; evaluations would be too optimistic"
            )
        return split

    @cached_property
    def _attribute_columns(self) -> list[str]:
        """Names of the columns that are attributes."""
        names = list(self._columns)
        group = () if self.config.group is None else (self.config.group,)
        settings = {"path": (self.config.path,), "ignore": self.config.ignore, "group": group}
        for setting, columns in settings.items():
            for column in columns:
                if column not in names:
                    raise RecipeError(f"{setting}={column}: {self.file} has no such column; {nearest(column, names)}")
        others = {self.config.path, self.config.split, *self.config.ignore, *group}
        if attributes := [name for name in names if name not in others]:
            return attributes
        raise DataError(f"{self.file}: has no columns besides {', '.join(names)}, so there are no attributes")

    def _column_attribute(self, name: str) -> Attribute:
        return column_attribute(name, self._columns[name], self.config.bins.get(name), self.file)

    @cached_property
    def _columns(self) -> Columns:
        """The cells of each column as text, empty if unknown."""
        columns = read_columns(self.file, frozenset(self.config.ignore), self.config.separator)
        unknown_words = {word.lower() for word in self.config.unknown}
        unknown_numbers = {parse_number(word) for word in unknown_words} - {None}
        literal_columns = {self.config.path, self.config.split}

        def blank_unknown(cell: str) -> str:
            is_unknown = cell.lower() in unknown_words or (unknown_numbers and parse_number(cell) in unknown_numbers)
            return "" if is_unknown else cell

        return {
            name: cells if name in literal_columns else [*map(blank_unknown, cells)] for name, cells in columns.items()
        }
