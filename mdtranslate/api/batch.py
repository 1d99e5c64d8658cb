"""The data of one training step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The data of one training step on the device; a pure function of (seed, step).

    Attributes:
        real: Images of shape `(B, 3, S, S)` in [-1, 1].
        source: Labels of the images, `(B, L)`.
        target: Labels to translate to, `(B, L)`.
        seeds: Random seed of each sample, int64 `(B,)`.
        truth: Ground truth of the translation, like `real`, where `data.targets=paired`; None otherwise.
    """

    real: Tensor
    source: Tensor
    target: Tensor
    seeds: Tensor
    truth: Tensor | None = None

    def to_memory_format(self, memory_format: torch.memory_format) -> Batch:
        """Returns the batch with its images in a memory format."""
        real, truth = self.real.contiguous(memory_format=memory_format), self.truth
        return replace(self, real=real, truth=None if truth is None else truth.contiguous(memory_format=memory_format))

    def micro_batches(self, count: int) -> list[Batch]:
        """Splits the batch into `count` micro-batches of equal size."""
        if count == 1:
            return [self]
        size = len(self.real) // count
        rows = [slice(start, start + size) for start in range(0, size * count, size)]
        tensors = (self.real, self.source, self.target, self.seeds, self.truth)
        return [
            Batch(*(None if tensor is None else tensor[row] for tensor in tensors))  # type: ignore[arg-type]
            for row in rows
        ]
