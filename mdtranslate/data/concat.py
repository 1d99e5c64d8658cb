"""Images of several datasets as one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class ConcatImages:
    """Concatenates arrays of images without copying them, since they may be memory-mapped.

    Args:
        arrays: Images per dataset, uint8 of shape `(N, S, S, 3)`.

    Attributes:
        arrays: The arrays.
        starts: Index of the first image of each array, and the total number, `(len(arrays) + 1,)`.
    """

    def __init__(self, arrays: Sequence[NDArray[np.uint8]]) -> None:
        self.arrays = [np.asarray(array) for array in arrays]  # Indexing an np.memmap is slower.
        self.starts = np.cumsum([0, *(len(array) for array in arrays)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Returns a copy of images, uint8 of shape `(B, S, S, 3)`.

        Args:
            index: Their indices, in any order, or a slice.
        """
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        if len(self.arrays) == 1:
            return self.arrays[0][index]
        images = np.empty((len(index), *self.arrays[0].shape[1:]), np.uint8)
        array_index = np.searchsorted(self.starts, index, side="right") - 1
        for number in np.unique(array_index):
            rows = array_index == number
            images[rows] = self.arrays[number][index[rows] - self.starts[number]]
        return images
