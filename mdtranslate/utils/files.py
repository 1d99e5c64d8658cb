"""Atomic writes, readable errors for failed writes, and locks on folders."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from mdtranslate.errors import InUseError, RecipeError, StorageError

_TEMPORARY_SUFFIX = ".part"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Context manager: turns an `OSError` into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_writable(folder: Path, hint: str) -> None:
    """Checks that files can be written in a folder, which need not exist yet.

    Args:
        folder: The folder.
        hint: What to do otherwise; the end of the message.

    Raises:
        StorageError: The folder is not writable or cannot be created.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        problem = "read-only" if existing.is_dir() else "not a folder"
        raise StorageError(f"{folder}: cannot be written: {existing} is {problem}; {hint}")


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replaces a file atomically: writes a temporary file beside it and renames that.

    Args:
        path: The file.
        content: Its new content.
        durable: Flush the content to the disk before renaming.

    Raises:
        StorageError: The file cannot be written.
    """
    temporary = _temporary_path(path)
    with storage_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a UTF-8 text file atomically; surrogates, which file names may hold, are escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file atomically, indented for people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; returns an empty dict if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):  # RecursionError: a hostile file can be nested too deeply.
        return {}
    return content if isinstance(content, dict) else {}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads a log of one JSON object per line; skips lines that are incomplete because a process was killed."""
    entries: list[Any] = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return [entry for entry in entries if isinstance(entry, dict)]


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Context manager: a temporary folder to fill, which replaces `path` as a whole when the context ends.

    If the context raises, `path` is left as it was.

    Args:
        path: The folder to create or replace. If it is a symbolic link, its target is replaced.

    Yields:
        The temporary folder.

    Raises:
        RecipeError: `path` is the current working directory and empty: replacing it would leave the shell in a deleted
            folder.
        StorageError: The folder cannot be written.
    """
    with storage_errors(path):
        target = path.resolve()
        empty, exists = target.is_dir() and not any(target.iterdir()), target.exists()
        if empty and target == Path.cwd():
            raise RecipeError(f"{path}: is the current folder, which cannot be replaced; name a new folder")
        temporary, new_parents = _temporary_path(target), [parent for parent in target.parents if not parent.exists()]
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for file in (entry for entry in temporary.rglob("*") if entry.is_file()):
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            if exists and not empty:
                old = _temporary_path(temporary)
                target.rename(old)
                temporary.rename(target)
                shutil.rmtree(old, ignore_errors=True)
            else:
                if empty:
                    target.rmdir()  # Fails if another process has put something into it meanwhile, which then stays.
                temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            for parent in new_parents:
                with suppress(OSError):  # Not empty: it holds the new folder or files of another process.
                    parent.rmdir()


def sweep(folder: Path) -> None:
    """Removes temporary files that killed writers left in `folder`. Call it only while holding the folder's lock."""
    for leftover in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def home_folder() -> Path:
    """Returns the user's home folder, or the root folder if there is none, as for some users of containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def cache_folder() -> Path:
    """Returns the user's cache folder of mdtranslate, which need not exist; XDG_CACHE_HOME sets it on every platform.

    Raises:
        StorageError: The user has no home folder.
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if configured.is_absolute():
        return configured / "mdtranslate"
    try:
        return platformdirs.user_cache_path("mdtranslate", False)
    except RuntimeError:
        raise StorageError("there is no home folder for the cache; set XDG_CACHE_HOME to a folder for it") from None


def file_sha256(path: str | Path) -> str:
    """Returns the SHA-256 digest of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Context manager: locks a folder for this process.

    Raises:
        InUseError: Another process holds the lock.
        StorageError: The lock file cannot be written.
    """
    lock = FileLock(folder / ".lock")
    with storage_errors(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InUseError(f"{folder}: another mdtranslate process works on this folder") from None
    try:
        yield
    finally:
        lock.release()


def _temporary_path(path: Path) -> Path:
    """Returns the path at which the new content of `path` is written before it is renamed."""
    return path.with_name(f".{path.name.removeprefix('.')}.{os.getpid()}{_TEMPORARY_SUFFIX}")
