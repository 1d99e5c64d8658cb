"""Runs as a person has them: made, stopped, killed, gone on with, refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kills import TINY, command, kill_and_go_on, state
from runs import mdtranslate
from safetensors.torch import load_file


def test_a_run_leaves_what_it_promises(home: Path) -> None:
    run = home / "whole"
    names = {path.name for path in run.iterdir()} - {".lock"}
    files = {"recipe.toml", "environment.json", "log.jsonl", "timing.jsonl", "status.json"}
    assert names == files | {"samples", "checkpoints", "translator"}
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    begun, *lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert begun == {"step": 0, "check/judged_by": "classifier"}
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15, 18, 20]
    assert {"discriminator/wgan-gp.penalty", "generator/cycle-reconstruction"} <= set(lines[0])
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["000000.png", "000020.png"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["000015", "000020"]


def test_a_repeated_run_has_the_same_bits(home: Path) -> None:
    done = subprocess.run(command("again", workers=2), cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert state(home / "again") == state(home / "whole")


def test_killed_at_any_moment_and_gone_on_with_it_ends_in_the_same_bits(home: Path) -> None:
    draw = random.Random(0)
    for number in range(3):
        assert kill_and_go_on(home, f"killed-{number}", draw) == state(home / "whole")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_first_and_says_how_to_go_on(home: Path, sent: signal.Signals) -> None:
    run = home / f"signalled-{sent.name}"
    # Whoever runs the tests may have been begun to outlive a terminal: the run here is not.
    process = subprocess.Popen(
        command(run.name, steps=100_000),
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "000005").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    second = mdtranslate("run", run.name, cwd=home)
    assert second.returncode == 75
    assert len(second.stderr.strip().splitlines()) == 1
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + sent
    assert f"mdtranslate run {run.name}" in said.splitlines()[-1]
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped"
    assert (run / "checkpoints" / f"{status['step']:06d}" / "checkpoint.json").exists()


@pytest.mark.parametrize("name", ["networks.safetensors", "optimizers.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(home: Path, tmp_path: Path, name: str) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    file = run / "checkpoints" / "000020" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done = mdtranslate("run", str(run), cwd=home)
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stderr
    assert state(run) == state(home / "whole")


def test_going_on_longer_takes_steps_and_refuses_the_rest_by_name(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    refused = mdtranslate("run", str(run), "generator.channels=8", cwd=home)
    assert refused.returncode == 2
    assert "generator.channels" in refused.stderr
    assert state(run) == state(home / "whole")
    longer = mdtranslate("run", str(run), "train.steps=25", cwd=home)
    assert longer.returncode == 0, longer.stderr
    assert (run / "checkpoints" / "000025").is_dir()


def test_a_run_does_not_get_shorter_than_it_is(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    refused = mdtranslate("run", str(run), "train.steps=15", cwd=home)
    assert refused.returncode == 2
    assert "is at step 20 already" in refused.stderr
    assert "steps = 20" in (run / "recipe.toml").read_text()


def test_changed_data_is_refused(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("train = 24", "train = 23"))
    done = mdtranslate("run", str(run), "train.steps=30", cwd=home)
    assert done.returncode == 65
    assert "avatars" in done.stderr


def test_a_run_never_writes_over_anything(home: Path) -> None:
    before = state(home / "whole")
    done = mdtranslate("run", "stargan", "--out", "whole", *TINY, cwd=home)
    assert done.returncode == 2
    assert state(home / "whole") == before


def test_a_value_that_is_not_finite_stops_the_run_by_name_and_is_never_saved(home: Path) -> None:
    plugin = home / "explode.py"
    plugin.write_text(
        "import mdtranslate\n"
        "class Explode(mdtranslate.Loss):\n"
        "    name = 'explode'\n"
        "    def generator(self, t):\n"
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        return t.fake.mean((1, 2, 3)) * (float('nan') if self.calls > 3 else 0.0)\n"
        "@mdtranslate.hookimpl\n"
        "def register_losses():\n"
        "    return [Explode]\n"
    )
    settings = ["train.steps=20", "train.on_nonfinite=stop", "data.workers=0", "losses.explode.weight=1", *TINY]
    done = mdtranslate("--plugin", str(plugin), "run", "stargan", *settings, "--out", "nan", cwd=home)
    assert done.returncode == 70
    assert "generator/explode" in done.stderr
    weights = load_file(home / "nan" / "checkpoints" / "000005" / "networks.safetensors")
    assert all(value.isfinite().all() for value in weights.values())
    assert [path.name for path in (home / "nan" / "checkpoints").iterdir()] == ["000005"]
    assert json.loads((home / "nan" / "status.json").read_text())["state"] == "failed"
    # What the message advises is taken when the run goes on, which counts the calls anew.
    on = mdtranslate("--plugin", str(plugin), "run", "nan", "train.on_nonfinite=skip", "train.steps=12", cwd=home)
    assert on.returncode == 0, on.stderr
    assert "generator/explode" in on.stderr
    assert '"generator/skipped": ' in (home / "nan" / "log.jsonl").read_text()


def test_what_a_kill_after_the_last_checkpoint_left_out_is_made(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    shutil.rmtree(run / "translator")
    (run / "samples" / "000020.png").unlink()
    (run / "status.json").write_text('{"state": "running"}')
    done = mdtranslate("run", str(run), cwd=home)
    assert done.returncode == 0, done.stderr
    assert (run / "samples" / "000020.png").read_bytes() == (home / "whole" / "samples" / "000020.png").read_bytes()
    assert (run / "translator" / "translator.json").is_file()
    assert json.loads((run / "status.json").read_text())["state"] == "done"
