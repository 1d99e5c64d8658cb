"""Attributes from the columns of a table, and remarks about columns that look unintended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from mdtranslate import Attribute, Note
from mdtranslate.errors import DataError
from mdtranslate_basics.cell_values import is_yes_no, parse_number

MAX_VALUES: Final = 64
"""Largest number of different values of an attribute."""

MANY_NUMBERS: Final = 8
"""Number of different numbers in a column above which a note recommends bins."""

WORDS_FOR_UNKNOWN: Final = frozenset({"na", "n/a", "n.a.", "nan", "none", "null", "?", "-", "unknown", "missing"})
"""Lower-case words that are hardly ever a value."""


def column_attribute(name: str, column: Sequence[str], bin_limits: Sequence[float] | None, file: Path) -> Attribute:
    """Returns the attribute of a column.

    Args:
        name: Name of the column.
        column: The cells, empty if unknown.
        bin_limits: Lower limits of the values of a column of numbers, without that of the first; None for no bins.
        file: The table, for messages.

    Raises:
        DataError: There are too few or too many different values, or a number is spelt in two ways.
    """
    if bin_limits:
        limits = [f"{limit:g}" for limit in bin_limits]
        between = [f"{lower} to {upper}" for lower, upper in pairwise(limits)]
        return Attribute(name, (f"below {limits[0]}", *between, f"{limits[-1]} and over"))
    cells = {*column} - {""}
    if is_yes_no(cells):
        return Attribute(name)
    numbers = {cell: parse_number(cell) for cell in cells}
    is_numeric = bool(cells) and None not in numbers.values()
    if not 2 <= len(cells) <= MAX_VALUES:
        bins = f"group its numbers with bins={{{name}=[...]}}, or " if is_numeric and len(cells) > 1 else ""
        raise DataError(
            f"{file}: column {name!r} has {len(cells)} different values, and an attribute needs 2 to {MAX_VALUES}; "
            f'{bins}leave it out with ignore=["{name}"]'
        )
    spelling = dict[float, str]()
    for cell in sorted(cells) if is_numeric else ():
        if (other := spelling.setdefault(float(cell), cell)) != cell:
            raise DataError(f"{file}: column {name!r}: {other!r} and {cell!r} are the same number; spell it in one way")
    return Attribute(name, tuple(sorted(cells, key=lambda cell: (numbers[cell] if is_numeric else 0, cell))))


def column_notes(attribute: Attribute, *, has_bins: bool) -> Iterator[Note]:
    """Yields remarks about the values of an attribute.

    Args:
        attribute: The attribute.
        has_bins: Whether its values are bins.
    """
    name, values = attribute.name, attribute.values
    numbers = [parse_number(value) for value in values]
    if not has_bins and len(numbers) > MANY_NUMBERS and None not in numbers:
        yield Note(
            "many-numbers",
            f"column {name!r} holds {len(numbers)} numbers, each of which is a separate value",
            f"bins={{{name}=[...]}} groups them",
        )
    if unknown := [value for value in values if value.lower() in WORDS_FOR_UNKNOWN]:
        yield Note(
            "unknown-as-value",
            f"column {name!r}: {', '.join(map(repr, unknown))} is treated as a value",
            "if it means unknown, list it in unknown, which replaces the default list",
        )
    folded = [value.casefold() for value in values]
    if similar := [value for value in values if folded.count(value.casefold()) > 1]:
        yield Note(
            "similar-values",
            f"column {name!r}: {', '.join(map(repr, similar))} differ only in case",
            "spell each value in one way",
        )
