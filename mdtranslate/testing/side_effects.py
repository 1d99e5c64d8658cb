"""Observes side effects of a component: files, network requests, random state, function calls."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

# Audit events (PEP 578) that change files or folders, send network requests, or change the state of the process.
FILE_EVENTS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
NETWORK_EVENTS = {
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
}
PROCESS_EVENTS = {
    "os.chdir": "the working directory was changed to {}",
    "os.putenv": "the environment variable {} was set",
    "os.unsetenv": "the environment variable {} was removed",
}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

UNUSUAL_SEED = 20_181_129
"""A seed that no component uses itself: seeding a generator by a usual one then changes its state."""


@dataclass
class SideEffects:
    """Side effects in this process.

    Attributes:
        read: Files that were opened for reading.
        written: Files and folders that were created, changed or removed, except for Python's bytecode caches.
        network: Requested addresses.
        process: Descriptions of changes of the working directory and the environment.
    """

    read: list[Path] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    process: list[str] = field(default_factory=list)


_recorders: list[SideEffects] = []
_network_blocks: list[None] = []
_hook_installed = threading.Event()


@contextmanager
def recorded_side_effects() -> Iterator[SideEffects]:
    """Records side effects by Python's audit events (PEP 578). What C code does by itself is not recorded."""
    _install_hook()
    effects = SideEffects()
    _recorders.append(effects)
    try:
        yield effects
    finally:
        _recorders.remove(effects)


@contextmanager
def blocked_network() -> Iterator[None]:
    """Raises `OSError` with the requested address on every network request in this process."""
    _install_hook()
    _network_blocks.append(None)
    try:
        yield
    finally:
        _network_blocks.pop()


def _install_hook() -> None:
    if not _hook_installed.is_set():
        sys.addaudithook(_audit)  # Permanent: audit hooks cannot be removed.
        _hook_installed.set()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recorders and not _network_blocks:
        return
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))  # noqa: PTH100  Links must not be followed.
        is_write = isinstance(arguments[2], int) and bool(arguments[2] & WRITE_FLAGS)
        for effects in _recorders:
            if not is_write:
                effects.read.append(path)
            elif path.parent.name != "__pycache__" and not path.is_relative_to("/dev"):
                effects.written.append(path)
    elif event in FILE_EVENTS:
        paths = [Path(os.fsdecode(path)).absolute() for path in arguments[:2] if isinstance(path, str | bytes)]
        for effects in _recorders:
            effects.written += [path for path in paths if "__pycache__" not in path.parts]
    elif event in PROCESS_EVENTS:
        for effects in _recorders:
            effects.process.append(PROCESS_EVENTS[event].format(os.fsdecode(arguments[0])))
    elif event in NETWORK_EVENTS and not _is_unix_socket(arguments[0]):
        address = next((argument for argument in reversed(arguments) if isinstance(argument, tuple)), arguments[0])
        for effects in _recorders:
            effects.network.append(str(address))
        if _network_blocks:
            raise OSError(f"this test allows no network, but {address!r} was requested")


def _is_unix_socket(value: Any) -> bool:
    """Returns whether it is a socket by which processes of one machine communicate."""
    return isinstance(value, socket.socket) and value.family == getattr(socket, "AF_UNIX", None)


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Counts function calls in this thread, a measure of work that is the same on every machine.

    Yields:
        A list that holds the number of calls so far.
    """
    calls = [0]

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(previous)


def random_state() -> tuple[Any, ...]:
    """Returns the state of all global random generators (random, NumPy, torch), to be compared."""
    numpy_state = np.random.get_state(legacy=False)
    state: tuple[Any, ...] = (random.getstate(), repr(numpy_state), numpy_state["state"]["key"].tobytes())
    if torch := sys.modules.get("torch"):
        state += (torch.random.get_rng_state().numpy().tobytes(),)
    return state


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds all global random generators, and restores their states afterwards."""
    state, numpy_state = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    torch_state = torch.random.get_rng_state() if torch else None
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
        if torch:
            torch.random.set_rng_state(torch_state)
