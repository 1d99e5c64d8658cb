"""What a component does to the world around it: files, the network, random state, calls."""

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

CHANGING = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
NETWORK = {
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
}
PROCESS = {
    "os.chdir": "the working directory became {}",
    "os.putenv": "{} was set in the environment",
    "os.unsetenv": "{} was taken out of the environment",
}
TELLING = 20_181_129
"""A seed that nobody sets: what seeds a generator by the usual ones moves it."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Seen:
    """What happened in this process while it was watched."""

    read: list[Path] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    """Files and folders that were made, changed or removed; not what Python keeps of imported modules."""
    network: list[str] = field(default_factory=list)
    """Addresses that were asked for."""
    process: list[str] = field(default_factory=list)
    """Changes of the working directory and of the environment, in words."""


_watching: list[Seen] = []
_refusing: list[None] = []
_installed = threading.Event()


@contextmanager
def watched() -> Iterator[Seen]:
    """Watches files and the network by Python's audit events (PEP 578). What C code does by itself is not seen."""
    _install()
    seen = Seen()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


@contextmanager
def offline() -> Iterator[None]:
    """Whatever asks the network in this process fails, with the address that it asked for."""
    _install()
    _refusing.append(None)
    try:
        yield
    finally:
        _refusing.pop()


def _install() -> None:
    if not _installed.is_set():
        sys.addaudithook(_audit)  # For ever: there is no way to take one away.
        _installed.set()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching and not _refusing:
        return
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))  # noqa: PTH100  Links are not to be followed.
        writes = isinstance(arguments[2], int) and bool(arguments[2] & WRITES)
        for seen in _watching:
            if not writes:
                seen.read.append(path)
            elif path.parent.name != "__pycache__" and not path.is_relative_to("/dev"):
                seen.written.append(path)
    elif event in CHANGING:
        paths = [Path(os.fsdecode(each)).absolute() for each in arguments[:2] if isinstance(each, str | bytes)]
        for seen in _watching:
            seen.written += [each for each in paths if "__pycache__" not in each.parts]
    elif event in PROCESS:
        for seen in _watching:
            seen.process.append(PROCESS[event].format(os.fsdecode(arguments[0])))
    elif event in NETWORK and not _on_this_machine(arguments[0]):
        asked = next((each for each in reversed(arguments) if isinstance(each, tuple)), arguments[0])
        for seen in _watching:
            seen.network.append(str(asked))
        if _refusing:
            raise OSError(f"this test allows no network, and {asked!r} was asked for")


def _on_this_machine(one: Any) -> bool:
    """Whether it is a socket that is a file, by which processes of one machine speak."""
    return isinstance(one, socket.socket) and one.family == getattr(socket, "AF_UNIX", None)


@contextmanager
def counted() -> Iterator[list[int]]:
    """Counts the calls of functions in this thread: work that is the same on every machine."""
    calls = [0]

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def random_state() -> tuple[Any, ...]:
    """The state of every global random generator there is, to be compared."""
    numpy_state = np.random.get_state(legacy=False)
    state: tuple[Any, ...] = (random.getstate(), repr(numpy_state), numpy_state["state"]["key"].tobytes())
    if torch := sys.modules.get("torch"):
        state += (torch.random.get_rng_state().numpy().tobytes(),)
    return state


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every global random generator at a seed, and afterwards as before."""
    before, before_numpy = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    before_torch = torch.random.get_rng_state() if torch else None
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)
        if torch:
            torch.random.set_rng_state(before_torch)
