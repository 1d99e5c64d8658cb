"""Follows docs/plugins.md from start to end: writes its files, runs its commands and compares their output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blocks import ROOT, blocks, commands
from command_runner import tiny_settings
from PIL import Image

TESTED_ELSEWHERE = {"pip", "pytest"}
"""Commands in the generated package: `tests/test_new.py` installs one of each kind and runs its tests."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the images of the page."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for species in ("cat", "dog"):
            folder = tmp_path / "data" / "pets" / split / species
            folder.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(rng.integers(0, 256, (48, 40, 3), np.uint8)).save(folder / f"{number}.jpg")
    return tmp_path


def test_steps_work_and_print_what_the_page_shows(project: Path) -> None:
    output, num_commands = "", 0
    folder = project
    for block in blocks(ROOT / "docs" / "plugins.md"):
        if block.kind == "python":
            name = block.text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(block.text + "\n")
        elif block.kind == "text":
            printed = iter(output.splitlines())
            for line in filter(str.strip, block.text.splitlines()):  # In this order, each after the one before.
                assert any(line.strip() == other.strip() for other in printed), f"{block}: no {line!r} in\n{output}"
        elif block.kind == "commands":
            for arguments in commands(block.text):
                if arguments[0] == "cd":
                    folder /= arguments[1]
                elif folder == project or arguments[0] not in TESTED_ELSEWHERE:
                    output = run_step(folder, arguments)
                    num_commands += 1
    assert num_commands >= 10 and folder.name == "mdtranslate-birds" and (folder / "pyproject.toml").is_file()


def run_step(folder: Path, arguments: list[str]) -> str:
    """Runs a command and returns its standard output."""
    if arguments[0] == "pytest":
        command = [sys.executable, "-m", *arguments, "-p", "no:cacheprovider"]
    else:
        command = [sys.executable, "-m", "mdtranslate", *arguments[1:]]
        command += tiny_settings(arguments[1:]) if {"run", "doctor"} & {*arguments} else []
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    # The first check of the smallest plugin finds two mistakes, and nobody can predict the labels of random images.
    expected = {0, 1} if {"doctor", "check"} & {*arguments} else {0}
    assert process.returncode in expected, f"{command}: {process.stdout[-2000:]}\n{process.stderr[-2000:]}"
    assert "Traceback" not in process.stderr, process.stderr
    return process.stdout
