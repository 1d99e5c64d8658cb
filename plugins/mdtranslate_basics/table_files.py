"""Reads CSV, TSV, JSON lines and Parquet files as columns of text."""

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
SEPARATOR_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}


def read_columns(file: Path, ignored: Collection[str] = (), separator: str | None = None) -> Columns:
    """Reads the cells of a table by column. Rows as dicts would take gigabytes for a million rows.

    Args:
        file: The table; its suffix says the format.
        ignored: Columns whose cells are not needed; in JSON lines and Parquet they are read as empty.
        separator: Separator of cells in .csv and .tsv; a comma or a tab if None.

    Returns:
        The cells of each column as text, empty where there is none.

    Raises:
        RecipeError: The suffix is that of another format.
        DataError: The file cannot be read, or has no rows.
        PluginError: The library for Parquet is not installed.
    """
    readers = {".jsonl": _read_json_lines, ".ndjson": _read_json_lines, ".parquet": _read_parquet}
    suffix = file.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            columns = _as_columns(_read_csv(file, separator or ("\t" if suffix == ".tsv" else ",")))
        elif suffix in readers:
            columns = _as_columns(readers[suffix](file, ignored))
        else:
            suffixes = ", ".join([".csv", ".tsv", *readers])
            raise RecipeError(f"{file}: has {file.suffix or 'no suffix'}; expected one of {suffixes}")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: is not UTF-8; save it as CSV UTF-8 in the spreadsheet program") from None
    if not columns:
        raise DataError(f"{file}: has no rows")
    return columns


def _as_columns(rows: Iterable[Row]) -> Columns:
    """Converts rows to columns, in the order in which these first occur."""
    columns, interned, count = Columns(), dict[str, str](), 0
    for row in rows:
        for name, cell in row.items():
            column = columns.setdefault(name, [])
            column += [""] * (count - len(column))  # Earlier rows without this column.
            column.append(interned.setdefault(cell, cell))  # Equal cells share one string.
        count += 1
    for column in columns.values():
        column += [""] * (count - len(column))
    return columns


def _read_csv(file: Path, separator: str) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=separator, strict=True)
        try:
            names = [name.strip() for name in reader.fieldnames or ()]
            if len(names) == 1 and (others := [other for other in SEPARATOR_NAMES if other in names[0]]):
                raise DataError(
                    f"{file}: its header has no {SEPARATOR_NAMES.get(separator, repr(separator))}, but "
                    f"{SEPARATOR_NAMES[others[0]]}; set separator={others[0]!r}"
                )
            if invalid := [name for name in names if not name or names.count(name) > 1]:
                problem = f"two columns are named {invalid[0]!r}" if invalid[0] else "a column has no name"
                raise DataError(f"{file}: {problem}")
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{file}:{reader.line_num}: does not have as many cells as the header")
                yield {name.strip(): cell.strip() for name, cell in row.items()}
        except csv.Error as error:
            raise DataError(f"{file}:{reader.line_num}: {error}") from None


def _read_json_lines(file: Path, ignored: Collection[str]) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{file}:{number}: is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{file}:{number}: is not an object with one field per column")
            yield _as_text_row(row, f"{file}:{number}", ignored)


def _read_parquet(file: Path, ignored: Collection[str]) -> Iterator[Row]:
    file.open("rb").close()  # pyarrow does not say why a file cannot be opened.
    if find_spec("pyarrow") is None:
        raise PluginError(f"{file}: needs pyarrow: pip install 'mdtranslate[parquet]'")
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        rows = read_table(file).to_pylist()
    except ArrowException as error:
        raise DataError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
    for number, row in enumerate(rows, start=1):
        yield _as_text_row(row, f"{file}: row {number}", ignored)


def _as_text_row(row: Mapping[str, Any], location: str, ignored: Collection[str]) -> Row:
    """Converts cells to text. Ignored columns may hold any type, and stay as empty columns."""
    return {name: "" if name in ignored else _as_text(cell, f"{location}: {name}") for name, cell in row.items()}


def _as_text(cell: Any, location: str) -> str:
    if cell is None or cell != cell:  # NaN is unknown.
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str | int | float):
        return str(cell).strip()
    raise DataError(f"{location}: is a {type(cell).__name__}; expected text, a number, true, false or null")
