"""Writing files so that none is ever half-written, and naming the failure where the disk refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mdtranslate.errors import InUseError, RecipeError, StorageError

_SIDE = ".part"


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turns the system's errors on writing to `path` into one line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_writable(folder: Path, hint: str) -> None:
    """Raises `StorageError`, ending in `hint`, where nothing can be written in `folder`, or it cannot be made."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise StorageError(
            f"{folder}: cannot be written: {there} is {'read-only' if there.is_dir() else 'no folder'}; {hint}"
        )


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replaces a file as a whole: written to the side, renamed; `durable`: flushed to the disk in between."""
    side = _side(path)
    with disk(path):
        try:
            with side.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            side.replace(path)
        finally:
            side.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, UTF-8; what a file name has that is not UTF-8 is escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """As `write_text`, JSON that a person can read."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file, or a damaged one."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):  # RecursionError: of a file that is made to be nested so deeply.
        return {}
    return found if isinstance(found, dict) else {}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a log, a line each; lines that a kill left half-written are passed over."""
    found: list[dict[str, Any]] = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [each for each in found if isinstance(each, dict)]


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` as a whole when the block ends, or not at all.

    Of a link, it takes the place of what that leads to. Raises `RecipeError` where `path` is the current folder and
    empty: a shell would be left in a folder that is gone.
    """
    with disk(path):
        place = path.resolve()
        empty, there = place.is_dir() and not any(place.iterdir()), place.exists()
        if empty and place == Path.cwd():
            raise RecipeError(f"{path}: is the folder that this is typed in, which cannot be replaced; name a new one")
        side, made = _side(place), [each for each in place.parents if not each.exists()]
        try:
            shutil.rmtree(side, ignore_errors=True)
            side.mkdir(parents=True)
            yield side
            for file in (each for each in side.rglob("*") if each.is_file()):
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            if there and not empty:
                old = _side(side)
                place.rename(old)
                side.rename(place)
                shutil.rmtree(old, ignore_errors=True)
            else:
                if empty:
                    place.rmdir()  # Fails where somebody has put something into it meanwhile: that stays.
                side.rename(place)
        finally:
            shutil.rmtree(side, ignore_errors=True)
            for each in made:
                with suppress(OSError):  # It holds what was made, or what somebody else has put there meanwhile.
                    each.rmdir()


def sweep(folder: Path) -> None:
    """Removes what writers left in `folder` that were killed. Only for who holds the folder: others may be writing."""
    for leftover in folder.glob(f".*{_SIDE}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


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


def _side(path: Path) -> Path:
    """Where the new content of `path` is written before it takes its place."""
    return path.with_name(f".{path.name.removeprefix('.')}.{os.getpid()}{_SIDE}")
