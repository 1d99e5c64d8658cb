"""The dataset `table`: a file with a row per picture, one column of paths, the others attributes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split, Value
from mdtranslate.errors import DataError, PluginError, RecipeError, nearest
from mdtranslate_basics.words import YES, yes_no

MOST_VALUES: Final = 64
Row = dict[str, str]
Columns = dict[str, list[str]]


class Table(Dataset):
    """A CSV, TSV, JSON lines or Parquet file: a column of paths, the rest attributes::

        path,hair,smiling
        a/0001.jpg,blond,yes
        a/0002.jpg,,no

    A column whose cells are yes and no (true and false, 1 and 0 or -1) is a yes/no attribute, any other an exclusive
    one with the values that it holds. An empty cell is *unknown*. Without a column for the split, each picture's split
    follows from its path, so that it stays where it is when others are added.
    """

    name = "table"

    class Config(Dataset.Config):
        file: Path = Field(description="the table: .csv, .tsv, .jsonl or .parquet")
        root: Path | None = Field(None, description="folder that the paths start from; the table's own if left out")
        path: str = Field("path", description="the column of paths")
        split: str = Field("split", description="the column that says train, val or test, where there is one")
        ignore: tuple[str, ...] = Field((), description="columns that are no attributes")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split, where no column says the split")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split, where no column says the split")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.file: Path = config.file

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        return tuple(map(self._attribute, self._columns))

    def records(self, split: Split) -> Iterator[Record]:
        root = self.config.root or self.file.parent
        attributes = [(each, self._cells[each.name]) for each in self.attributes]
        seen: set[str] = set()
        for place, key in enumerate(self._cells[self.config.path]):
            if not key:
                raise DataError(f"{self.file}: row {place + 1} has no {self.config.path}")
            if key in seen:
                raise DataError(f"{self.file}: row {place + 1}: {key} is there already")
            seen.add(key)
            if self._home(key, place) is split:
                known = {each.name: _value(each, cell) for each, cells in attributes if (cell := cells[place])}
                yield Record(key, root / key, known)

    def _home(self, key: str, place: int) -> Split:
        if self.config.split not in self._cells:
            return Split.drawn(key, val=self.config.val, test=self.config.test)
        word = self._cells[self.config.split][place].lower()
        split = Split.called(word)
        if split is None:
            raise DataError(
                f"{self.file}: row {place + 1}: {self.config.split} is {word!r}; train, val or test is right"
            )
        return split

    @cached_property
    def _columns(self) -> list[str]:
        """The columns that are attributes."""
        there = list(self._cells)
        for setting, names in {"path": (self.config.path,), "ignore": self.config.ignore}.items():
            for name in names:
                if name not in there:
                    raise RecipeError(f"{setting}={name}: {self.file} has no such column; {nearest(name, there)}")
        left_out = {self.config.path, self.config.split, *self.config.ignore}
        if found := [name for name in there if name not in left_out]:
            return found
        raise DataError(f"{self.file}: has no column besides {', '.join(there)}, so nothing is labelled")

    def _attribute(self, name: str) -> Attribute:
        cells = sorted({*self._cells[name]} - {""})
        if yes_no(cells):
            return Attribute(name)
        if not 2 <= len(cells) <= MOST_VALUES:
            raise DataError(
                f"{self.file}: column {name!r} holds {len(cells)} different values, and an attribute has 2 to "
                f'{MOST_VALUES}; if it is none, leave it out with ignore=["{name}"]'
            )
        return Attribute(name, tuple(cells))

    @cached_property
    def _cells(self) -> Columns:
        """The cells of each column as texts, '' where nothing is known.

        As columns: a million rows as dicts would take gigabytes.
        """
        readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
        reader = readers.get(self.file.suffix.lower())
        if reader is None:
            raise RecipeError(f"{self.file}: {self.file.suffix or 'no suffix'} is none of {', '.join(readers)}")
        try:
            cells = _in_columns(reader(self.file, frozenset(self.config.ignore)))
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise DataError(f"{self.file}: is not UTF-8") from None
        if not cells:
            raise DataError(f"{self.file}: has no rows")
        return cells


def _in_columns(rows: Iterable[Row]) -> Columns:
    """Rows as columns, in the order in which those first come."""
    columns, alike, count = Columns(), dict[str, str](), 0
    for row in rows:
        for name, cell in row.items():
            column = columns.setdefault(name, [])
            column += [""] * (count - len(column))  # Of the rows that lacked it.
            column.append(alike.setdefault(cell, cell))  # One text for all cells that hold it.
        count += 1
    for column in columns.values():
        column += [""] * (count - len(column))
    return columns


def _value(attribute: Attribute, cell: str) -> Value:
    return cell if attribute.values else cell.lower() in YES


def _csv(file: Path, ignored: frozenset[str]) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            names = [name.strip() for name in reader.fieldnames or ()]
            if wrong := [name for name in names if not name or names.count(name) > 1]:
                what = f"column {wrong[0]!r} is there twice" if wrong[0] else "a column has no name"
                raise DataError(f"{file}: {what}")
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{file}:{reader.line_num}: has not as many cells as the header")
                yield {name.strip(): cell.strip() for name, cell in row.items()}
        except csv.Error as error:
            raise DataError(f"{file}:{reader.line_num}: {error}") from None


def _json_lines(file: Path, ignored: frozenset[str]) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{file}:{number}: is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{file}:{number}: is no object with a field per column")
            yield _texts(row, f"{file}:{number}", ignored)


def _parquet(file: Path, ignored: frozenset[str]) -> Iterator[Row]:
    file.open("rb").close()  # The library does not say why a file cannot be opened.
    if find_spec("pyarrow") is None:
        raise PluginError(f"{file}: needs pyarrow: pip install 'mdtranslate[parquet]'")
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        rows = read_table(file).to_pylist()
    except ArrowException as error:
        raise DataError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
    for number, row in enumerate(rows, start=1):
        yield _texts(row, f"{file}: row {number}", ignored)


def _texts(row: Mapping[str, Any], where: str, ignored: frozenset[str]) -> Row:
    """Cells as texts. Ignored ones may hold anything, but stay: they are there."""
    return {name: "" if name in ignored else _text(cell, f"{where}: {name}") for name, cell in row.items()}


def _text(cell: Any, where: str) -> str:
    if cell is None or cell != cell:  # Not a number is not known.
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str | int | float):
        return str(cell).strip()
    raise DataError(f"{where}: is a {type(cell).__name__}; a text, a number, true, false or null is right")
