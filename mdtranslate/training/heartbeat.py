"""Notices when one of several processes that train together is gone, and ends the others."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, Final

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mdtranslate.errors import PeerError

BEAT: Final = 3.0
"""Seconds from one sign of life to the next."""

PATIENCE: Final = 40.0
"""Seconds without one after which a process is taken for lost."""

LOST: Final = "is gone; from a checkpoint `mdtranslate run FOLDER` goes on, with any number of processes"


class Heartbeat:
    """Signs of life: a thread in each process, so that one that vanishes ends the others within a minute.

    A backend tells of a closed connection at best, and never of a machine that lost its power.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.ended = rank, size, threading.Event()
        port: list[Any] = [None]
        host = os.environ["MASTER_ADDR"]
        if rank == 0:
            self.store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
            port = [self.store.port]
        dist.broadcast_object_list(port, src=0, device=torch.device("cpu"))
        if rank != 0:
            self.store = TCPStore(host, port[0], is_master=False)
        self.answered = time.monotonic()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        # A store that hangs with its machine answers no more, and a call to it never comes back.
        threading.Thread(target=self._overlook, daemon=True).start()

    def stop(self) -> None:
        """Nobody is missed any more."""
        self.ended.set()
        self.thread.join(2 * BEAT)

    def _watch(self) -> None:
        watched = [0] if self.rank != 0 else [*range(1, self.size)]
        seen = {rank: (-1, time.monotonic()) for rank in watched}
        while not self.ended.wait(BEAT):
            try:
                self.store.add(str(self.rank), 1)
                counts = {rank: self.store.add(str(rank), 0) for rank in watched}
            except RuntimeError:  # The store is rank 0's.
                self._give_up(0)
                return
            self.answered = now = time.monotonic()
            for rank, count in counts.items():
                if count != seen[rank][0]:
                    seen[rank] = count, now
                elif now - seen[rank][1] > PATIENCE:
                    self._give_up(rank)

    def _overlook(self) -> None:
        while not self.ended.wait(BEAT):
            if time.monotonic() - self.answered > PATIENCE:
                self._give_up(0)

    def _give_up(self, rank: int) -> None:
        if self.ended.wait(BEAT):  # It may have ended as this one does.
            return
        print(f"error: process {rank} of {self.size} {LOST}", file=sys.stderr, flush=True)
        os._exit(PeerError.exit_code)  # The main thread may wait in the backend, where no exception reaches it.
