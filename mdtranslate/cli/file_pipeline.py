"""Reads and writes image files in threads while other images are translated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import write_png
from mdtranslate.utils.process import available_cores

IMAGES_PER_THREAD: Final = 8
"""Images that are read ahead for each thread; memory use does not depend on the number of files."""

Pixels = NDArray[np.uint8]
T = TypeVar("T")


class FilePipeline:
    """Reads the next files and writes earlier results in threads, in the order of the files.

    Decoders, encoders and devices release the GIL, so threads are enough.
    """

    def __init__(self, on_written: Callable[[Path], None]) -> None:
        """Starts the threads.

        Args:
            on_written: Is called with each file after it was written.
        """
        num_threads = max(1, available_cores())
        self.on_written, self.capacity = on_written, IMAGES_PER_THREAD * num_threads
        self.pool = ThreadPoolExecutor(num_threads)
        self.pending = deque[tuple[Path, Future[None]]]()

    def __enter__(self) -> FilePipeline:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._wait(max_pending=0)
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def read(self, files: Mapping[str, Path], load: Callable[[Path], T]) -> Iterator[tuple[str, T | DataError]]:
        """Loads files ahead of their use.

        Args:
            files: Files by name.
            load: Loads a file; runs in a thread.

        Yields:
            Name, and the result of `load` or the `DataError` that it raised.
        """
        loading = deque[tuple[str, Future[T]]]()
        remaining = iter(files.items())
        while True:
            while len(loading) < self.capacity and (item := next(remaining, None)):
                loading.append((item[0], self.pool.submit(load, item[1])))
            if not loading:
                return
            name, future = loading.popleft()
            try:
                yield name, future.result()
            except DataError as error:
                yield name, error

    def write(self, path: Path, draw: Callable[[], Pixels]) -> None:
        """Writes a PNG in a thread.

        Args:
            path: The file.
            draw: Returns the pixels, uint8 `(H, W, 3)`; runs in the thread.

        Raises:
            StorageError: An earlier file could not be written.
        """
        self.pending.append((path, self.pool.submit(lambda: write_png(draw(), path, mark_as_translation=True))))
        self._wait(max_pending=self.capacity)

    def _wait(self, max_pending: int) -> None:
        """Waits until at most `max_pending` files are left to write, and reports the written ones."""
        while self.pending and (len(self.pending) > max_pending or self.pending[0][1].done()):
            path, future = self.pending.popleft()
            future.result()
            self.on_written(path)
