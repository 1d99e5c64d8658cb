"""Which pictures a step has: permutations laid end to end, drawn for (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder

ORDER, DRAWS, TURNS = 0, 1, 2  # What a random stream is for: its second word, after the seed.


class Order:
    """Groups of pictures that take turns, in an order that is drawn for each round.

    Each group's epochs are permutations laid end to end, and batches are cut across them.
    """

    def __init__(self, groups: Sequence[NDArray[np.int64]], seed: int) -> None:
        """`groups`: places of pictures."""
        self.groups, self.seed = groups, seed
        self._orders: dict[tuple[int, ...], tuple[int, NDArray[np.int64]]] = {}

    def __call__(self, step: int, count: int) -> NDArray[np.int64]:
        """Places of the pictures of a step of `count`."""
        first, found, groups = step * count, np.empty(count, np.int64), len(self.groups)
        if groups == 1:
            own, place = self.groups[0], 0
            while place < count:
                epoch, inside = divmod(first + place, len(own))
                piece = self.permutation((ORDER,), epoch, len(own))[inside : inside + count - place]
                found[place : place + len(piece)] = own[piece]
                place += len(piece)
            return found
        for place in range(count):
            turn, which = divmod(first + place, groups)
            number = int(self.permutation((TURNS,), turn, groups)[which])
            own = self.groups[number]
            epoch, inside = divmod(turn, len(own))
            found[place] = own[self.permutation((ORDER, number) if number else (ORDER,), epoch, len(own))[inside]]
        return found

    def permutation(self, stream: tuple[int, ...], epoch: int, count: int) -> NDArray[np.int64]:
        """A permutation of `count`, drawn for `stream` and `epoch`; the last one of each stream is kept."""
        if stream not in self._orders or self._orders[stream][0] != epoch:
            kind, *rest = stream
            self._orders[stream] = epoch, np.random.default_rng([self.seed, kind, epoch, *rest]).permutation(count)
        return self._orders[stream][1]


def grouped(balance: str, labels: Tensor, encoder: LabelEncoder) -> list[NDArray[np.int64]]:
    """The pictures of each group that is drawn from equally often, by the setting `data.balance`.

    Raises `ValueError` where the domains are too many to number.
    """
    everything = np.arange(len(labels))
    if balance == "none":
        return [everything]
    datasets = encoder.dataset(labels)
    group = datasets
    if balance == "domain":  # What is unknown in part is a group of its own, in each dataset.
        domains = encoder.domain(labels)
        group = torch.where(domains < 0, -1 - datasets, domains)
    # Sorted and cut: a comparison with each group would take as long as there are groups, for every picture.
    _, counts = torch.unique(group, return_counts=True)
    return np.split(torch.argsort(group, stable=True).numpy(), counts.cumsum(0).numpy()[:-1])
