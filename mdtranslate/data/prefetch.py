"""Prepares batches while the previous step trains, so that a GPU does not wait."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from types import TracebackType
from typing import Any, Final

import torch

from mdtranslate.api.batch import Batch
from mdtranslate.data.batches import Batches

DEPTH: Final = 2
"""Number of batches that are prepared in advance: one that is ready, and one in preparation."""


class Prefetcher:
    """Prepares the next batches in a thread, on a CUDA stream of its own.

    Use it as a context manager, and only with a GPU: on a CPU the thread would slow down the training step.

    Args:
        batches: The batches.
        last: The number of steps; no batch is prepared from this step on.
    """

    def __init__(self, batches: Batches, last: int) -> None:
        self.batches, self.last, self.device = batches, last, batches.device
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self.pending: dict[int, Future[tuple[Batch, Any]]] = {}
        self.stream: Any = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, step: int) -> Batch:
        """Returns the batch of a step, counted from 0. Ask for steps in ascending order."""
        for upcoming in range(step, min(step + DEPTH + 1, self.last)):
            if upcoming not in self.pending:
                self.pending[upcoming] = self.pool.submit(self._prepare, upcoming)
        batch, ready = self.pending.pop(step).result()
        if self.stream is not None:
            current_stream = torch.cuda.current_stream(self.device)
            current_stream.wait_event(ready)  # Waiting for the stream would also wait for the batches after this one.
            for field in fields(batch):
                value = getattr(batch, field.name)
                if value is not None:
                    value.record_stream(current_stream)  # Otherwise its memory could be reused too early.
        return batch

    def _prepare(self, step: int) -> tuple[Batch, Any]:
        """Returns a batch, and the CUDA event after which it is ready."""
        with torch.cuda.stream(self.stream):  # Without effect if it is None.
            batch = self.batches(step)
            return batch, None if self.stream is None else self.stream.record_event()
