"""The documented exit codes are complete, and commands exit with each of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from test_cli import run as typed

from mdtranslate import errors
from mdtranslate.config.registry import set_plugin_files
from mdtranslate.errors import MdtranslateError, Stopped

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[1]


def documented() -> dict[int, str]:
    """Returns the exit codes in docs/commands.md with their meanings."""
    text = (ROOT / "docs" / "commands.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \| (.+?) \|", text.partition("## Exit codes")[2], re.M)
    return {int(code): meaning for codes, meaning in rows for code in codes.split(",")}


def test_the_documented_exit_codes_are_complete() -> None:
    kinds = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, MdtranslateError)]
    assert len(kinds) > 8
    named = {each.exit_code for each in kinds if each is not Stopped}
    signals = {128 + number for number in (1, 2, 15)}  # SIGHUP, SIGINT and SIGTERM.
    assert set(documented()) == named | {0} | signals
    tree = {
        name: {*map(int, codes.split(","))}
        for name, codes in re.findall(r"^ +(\w+) +(\d+(?:, \d+)*)", errors.__doc__ or "", re.M)
    }
    assert tree == {each.__name__: signals if each is Stopped else {each.exit_code} for each in kinds}


ELSEWHERE = {
    1: "tests/doctor/test_doctor.py",
    70: "tests/test_run.py",
    75: "tests/test_run.py",
    76: "tests/test_parallel.py",
    130: "tests/bench/test_bench.py",
    143: "tests/test_run_edges.py",
}
"""Tests of the codes that need training or a signal."""
HERE: dict[int, list[str]] = {
    0: ["--version"],
    2: ["run", "stargan", "train.steps=0"],
    65: ["translate", "nowhere", "a.png", "--all"],
    69: ["--plugin", "nowhere.py", "plugins"],
    74: ["evaluate", "./" + "x" * 300],
}


@pytest.mark.parametrize("code", HERE)
def test_a_command_exits_with_the_documented_code(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        assert typed(capsys, *HERE[code])[0] == code
    finally:
        set_plugin_files(())


def test_every_documented_code_is_tested() -> None:
    # 128 + SIGHUP is tested together with SIGTERM.
    assert {*HERE, *ELSEWHERE, 129} == set(documented())
    assert "signal.SIGHUP" in (ROOT / "tests" / "test_run.py").read_text()
    for code, file in ELSEWHERE.items():
        assert re.search(rf"returncode == {code}\b", (ROOT / file).read_text()), code
