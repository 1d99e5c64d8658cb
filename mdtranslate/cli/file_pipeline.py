"""Reading, translating and writing of many pictures, laid over each other."""

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
from mdtranslate.utils.image_io import encode_png
from mdtranslate.utils.process import available_cores

AHEAD: Final = 8
"""Pictures that are read before their turn, for each thread: few, so that memory does not depend on how many come."""

Pixels = NDArray[np.uint8]
T = TypeVar("T")


class Stages:
    """While some pictures are translated, the next ones are read and those before them written, by threads.

    Decoders, encoders and devices let other threads run. Results are written and told of in the order in which they
    come.
    """

    def __init__(self, written: Callable[[Path], None]) -> None:
        """`written` is told of each file once it is there."""
        self.told, self.room = written, AHEAD * max(1, available_cores())
        self.pool = ThreadPoolExecutor(max(1, available_cores()))
        self.writing = deque[tuple[Path, Future[None]]]()

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self._tell(0)
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def read(self, files: Mapping[str, Path], look: Callable[[Path], T]) -> Iterator[tuple[str, T | DataError]]:
        """What `look` makes of each file, by its name; the error, for one that cannot be read."""
        coming = deque[tuple[str, Future[T]]]()
        rest = iter(files.items())
        while True:
            while len(coming) < self.room and (item := next(rest, None)):
                coming.append((item[0], self.pool.submit(look, item[1])))
            if not coming:
                return
            name, future = coming.popleft()
            try:
                yield name, future.result()
            except DataError as error:
                yield name, error

    def write(self, path: Path, draw: Callable[[], Pixels]) -> None:
        """Puts what `draw` makes, [H, W, 3], in the queue to be written.

        Raises `StorageError` where an earlier one could not be.
        """
        self.writing.append((path, self.pool.submit(lambda: encode_png(draw(), path, result=True))))
        self._tell(self.room)

    def _tell(self, most: int) -> None:
        """Waits until at most `most` are left to write, and tells of what is done."""
        while self.writing and (len(self.writing) > most or self.writing[0][1].done()):
            path, future = self.writing.popleft()
            future.result()
            self.told(path)
