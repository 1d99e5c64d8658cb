"""Loads, prepares and writes the pictures of the cache, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdtranslate.config.registry import registry, use_files
from mdtranslate.data.transforms import Preparation
from mdtranslate.errors import DataError, MdtranslateError
from mdtranslate.utils.process import available_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mdtranslate.api import Dataset, Record

CHUNK = 32
"""Records that a worker takes at a time."""

FEW = 8192
"""Below about this many records, starting workers takes longer than they save (4 s against 1,300 pictures per second
and core, measured on pictures of CelebA)."""

HASH = 16
"""Bytes of a picture's hash."""


@dataclass(frozen=True)
class Target:
    """Where pictures go: one after the other into `file`, from byte `offset` on, prepared by `prepare`."""

    file: Path
    offset: int
    prepare: Preparation


@dataclass(frozen=True)
class Part:
    """What became of the records of one chunk."""

    first: int
    """The place of the first."""
    hashes: bytes
    """Of each picture, joined; all zero of one that could not be read."""
    unreadable: Mapping[int, str]
    """Places of those, and why: each reason names the file."""


def fill(
    dataset: Dataset, records: Sequence[Record], firsts: Sequence[int], target: Target, workers: int | None
) -> Generator[Part, None, None]:
    """Writes the pictures of `records`, of the chunks that begin at `firsts`; yields each chunk's part in that order.

    `workers` processes do it: None is one per core, 0 is this process, which also does it for few records or a
    dataset that no plugin registers. Close the generator before touching the file: then nobody writes any more.

    Raises `DataError` where a dataset gives something else than a picture, `OSError` for what cannot be written.
    """
    if workers is None:
        count = sum(len(_chunk(records, first)) for first in firsts)
        workers = available_cores() if count >= FEW else 0
    if workers and registered(dataset):
        yield from _in_workers(dataset, records, firsts, target, max(1, min(workers, len(firsts))))
        return
    for first in firsts:
        yield _write(dataset, target, first, _chunk(records, first))


def one_line(error: Exception) -> str:
    """An error's class and text."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _chunk(records: Sequence[Record], first: int) -> list[Record]:
    return [records[index] for index in range(first, min(first + CHUNK, len(records)))]


def _write(dataset: Dataset, target: Target, first: int, records: Iterable[Record]) -> Part:
    """Writes the pictures of `records` from place `first` on.

    Through plain writes: a full disk is an error here, where it kills the process that writes through a memory map.
    """
    hashes, unreadable, stride = b"", dict[int, str](), target.prepare.size**2 * 3
    with target.file.open("r+b") as file:
        for place, record in enumerate(records, start=first):
            try:
                pixels = _load(dataset, record)
            except _Unreadable as error:
                unreadable[place] = str(error)
                hashes += bytes(HASH)
                continue
            picture = target.prepare(pixels).tobytes()
            file.seek(target.offset + place * stride)
            file.write(picture)
            hashes += blake2b(picture, digest_size=HASH).digest()
    return Part(first, hashes, unreadable)


class _Unreadable(Exception):
    """A picture cannot be read; the rest of the dataset may be sound."""


def readable(dataset: Dataset, record: Record) -> bool:
    """Whether the picture of a record can be loaded now."""
    try:
        _load(dataset, record)
    except _Unreadable:
        return False
    return True


def _load(dataset: Dataset, record: Record) -> NDArray[np.uint8]:
    try:
        pixels: Any = dataset.load(record)
    except DataError as error:
        raise _Unreadable(str(error)) from error
    except (MdtranslateError, MemoryError):
        raise
    except Exception as error:
        said = f"dataset {dataset.name!r} cannot load record {record.key!r}: {one_line(error)}"
        raise _Unreadable(said) from error
    came = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
    match pixels:
        case np.ndarray(dtype=np.uint8, shape=(height, width, 3)) if height and width:
            return pixels
    raise DataError(f"dataset {dataset.name!r}, record {record.key!r}: load() gave {came}, not uint8 [H, W, 3]")


def registered(dataset: Dataset) -> bool:
    """Whether a worker process finds the dataset's class by its name."""
    try:
        plugin = registry().owner("dataset", dataset.name)
        return plugin.distribution != "in memory" and registry().component("dataset", dataset.name) is type(dataset)
    except MdtranslateError:
        return False


def _in_workers(
    dataset: Dataset, records: Sequence[Record], firsts: Iterable[int], target: Target, workers: int
) -> Generator[Part, None, None]:
    setup = (registry().files, dataset.name, dataset.config.model_dump(mode="json"), target)
    context = multiprocessing.get_context("spawn")  # fork does not go with the threads of torch
    pool = ProcessPoolExecutor(workers, context, _set_up, setup)
    waiting: deque[Future[Part]] = deque()
    try:
        for first in firsts:
            # Plain dicts travel; a dataset's own mapping need not.
            chunk = [replace(record, attributes=dict(record.attributes)) for record in _chunk(records, first)]
            with _interrupts_held():  # A worker that is just starting would answer Ctrl-C with a traceback.
                waiting.append(pool.submit(_work, first, chunk))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            f"dataset {dataset.name!r}: a process that loads pictures died, killed or out of memory; "
            "data.workers=0 does without such processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[Dataset, Target] | DataError


def _set_up(files: tuple[Path, ...], name: str, config: dict[str, Any], target: Target) -> None:
    """Starts a worker. An error waits for the first task: raised here, it would break the pool without its message."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        use_files(files)
        component: Any = registry().component("dataset", name)
        _worker = component(component.Config.model_validate(config)), target
    except Exception as error:
        _worker = DataError(f"dataset {name!r} cannot be made in a worker process: {one_line(error)}")


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after the block. What is started in it never sees one, which is right for workers."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for tasks for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work(first: int, records: list[Record]) -> Part:
    if isinstance(_worker, DataError):
        raise _worker
    try:
        return _write(*_worker, first, records)
    except MdtranslateError as error:
        raise DataError(str(error)) from None  # a plugin's own class of errors need not travel
