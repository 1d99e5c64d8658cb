"""The pictures of several datasets as one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Pictures:
    """Arrays of pictures, uint8 [N, S, S, 3] each, laid end to end without being copied: they may be memory maps."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self.parts = [np.asarray(each) for each in parts]  # Not as memmap, whose every index costs more.
        self.starts = np.cumsum([0, *(len(each) for each in parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """The pictures at these places, in this order: a copy, [B, S, S, 3]."""
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        if len(self.parts) == 1:
            return self.parts[0][index]
        out = np.empty((len(index), *self.parts[0].shape[1:]), np.uint8)
        home = np.searchsorted(self.starts, index, side="right") - 1
        for number in np.unique(home):
            mine = home == number
            out[mine] = self.parts[number][index[mine] - self.starts[number]]
        return out
