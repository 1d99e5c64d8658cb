"""Detects that a process of a distributed run is gone, and ends the others."""

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

INTERVAL: Final = 3.0
"""Seconds between heartbeats."""

TIMEOUT: Final = 40.0
"""Seconds without a heartbeat after which a process counts as lost."""

LOST: Final = "is gone; `mdtranslate run FOLDER` resumes from the last checkpoint, with any number of processes"


class Heartbeat:
    """A thread in each process that sends heartbeats, so that a lost process ends the others within a minute.

    The communication backend reports a closed connection at best, and never a machine that lost power.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.stopped = rank, size, threading.Event()
        port: list[Any] = [None]
        host = os.environ["MASTER_ADDR"]
        if rank == 0:
            self.store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
            port = [self.store.port]
        dist.broadcast_object_list(port, src=0, device=torch.device("cpu"))
        if rank != 0:
            self.store = TCPStore(host, port[0], is_master=False)
        self.last_reply = time.monotonic()
        self.thread = threading.Thread(target=self._exchange, daemon=True)
        self.thread.start()
        # The store may hang with its machine, and a call to it then never returns.
        threading.Thread(target=self._watch_store, daemon=True).start()

    def stop(self) -> None:
        """Stops watching the other processes."""
        self.stopped.set()
        self.thread.join(2 * INTERVAL)

    def _exchange(self) -> None:
        """Sends heartbeats and watches those of the main process, or, in the main process, those of all others."""
        watched = [0] if self.rank != 0 else [*range(1, self.size)]
        last_seen = {rank: (-1, time.monotonic()) for rank in watched}
        while not self.stopped.wait(INTERVAL):
            try:
                self.store.add(str(self.rank), 1)
                counts = {rank: self.store.add(str(rank), 0) for rank in watched}
            except RuntimeError:  # The store belongs to rank 0.
                self._exit_because_of(0)
                return
            self.last_reply = now = time.monotonic()
            for rank, count in counts.items():
                if count != last_seen[rank][0]:
                    last_seen[rank] = count, now
                elif now - last_seen[rank][1] > TIMEOUT:
                    self._exit_because_of(rank)

    def _watch_store(self) -> None:
        while not self.stopped.wait(INTERVAL):
            if time.monotonic() - self.last_reply > TIMEOUT:
                self._exit_because_of(0)

    def _exit_because_of(self, rank: int) -> None:
        if self.stopped.wait(INTERVAL):  # The run may be ending in all processes.
            return
        print(f"error: process {rank} of {self.size} {LOST}", file=sys.stderr, flush=True)
        # The main thread may be blocked in the backend, where exceptions do not reach it.
        os._exit(PeerError.exit_code)
