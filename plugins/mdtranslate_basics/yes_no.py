"""What words in a column mean: no and yes, numbers."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final

Pairs = tuple[tuple[str, str], ...]

YES: Final = frozenset({"yes", "y", "true", "t", "1", "1.0"})
NO: Final = frozenset({"no", "n", "false", "f", "0", "0.0"})
MINUS: Final = frozenset({"-1", "-1.0"})
"""No, in tables such as CelebA's; beside a 0 it is a third value."""


def yes_no(cells: Iterable[str]) -> bool:
    """Whether cells, however they are spelt, mean no and yes, and nothing besides: -1, 0 and 1 are three values."""
    words = {cell.lower() for cell in cells}
    return bool(words) and (words <= YES | NO or words <= YES | MINUS)


def number(cell: str) -> float | None:
    """The number that a cell spells, if it does."""
    try:
        found = float(cell)
    except ValueError:
        return None
    return found if isfinite(found) else None


def swapped_pairs(pairs: Pairs) -> Pairs:
    """Pairs of values that a flip swaps. Raises `ValueError` where a value has two partners, or itself."""
    values = [value for pair in pairs for value in pair]
    if len({*values}) < len(values):
        raise ValueError(f"{[list(pair) for pair in pairs]}: each value can be in one pair, once")
    return pairs
