"""What a run sees of held-out pictures while it trains: in its log, the same whenever it is repeated."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

from kills import command, state
from rich.console import Console
from runs import mdtranslate

from mdtranslate.utils.console import Watch


def test_looks_are_in_the_log_and_the_same_after_an_interruption(home: Path) -> None:
    settings = ["train.check_every=8", "train.keep=4"]
    done = mdtranslate(*command("looked")[3:], *settings, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "step 8/20  edits right" in done.stderr and "grey levels apart" in done.stderr
    run = home / "looked"
    looks = [line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "check/change" in line]
    assert [line["step"] for line in looks] == [8, 16]
    assert all(line["check/judged_by"] == "classifier" and 0 < line["check/real_accuracy"] <= 1 for line in looks)
    timing = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    assert sum("check_seconds" in line for line in timing) == 2

    again = home / "looked-again"
    shutil.copytree(run, again)
    for newest in sorted((again / "checkpoints").iterdir())[2:]:
        shutil.rmtree(newest)
    done = mdtranslate("run", "looked-again", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "step 10 to 20" in done.stderr
    assert state(again) == state(run)


def test_looks_change_nothing_of_the_training_and_can_be_done_without(home: Path) -> None:
    done = mdtranslate(*command("unlooked")[3:], "train.check_every=0", cwd=home)
    assert done.returncode == 0, done.stderr
    done = mdtranslate(*command("seen")[3:], "train.check_every=5", cwd=home)
    assert done.returncode == 0, done.stderr
    one, other = state(home / "unlooked"), state(home / "seen")
    assert b"check/" not in one.pop("log") and b"check/" in other.pop("log")
    assert one == other


def test_a_name_with_brackets_is_shown_as_it_is() -> None:
    """On a terminal rich would take `[/b]` for the end of something bold, and end the program for it."""
    shown = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    watch = Watch(quiet=True)
    watch.training(1, 9, {})
    watch.looked(1, 9, "edits right 50% (hair [/b] 0%)")
    watch.training(2, 9, {"generator/mine": 1.0})
    shown.print(watch._bar.get_renderable())
    assert "(hair [/b] 0%)" in shown.file.getvalue()
