"""What a run has to do with its process: signals, and how much memory it took."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # The command line imports this to say no more than --help.
    import torch


def available_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def endings() -> list[int]:
    """SIGTERM, and that of a terminal that was closed (SIGHUP) but for programs that are to outlive it (nohup)."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none.
    heard = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return [int(signal.SIGTERM), *([int(hangup)] if heard and hangup is not None else [])]


@contextmanager
def signals() -> Iterator[list[int]]:
    """Signals to end are noted, so that the step ends and the run is saved; a second one ends it at once."""
    caught: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for each in (int(signal.SIGINT), *endings()):
        before[each] = signal.signal(each, note)
    try:
        yield caught
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def peak_memory(device: torch.device) -> dict[str, int]:
    """The most bytes so far: of the GPU's memory, or of the process's."""
    if device.type == "cuda":
        import torch

        return {"peak_bytes": torch.cuda.max_memory_allocated(device)}
    with suppress(
        OSError, ValueError, IndexError
    ):  # Linux: of this program alone. What getrusage gives begins with that which started it.
        status = Path("/proc/self/status").read_text("ascii")
        return {"peak_bytes": int(status.partition("VmHWM:")[2].split()[0]) * 1024}
    try:
        import resource
    except ImportError:  # Windows
        return {}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_bytes": most if sys.platform == "darwin" else most * 1024}
