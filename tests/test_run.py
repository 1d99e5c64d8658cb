"""Runs: started, repeated, stopped, killed, resumed and refused."""

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
from kills import OVERRIDES, kill_and_resume, read_state, run_command
from runs import mdtranslate
from safetensors.torch import load_file


def test_files_of_a_run(home: Path) -> None:
    run = home / "whole"
    names = {path.name for path in run.iterdir()} - {".lock"}
    files = {"recipe.toml", "environment.json", "log.jsonl", "timing.jsonl", "status.json"}
    assert names == files | {"samples", "checkpoints", "translator"}
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    first, *lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert first == {"step": 0, "validation/classifier": "small"}
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15, 18, 20]
    assert {"discriminator/wgan-gp.penalty", "generator/cycle-reconstruction"} <= set(lines[0])
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["000000.png", "000020.png"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["000015", "000020"]


def test_a_repeated_run_is_bit_identical(home: Path) -> None:
    done = subprocess.run(run_command("again", workers=2), cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_state(home / "again") == read_state(home / "whole")


def test_a_run_that_is_killed_and_resumed_is_bit_identical(home: Path) -> None:
    draw = random.Random(0)
    for number in range(3):
        assert kill_and_resume(home, f"killed-{number}", draw) == read_state(home / "whole")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_a_checkpoint_and_names_the_command_to_resume(home: Path, sent: signal.Signals) -> None:
    run = home / f"signalled-{sent.name}"
    # The tests may run under nohup, which ignores SIGHUP; the run must not.
    process = subprocess.Popen(
        run_command(run.name, steps=100_000),
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
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + sent
    assert f"mdtranslate run {run.name}" in err.splitlines()[-1]
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped"
    assert (run / "checkpoints" / f"{status['step']:06d}" / "checkpoint.json").exists()


@pytest.mark.parametrize("name", ["networks.safetensors", "optimizers.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_named_and_an_older_one_is_used(home: Path, tmp_path: Path, name: str) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    file = run / "checkpoints" / "000020" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done = mdtranslate("run", str(run), cwd=home)
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stderr
    assert read_state(run) == read_state(home / "whole")


def test_a_run_can_be_resumed_with_more_steps_but_not_with_other_networks(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    refused = mdtranslate("run", str(run), "generator.channels=8", cwd=home)
    assert refused.returncode == 2
    assert "generator.channels" in refused.stderr
    assert read_state(run) == read_state(home / "whole")
    longer = mdtranslate("run", str(run), "train.steps=25", cwd=home)
    assert longer.returncode == 0, longer.stderr
    assert (run / "checkpoints" / "000025").is_dir()


def test_a_run_cannot_be_shortened(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    refused = mdtranslate("run", str(run), "train.steps=15", cwd=home)
    assert refused.returncode == 2
    assert "train.steps=15" in refused.stderr and "step 20" in refused.stderr
    assert "steps = 20" in (run / "recipe.toml").read_text()


def test_changed_data_is_refused(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("train = 24", "train = 23"))
    done = mdtranslate("run", str(run), "train.steps=30", cwd=home)
    assert done.returncode == 65
    assert "avatars" in done.stderr


def test_a_run_never_overwrites_anything(home: Path) -> None:
    before = read_state(home / "whole")
    done = mdtranslate("run", "stargan", "--out", "whole", *OVERRIDES, cwd=home)
    assert done.returncode == 2
    assert read_state(home / "whole") == before


def test_a_non_finite_loss_stops_the_run_and_is_never_saved(home: Path) -> None:
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
    settings = ["train.steps=20", "train.on_nonfinite=stop", "data.workers=0", "losses.explode.weight=1", *OVERRIDES]
    done = mdtranslate("--plugin", str(plugin), "run", "stargan", *settings, "--out", "nan", cwd=home)
    assert done.returncode == 70
    assert "generator/explode" in done.stderr
    weights = load_file(home / "nan" / "checkpoints" / "000005" / "networks.safetensors")
    assert all(value.isfinite().all() for value in weights.values())
    assert [path.name for path in (home / "nan" / "checkpoints").iterdir()] == ["000005"]
    assert json.loads((home / "nan" / "status.json").read_text())["state"] == "failed"
    # The setting that the message suggests is accepted on resume; the calls are counted from 0 again.
    resumed = mdtranslate("--plugin", str(plugin), "run", "nan", "train.on_nonfinite=skip", "train.steps=12", cwd=home)
    assert resumed.returncode == 0, resumed.stderr
    assert "generator/explode" in resumed.stderr
    assert '"generator/skipped": ' in (home / "nan" / "log.jsonl").read_text()


def test_what_is_missing_after_a_kill_at_the_end_is_written(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    shutil.rmtree(run / "translator")
    (run / "samples" / "000020.png").unlink()
    (run / "status.json").write_text('{"state": "running"}')
    done = mdtranslate("run", str(run), cwd=home)
    assert done.returncode == 0, done.stderr
    assert (run / "samples" / "000020.png").read_bytes() == (home / "whole" / "samples" / "000020.png").read_bytes()
    assert (run / "translator" / "translator.json").is_file()
    assert json.loads((run / "status.json").read_text())["state"] == "done"
