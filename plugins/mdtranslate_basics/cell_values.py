"""The meaning of table cells: yes and no, numbers, and values that a flip swaps."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final

Pairs = tuple[tuple[str, str], ...]
"""Pairs of values that a horizontal flip swaps."""

YES: Final = frozenset({"yes", "y", "true", "t", "1", "1.0"})
NO: Final = frozenset({"no", "n", "false", "f", "0", "0.0"})
MINUS_ONE: Final = frozenset({"-1", "-1.0"})
"""No, in tables such as CelebA's; in a column that also has 0 it is a third value."""


def is_yes_no(cells: Iterable[str]) -> bool:
    """Returns whether cells, in any spelling, are only yes and no. A column of -1, 0 and 1 has three values."""
    words = {cell.lower() for cell in cells}
    return bool(words) and (words <= YES | NO or words <= YES | MINUS_ONE)


def parse_number(cell: str) -> float | None:
    """Returns the finite number that a cell holds, or None."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if isfinite(number) else None


def check_pairs(pairs: Pairs) -> Pairs:
    """Returns pairs of values.

    Raises:
        ValueError: A value is in two pairs, or paired with itself.
    """
    values = [value for pair in pairs for value in pair]
    if len({*values}) < len(values):
        raise ValueError(f"{[list(pair) for pair in pairs]}: each value can be in only one pair, and only once")
    return pairs
