"""Reads CSV, TSV, JSON lines and Parquet files as columns of texts."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mdtranslate.errors import DataError, PluginError, RecipeError

Row = dict[str, str]
Columns = dict[str, list[str]]
SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}


def read_columns(file: Path, ignored: Collection[str] = (), separator: str | None = None) -> Columns:
    """The cells of each column as texts, '' where there is none. As columns: a million rows as dicts take gigabytes.

    Args:
        file: The table, of a kind that its suffix says.
        ignored: Columns of which the cells are not wanted.
        separator: Between the cells of a line of text; by default a tab in .tsv, and a comma otherwise.

    Raises:
        RecipeError: For a suffix of no known kind.
        DataError: For a file that cannot be read, or has no rows.
        PluginError: Where Parquet's library is not installed.
    """
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    suffix = file.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            cells = _in_columns(_csv(file, separator or ("\t" if suffix == ".tsv" else ",")))
        elif suffix in readers:
            cells = _in_columns(readers[suffix](file, ignored))
        else:
            known = ", ".join([".csv", ".tsv", *readers])
            raise RecipeError(f"{file}: {file.suffix or 'no suffix'} is none of {known}")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: is not UTF-8; save it as CSV UTF-8, as spreadsheets call it") from None
    if not cells:
        raise DataError(f"{file}: has no rows")
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


def _csv(file: Path, separator: str) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=separator, strict=True)
        try:
            names = [name.strip() for name in reader.fieldnames or ()]
            if len(names) == 1 and (others := [each for each in SEPARATORS if each in names[0]]):
                raise DataError(
                    f"{file}: its header has no {SEPARATORS.get(separator, repr(separator))}, but "
                    f"{SEPARATORS[others[0]]}: separator={others[0]!r} reads it"
                )
            if wrong := [name for name in names if not name or names.count(name) > 1]:
                what = f"column {wrong[0]!r} is there twice" if wrong[0] else "a column has no name"
                raise DataError(f"{file}: {what}")
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{file}:{reader.line_num}: has not as many cells as the header")
                yield {name.strip(): cell.strip() for name, cell in row.items()}
        except csv.Error as error:
            raise DataError(f"{file}:{reader.line_num}: {error}") from None


def _json_lines(file: Path, ignored: Collection[str]) -> Iterator[Row]:
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


def _parquet(file: Path, ignored: Collection[str]) -> Iterator[Row]:
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


def _texts(row: Mapping[str, Any], where: str, ignored: Collection[str]) -> Row:
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
