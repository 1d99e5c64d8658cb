"""Reading and writing beside the translation: in order, a few ahead, and no failure is lost."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mdtranslate.cli import file_pipeline as module
from mdtranslate.cli.file_pipeline import Stages
from mdtranslate.errors import DataError, StorageError

SMALL = np.zeros((4, 4, 3), np.uint8)


def test_results_are_told_in_order_and_little_is_read_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[str] = []

    def decode(path: Path) -> np.ndarray:
        read.append(path.name)
        if path.name == "7":
            raise DataError("7 is damaged")
        return SMALL

    def encode(pixels: np.ndarray, path: Path, *, result: bool) -> None:
        time.sleep(0.02 if path.name == "0" else 0.0)  # The first is the last to be ready.
        path.touch()

    monkeypatch.setattr(module, "encode_png", encode)
    told: list[Path] = []
    files = {str(number): Path(str(number)) for number in range(500)}
    with Stages(told.append) as stages:
        for number, (name, pixels) in enumerate(stages.read(files, decode)):
            assert name == str(number) and len(read) <= number + 1 + stages.room
            if name == "7":
                assert isinstance(pixels, DataError)
            else:
                stages.write(tmp_path / name, partial(np.asarray, pixels))
    assert [each.name for each in told] == [name for name in files if name != "7"]
    assert len(list(tmp_path.iterdir())) == 499


def test_what_cannot_be_written_ends_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError), Stages(lambda _: None) as stages:
        stages.write(tmp_path / "nowhere" / "a.png", lambda: SMALL)


def test_an_interrupt_leaves_nothing_waiting(tmp_path: Path) -> None:
    told: list[Path] = []
    with pytest.raises(KeyboardInterrupt), Stages(told.append):
        raise KeyboardInterrupt
    assert not told
