"""Writing files so that none is ever half-written, and naming the failure where the disk refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mdtranslate.errors import InUseError, StorageError


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turns the system's errors on writing to `path` into one line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Replaces a file as a whole: written to the side, flushed to the disk, renamed."""
    side = path.with_name(f".{path.name}.{os.getpid()}")
    with disk(path):
        try:
            with side.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            side.replace(path)
        finally:
            side.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """As `write_text`, JSON that a person can read."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` as a whole when the block ends, or not at all."""
    side = path.with_name(f".{path.name}.{os.getpid()}")
    with disk(path):
        try:
            shutil.rmtree(side, ignore_errors=True)
            side.mkdir(parents=True)
            yield side
            for file in side.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            if path.exists():
                old = path.with_name(f".{path.name}.old")
                shutil.rmtree(old, ignore_errors=True)
                path.rename(old)
                side.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                side.rename(path)
        finally:
            shutil.rmtree(side, ignore_errors=True)


def sha256(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps a folder to this process. Raises `InUseError` where another has it."""
    lock = FileLock(folder / ".lock")
    with disk(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InUseError(f"{folder}: another mdtranslate process works on this folder") from None
    try:
        yield
    finally:
        lock.release()
