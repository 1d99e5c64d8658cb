"""Decodes, preprocesses and writes the images of the cache, in this process or in several."""

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

from mdtranslate.config.registry import registry, set_plugin_files
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.errors import DataError, MdtranslateError, describe_error
from mdtranslate.utils.process import available_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mdtranslate.api import Dataset, Record

CHUNK_RECORDS = 32
"""Number of records that a worker takes at a time."""

MIN_PARALLEL_RECORDS = 8192
"""Number of records below which starting workers takes longer than they save.

Starting them takes 4 s; one core handles 1,300 images of CelebA per second.
"""

HASH_BYTES = 16
"""Length of the hash of an image."""


@dataclass(frozen=True)
class OutputFile:
    """The file of all images; each has its own place, so that several processes can write.

    Attributes:
        path: The file.
        offset: Position of the first image in bytes.
        transform: Preprocessing of the images.
    """

    path: Path
    offset: int
    transform: CropAndResize


@dataclass(frozen=True)
class ChunkResult:
    """Result of writing the images of one chunk of records.

    Attributes:
        start: Index of the first record.
        hashes: Hashes of the images, concatenated; zeros for unreadable images.
        unreadable: Indices of unreadable images, and why they cannot be read; each reason names the file.
    """

    start: int
    hashes: bytes
    unreadable: Mapping[int, str]


def write_images(
    dataset: Dataset, records: Sequence[Record], chunk_starts: Sequence[int], output: OutputFile, workers: int | None
) -> Generator[ChunkResult, None, None]:
    """Writes images of a dataset.

    Close the generator before using the file: only then all workers have stopped writing.

    Args:
        dataset: The dataset.
        records: All its records.
        chunk_starts: Indices of the first records of the chunks to write.
        output: Where to write.
        workers: Number of worker processes; None for one per core, 0 for this process. This process also does the work
            if there are few records, or if no plugin registers the dataset.

    Yields:
        The result of each chunk, in the order of `chunk_starts`.

    Raises:
        DataError: The dataset returned something that is not an image, or a worker died.
        OSError: The file cannot be written.
    """
    if workers is None:
        count = sum(len(_chunk(records, start)) for start in chunk_starts)
        workers = available_cores() if count >= MIN_PARALLEL_RECORDS else 0
    if workers and is_registered(dataset):
        yield from _write_in_workers(dataset, records, chunk_starts, output, max(1, min(workers, len(chunk_starts))))
        return
    for start in chunk_starts:
        yield _write_chunk(dataset, output, start, _chunk(records, start))


def _chunk(records: Sequence[Record], start: int) -> list[Record]:
    return [records[index] for index in range(start, min(start + CHUNK_RECORDS, len(records)))]


def _write_chunk(dataset: Dataset, output: OutputFile, start: int, records: Iterable[Record]) -> ChunkResult:
    """Writes the images of `records`, of which the first has index `start`.

    Uses plain writes: on a full disk they raise an error, while writing to a memory map kills the process.
    """
    hashes, unreadable, stride = b"", dict[int, str](), output.transform.size**2 * 3
    with output.path.open("r+b") as file:
        for index, record in enumerate(records, start=start):
            try:
                pixels = _load(dataset, record)
            except _UnreadableImageError as error:
                unreadable[index] = str(error)
                hashes += bytes(HASH_BYTES)
                continue
            image_bytes = output.transform(pixels).tobytes()
            file.seek(output.offset + index * stride)
            file.write(image_bytes)
            hashes += blake2b(image_bytes, digest_size=HASH_BYTES).digest()
    return ChunkResult(start, hashes, unreadable)


class _UnreadableImageError(Exception):
    """An image cannot be read; other images may be readable."""


def is_readable(dataset: Dataset, record: Record) -> bool:
    """Returns whether the image of a record can be loaded now."""
    try:
        _load(dataset, record)
    except _UnreadableImageError:
        return False
    return True


def _load(dataset: Dataset, record: Record) -> NDArray[np.uint8]:
    try:
        pixels: Any = dataset.load(record)
    except DataError as error:
        raise _UnreadableImageError(str(error)) from error
    except (MdtranslateError, MemoryError):
        raise
    except Exception as error:
        message = f"dataset {dataset.name!r} cannot load record {record.key!r}: {describe_error(error)}"
        raise _UnreadableImageError(message) from error
    match pixels:
        case np.ndarray(dtype=np.uint8, shape=(height, width, 3)) if height and width:
            return pixels
    actual = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
    raise DataError(f"dataset {dataset.name!r}, record {record.key!r}: load() returned {actual}, not uint8 [H, W, 3]")


def is_registered(dataset: Dataset) -> bool:
    """Returns whether a worker process can find the class of a dataset by its name."""
    try:
        plugin = registry().owner("dataset", dataset.name)
        return plugin.distribution != "in memory" and registry().component("dataset", dataset.name) is type(dataset)
    except MdtranslateError:
        return False


def _write_in_workers(
    dataset: Dataset, records: Sequence[Record], chunk_starts: Iterable[int], output: OutputFile, workers: int
) -> Generator[ChunkResult, None, None]:
    arguments = (registry().files, dataset.name, dataset.config.model_dump(mode="json"), output)
    context = multiprocessing.get_context("spawn")  # fork is unsafe with torch's threads
    pool = ProcessPoolExecutor(workers, context, _initialise_worker, arguments)
    pending: deque[Future[ChunkResult]] = deque()
    try:
        for start in chunk_starts:
            # Plain dicts can be pickled; a dataset's own mapping type perhaps not.
            chunk = [replace(record, attributes=dict(record.attributes)) for record in _chunk(records, start)]
            with _interrupts_blocked():  # A worker that is just starting would print a traceback on Ctrl-C.
                pending.append(pool.submit(_work, start, chunk))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            f"dataset {dataset.name!r}: a worker process that loads images died, killed or out of memory; "
            "data.workers=0 loads them without worker processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_state: tuple[Dataset, OutputFile] | DataError


def _initialise_worker(files: tuple[Path, ...], name: str, config: dict[str, Any], output: OutputFile) -> None:
    """Initialises a worker. Errors are kept for the first task: raised here, their message would be lost."""
    global _worker_state
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        set_plugin_files(files)
        component: Any = registry().component("dataset", name)
        _worker_state = component(component.Config.model_validate(config)), output
    except Exception as error:
        _worker_state = DataError(f"dataset {name!r} cannot be created in a worker process: {describe_error(error)}")


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Context manager: delays Ctrl-C until its end. Processes that are started inside never receive it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _exit_with_parent() -> None:
    """Ends a worker whose parent was killed, which would otherwise wait for tasks forever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work(start: int, records: list[Record]) -> ChunkResult:
    if isinstance(_worker_state, DataError):
        raise _worker_state
    try:
        return _write_chunk(*_worker_state, start, records)
    except MdtranslateError as error:
        raise DataError(str(error)) from None  # A plugin's own error class may not be picklable.
