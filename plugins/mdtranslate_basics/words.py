"""Which words in a column mean no and yes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

YES: Final = frozenset({"yes", "true", "1", "1.0"})
_PAIRS: Final = ({"no", "yes"}, {"false", "true"}, {"0", "1"}, {"-1", "1"}, {"0.0", "1.0"}, {"-1.0", "1.0"})


def yes_no(cells: Iterable[str]) -> bool:
    """Whether cells, however they are spelt, mean no and yes, and nothing besides: -1, 0 and 1 are three values."""
    words = {cell.lower() for cell in cells}
    return bool(words) and any(words <= pair for pair in _PAIRS)
