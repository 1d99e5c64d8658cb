"""Validation during training: its log lines are reproducible and it does not change the training."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

from kills import read_state, run_command
from rich.console import Console
from runs import mdtranslate

from mdtranslate.utils.console import ProgressDisplay


def test_validations_are_logged_and_the_same_after_an_interruption(home: Path) -> None:
    settings = ["train.validate_every=8", "train.keep_checkpoints=4"]
    done = mdtranslate(*run_command("validated")[3:], *settings, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "step 8/20  " in done.stderr
    run = home / "validated"
    validations = [
        line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "validation/change" in line
    ]
    assert [line["step"] for line in validations] == [8, 16]
    assert all(
        line["validation/classifier"] == "small" and 0 < line["validation/real_accuracy"] <= 1 for line in validations
    )
    timing = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    assert sum("validation_seconds" in line for line in timing) == 2

    again = home / "validated-again"
    shutil.copytree(run, again)
    for newest in sorted((again / "checkpoints").iterdir())[2:]:
        shutil.rmtree(newest)
    done = mdtranslate("run", "validated-again", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "10 to 20" in done.stderr
    assert read_state(again) == read_state(run)


def test_validation_does_not_change_the_training(home: Path) -> None:
    done = mdtranslate(*run_command("unvalidated")[3:], "train.validate_every=0", cwd=home)
    assert done.returncode == 0, done.stderr
    done = mdtranslate(*run_command("with-validation")[3:], "train.validate_every=5", cwd=home)
    assert done.returncode == 0, done.stderr
    one, other = read_state(home / "unvalidated"), read_state(home / "with-validation")
    assert b"validation/" not in one.pop("log") and b"validation/" in other.pop("log")
    assert one == other


def test_a_name_with_brackets_is_printed_unchanged() -> None:
    """rich would parse `[/b]` as markup and raise an error."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    progress = ProgressDisplay(quiet=True)
    progress.training(1, 9, {})
    progress.validated(1, 9, "edits right 50% (hair [/b] 0%)")
    progress.training(2, 9, {"generator/mine": 1.0})
    console.print(progress._bar.get_renderable())
    assert "(hair [/b] 0%)" in console.file.getvalue()
