"""Going on with a run that another version wrote, or of which something was lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from kills import state
from runs import mdtranslate

from mdtranslate import checkpoint


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Path:
    """A copy of a run that is done: 20 steps, with checkpoints of steps 15 and 20."""
    return shutil.copytree(home / "whole", tmp_path / "run")


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_setting_that_was_added_since_has_its_default(home: Path, run: Path) -> None:
    """The run was saved by a version that had neither `data.across` nor a setting of the plugin's generator."""
    for folder in (run / "checkpoints").iterdir():
        facts = checkpoint.load_facts(folder, "checkpoint")
        del facts["recipe"]["data.across"], facts["recipe"]["generator.depth"], facts["format"]
        checkpoint.save_facts(folder, "checkpoint", facts)
    recipe = run / "recipe.toml"
    lines = recipe.read_text().splitlines(keepends=True)
    recipe.write_text("".join(each for each in lines if not each.startswith(("across", "depth"))))
    refused = mdtranslate("run", str(run), "train.steps=22", "data.across=0.5", cwd=home)
    assert refused.returncode == 2 and "data.across" in refused.stderr
    refused = mdtranslate("run", str(run), "train.steps=22", "generator.depth=3", cwd=home)
    assert refused.returncode == 2 and "generator.depth" in refused.stderr
    done = mdtranslate("run", str(run), "train.steps=22", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "22" in checkpoints(run)[-1]


@pytest.mark.parametrize("left", [None, 0, 0.5])
def test_a_log_that_lost_lines_costs_those_alone(home: Path, run: Path, left: float | None) -> None:
    log = run / "log.jsonl"
    content = log.read_bytes()
    log.unlink() if left is None else log.write_bytes(content[: int(left * len(content))])
    done = mdtranslate("run", str(run), "train.steps=25", cwd=home)
    assert done.returncode == 0, done.stderr
    assert str(log) in done.stderr
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["step"] == 25
    again = mdtranslate("run", str(run), "train.steps=30", cwd=home)
    assert again.returncode == 0 and "warning" not in again.stderr


def test_a_checkpoint_of_a_later_version_is_refused_and_stays(home: Path, run: Path, monkeypatch) -> None:
    newest = run / "checkpoints" / "000020"
    facts = checkpoint.load_facts(newest, "checkpoint")
    del facts["format"]
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    checkpoint.save_facts(newest, "checkpoint", facts)
    before = state(run)
    refused = mdtranslate("run", str(run), "train.steps=25", cwd=home)
    assert refused.returncode == 65
    assert str(newest) in refused.stderr
    assert state(run) == before and checkpoints(run) == ["000015", "000020"]


def test_damaged_checkpoints_are_set_aside(home: Path, run: Path) -> None:
    for number in (1, 2):
        damaged = run / "checkpoints" / "000020" / "networks.safetensors"
        damaged.write_bytes(b"damaged %d" % number)
        done = mdtranslate("run", str(run), cwd=home)
        assert done.returncode == 0, done.stderr
    assert checkpoints(run) == ["000015", "000020", "000020.damaged", "000020.damaged-2"]
    for folder, content in (("000020.damaged", b"damaged 1"), ("000020.damaged-2", b"damaged 2")):
        assert (run / "checkpoints" / folder / "networks.safetensors").read_bytes() == content
    assert state(run) == state(home / "whole")
