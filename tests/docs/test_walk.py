"""docs/plugins.md, walked from first to last: files are written, commands typed, and what they say is what it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blocks import ROOT, blocks, commands
from PIL import Image
from typing_in import small

LEFT_TO_OTHERS = {"pip", "pytest"}
"""Of the generated package: `tests/test_new.py` installs one of each kind and runs its tests."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pictures that the page speaks of."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for kind in ("cat", "dog"):
            folder = tmp_path / "data" / "pets" / split / kind
            folder.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(draw.integers(0, 256, (48, 40, 3), np.uint8)).save(folder / f"{number}.jpg")
    return tmp_path


def test_each_step_can_be_gone_and_says_what_the_page_says(place: Path) -> None:
    said, ran = "", 0
    here = place
    for block in blocks(ROOT / "docs" / "plugins.md"):
        if block.kind == "python":
            name = block.text.splitlines()[0].removeprefix("# ")
            (here / name).write_text(block.text + "\n")
        elif block.kind == "text":
            rest = iter(said.splitlines())
            for line in filter(str.strip, block.text.splitlines()):  # In this order, each after the last.
                assert any(line.strip() == each.strip() for each in rest), f"{block}: nobody said {line!r} in\n{said}"
        elif block.kind == "commands":
            for words in commands(block.text):
                if words[0] == "cd":
                    here /= words[1]
                elif here == place or words[0] not in LEFT_TO_OTHERS:
                    said = step(here, words)
                    ran += 1
    assert ran >= 10 and here.name == "mdtranslate-birds" and (here / "pyproject.toml").is_file()


def step(here: Path, words: list[str]) -> str:
    """What a command says."""
    if words[0] == "pytest":
        words = [sys.executable, "-m", *words, "-p", "no:cacheprovider"]
    else:
        words = [*words[1:], *(small(words[1:]) if {"run", "doctor"} & {*words} else ())]
        words = [sys.executable, "-m", "mdtranslate", *words]
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, timeout=300)
    # The first look at the smallest plugin finds two faults, and pictures of noise have labels that nobody can predict.
    right = {0, 1} if {"doctor", "check"} & {*words} else {0}
    assert done.returncode in right, f"{words}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "failed in a way" not in done.stderr, done.stderr
    return done.stdout
