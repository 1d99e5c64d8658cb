"""Batches that are made while the step before them trains, so that a GPU does not wait."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from types import TracebackType
from typing import Any, Final

import torch

from mdtranslate.api.translation import Batch
from mdtranslate.data.batches import Batches

DEPTH: Final = 2
"""Batches that are made before their step: one that is ready, and one in the making."""


class Ahead:
    """The same batches, asked for in the order of steps: a thread makes the next ones, on a stream of its own.

    On a processor there is nothing to gain, for the thread would take from the step what it gives.
    """

    def __init__(self, batches: Batches, last: int) -> None:
        """`last`: the step before which it ends."""
        self.batches, self.last, self.device = batches, last, batches.device
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self.coming: dict[int, Future[tuple[Batch, Any]]] = {}
        self.stream: Any = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        for each in range(step, min(step + DEPTH + 1, self.last)):
            if each not in self.coming:
                self.coming[each] = self.pool.submit(self._made, each)
        batch, made = self.coming.pop(step).result()
        if self.stream is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(made)  # Not for the stream, where the next batches are on their way already.
            for field in fields(batch):
                value = getattr(batch, field.name)
                if value is not None:
                    value.record_stream(here)  # Else its memory would be given away while it is still read here.
        return batch

    def _made(self, step: int) -> tuple[Batch, Any]:
        """A batch, and the event after which it is there."""
        with torch.cuda.stream(self.stream):  # None: as it is.
            batch = self.batches(step)
            return batch, None if self.stream is None else self.stream.record_event()
