"""True pictures after edits, for training on pairs (`data.targets=paired`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder, Record
from mdtranslate.data.cache.store import Packed
from mdtranslate.data.records import Records
from mdtranslate.data.source import Progress, Source
from mdtranslate.errors import DataError


@dataclass(frozen=True, eq=False)
class Truths:
    """The true pictures after edits of the pictures of a run, all those of one picture in a row."""

    packed: list[Packed]
    """Per dataset; pictures [M, S, S, 3]."""
    labels: Tensor
    """After the edit, [M in all, L]."""
    starts: NDArray[np.int64]
    """Those of picture n are at `starts[n]` to `starts[n + 1]`: [N + 1]."""

    def draw(self, places: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One true picture of each picture at `places`: its position."""
        drawn: NDArray[np.int64] = rng.integers(self.starts[places], self.starts[places + 1])
        return drawn


def find_truths(
    parts: Sequence[tuple[Source, Sequence[Record]]], encoder: LabelEncoder, size: int, progress: Progress
) -> Truths:
    """The true pictures of every edit of one attribute of `parts`, as far as their datasets know them.

    `parts`: each dataset with its pictures to train on. Raises `DataError` where none knows any.
    """
    kept, labels, counts = list[Packed](), list[Tensor](), list[int]()
    for source, records in parts:
        edited, homes = Records(), list[int]()
        for place, record in enumerate(records):
            for change in encoder.edits(source.labelled(record), source.number):
                if (after := source.dataset.counterfactual(record, change)) is not None:
                    edited.append(after)
                    homes.append(place)
        packed = source.pack(edited, size, "train, edited", progress)
        kept.append(packed)
        labels.append(source.labels(packed.of(edited), encoder))
        counts += np.bincount(np.asarray(packed.of(homes), np.int64), minlength=len(records)).tolist()
    if not any(map(len, labels)):
        names = " and ".join(source.name for source, _ in parts)
        raise DataError(f"data.targets=paired: {names} knows no true picture after an edit; another setting needs none")
    return Truths(kept, torch.cat(labels), np.cumsum([0, *counts]))
