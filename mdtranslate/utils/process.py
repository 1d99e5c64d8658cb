"""Signals, cores and memory use of the current process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # The command line imports this module and must not import torch for --help.
    import torch


def available_cores() -> int:
    """Returns the number of cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def termination_signals() -> list[int]:
    """Returns the signals that should end a process: SIGTERM, and SIGHUP unless it is ignored (as under `nohup`)."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none.
    hangup_ends = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return [int(signal.SIGTERM), *([int(hangup)] if hangup_ends and hangup is not None else [])]


@contextmanager
def catch_signals() -> Iterator[list[int]]:
    """Records SIGINT and the termination signals instead of ending the process.

    The step in progress can then finish and the run can be saved. The first signal restores the previous handlers, so a
    second one ends the process at once.

    Yields:
        The signals received so far; the list grows while the context is active.
    """
    received: list[int] = []
    previous_handlers: dict[int, Any] = {}

    def restore_handlers() -> None:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)

    def record(number: int, frame: FrameType | None) -> None:
        received.append(number)
        restore_handlers()

    for number in (int(signal.SIGINT), *termination_signals()):
        previous_handlers[number] = signal.signal(number, record)
    try:
        yield received
    finally:
        restore_handlers()


def peak_memory(device: torch.device) -> dict[str, int]:
    """Returns the peak memory use of the process so far.

    Args:
        device: On a GPU its memory is measured, otherwise the memory of the process.

    Returns:
        `{"peak_bytes": ...}`, or an empty dict if the system does not report it.
    """
    if device.type == "cuda":
        import torch

        return {"peak_bytes": torch.cuda.max_memory_allocated(device)}
    with suppress(OSError, ValueError, IndexError):
        # Linux. VmHWM is of this program alone; getrusage also counts the process that forked it.
        status = Path("/proc/self/status").read_text("ascii")
        return {"peak_bytes": int(status.partition("VmHWM:")[2].split()[0]) * 1024}
    try:
        import resource
    except ImportError:  # Windows
        return {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_bytes": peak if sys.platform == "darwin" else peak * 1024}
