"""Reading and writing in threads while images are translated: order, read-ahead, and failures."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mdtranslate.cli import file_pipeline
from mdtranslate.cli.file_pipeline import FilePipeline
from mdtranslate.errors import DataError, StorageError

SMALL = np.zeros((4, 4, 3), np.uint8)


def test_results_are_written_in_order_and_few_images_are_read_ahead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []

    def load(path: Path) -> np.ndarray:
        read.append(path.name)
        if path.name == "7":
            raise DataError("7 is damaged")
        return SMALL

    def write_png(pixels: np.ndarray, path: Path, **_: bool) -> None:
        time.sleep(0.02 if path.name == "0" else 0.0)  # The first takes longest.
        path.touch()

    monkeypatch.setattr(file_pipeline, "write_png", write_png)
    written: list[Path] = []
    files = {str(number): Path(str(number)) for number in range(500)}
    with FilePipeline(written.append) as pipeline:
        for number, (name, pixels) in enumerate(pipeline.read(files, load)):
            assert name == str(number) and len(read) <= number + 1 + pipeline.capacity
            if name == "7":
                assert isinstance(pixels, DataError)
            else:
                pipeline.write(tmp_path / name, partial(np.asarray, pixels))
    assert [path.name for path in written] == [name for name in files if name != "7"]
    assert len(list(tmp_path.iterdir())) == 499


def test_a_failed_write_raises(tmp_path: Path) -> None:
    with pytest.raises(StorageError), FilePipeline(lambda _: None) as pipeline:
        pipeline.write(tmp_path / "nowhere" / "a.png", lambda: SMALL)


def test_an_interrupt_waits_for_nothing() -> None:
    written: list[Path] = []
    with pytest.raises(KeyboardInterrupt), FilePipeline(written.append):
        raise KeyboardInterrupt
    assert not written
