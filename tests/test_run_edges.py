"""Runs at their edges: what is refused early, what is left behind, who stops listening."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from kills import TINY, command, state
from runs import mdtranslate
from safetensors.torch import load_file

from mdtranslate.config.recipes import resolve
from mdtranslate.errors import Stopped, StorageError
from mdtranslate.training import run as training
from mdtranslate.training.distributed import World

NO_VAL = """
import numpy, mdtranslate

class Plain(mdtranslate.Dataset):
    name = "plain"
    attributes = (mdtranslate.Attribute("red"),)

    def records(self, split):
        if split != "val":
            yield from (mdtranslate.Record(f"{split}/{n}", None, {"red": n % 2 == 0}) for n in range(8))

    def load(self, record):
        picture = numpy.zeros((32, 32, 3), numpy.uint8)
        picture[..., 0] = 200 * record.attributes["red"]
        return picture

@mdtranslate.hookimpl
def register_datasets():
    return [Plain]
"""


def test_a_taken_out_is_refused_before_anything_is_packed(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = mdtranslate("run", "stargan", "--out", "whole", *TINY, cwd=home)
    assert done.returncode == 2
    assert "whole" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_what_a_kill_left_half_written_is_swept_when_the_run_goes_on(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    (run / ".status.json.4711.part").write_text("{")
    shutil.copytree(run / "translator", run / ".translator.4711.part")
    shutil.copytree(run / "checkpoints" / "000020", run / "checkpoints" / ".000025.4711.part")
    (run / "samples" / ".000020.png.4711.part").write_bytes(b"\x89PNG")
    done = mdtranslate("run", str(run), "train.steps=22", cwd=home)
    assert done.returncode == 0, done.stderr
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def test_damaged_checkpoints_do_not_push_out_sound_ones(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    (run / "checkpoints" / "000020" / "networks.safetensors").write_bytes(b"")
    changes = ["train.keep=1", "train.save_every=17", "train.steps=18"]
    done = mdtranslate("run", str(run), *changes, cwd=home)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"000018", "000020.damaged"}


def test_each_time_that_a_run_goes_on_is_in_its_environment(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    assert mdtranslate("run", str(run), "train.steps=21", cwd=home).returncode == 0
    began, went_on = json.loads((run / "environment.json").read_text())
    assert began["hardware"]["cores"] == went_on["hardware"]["cores"] == os.cpu_count()
    assert began["hardware"]["processor"]
    assert went_on["command"][-1] == "train.steps=21"


def test_a_signal_during_the_first_grid_saves_too(home: Path, tmp_path: Path, monkeypatch) -> None:
    draw = training.Job._draw

    def interrupted(job, run, step, board):
        os.kill(os.getpid(), signal.SIGINT)
        draw(job, run, step, board)

    monkeypatch.setattr(training.Job, "_draw", interrupted)
    with pytest.raises(Stopped, match="saved at step 1"):
        training.start(resolve("stargan", ["train.steps=9", *TINY]), tmp_path / "run", World(torch.device("cpu")))
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "stopped"
    monkeypatch.undo()
    assert mdtranslate("run", str(tmp_path / "run"), cwd=home).returncode == 0


def test_a_run_goes_on_when_nobody_reads_its_progress_any_more(home: Path) -> None:
    process = subprocess.Popen(command("unheard"), cwd=home, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(240) == 0
    assert state(home / "unheard") == state(home / "whole")


def test_a_list_may_be_cut_short_by_its_reader(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mdtranslate", "plugins"], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, b"")


def test_a_folder_does_not_stand_in_for_a_recipe_of_its_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "stargan").mkdir()
    assert mdtranslate("run", "stargan", "--dry-run", cwd=tmp_path).returncode == 0
    shutil.copytree(home / "whole", tmp_path / "stargan", dirs_exist_ok=True)
    unclear = mdtranslate("run", "stargan", "--dry-run", cwd=tmp_path)
    assert unclear.returncode == 2
    assert "./stargan" in unclear.stderr
    assert mdtranslate("run", "./stargan", "--dry-run", cwd=tmp_path).returncode == 0


def test_a_dataset_without_a_val_split_trains(home: Path) -> None:
    (home / "plain.py").write_text(NO_VAL)
    tree = ["datasets={plain={}}", "train.steps=2", "train.sample_every=2"]
    done = mdtranslate("--plugin", "plain.py", "run", "stargan", *TINY[4:], *tree, "--out", "plain", cwd=home)
    assert done.returncode == 0, done.stderr
    assert (home / "plain" / "samples" / "000002.png").is_file()


@pytest.mark.parametrize(
    "attributes", [["hair", "Facial_Hair", "Eyeglasses"], ["hair", "skin"]], ids=["order", "others"]
)
def test_of_a_run_with_other_labels_every_weight_starts_that_does_not_depend_on_them(
    home: Path, tmp_path: Path, attributes: list[str]
) -> None:
    still = [f"optimizers.{role}.learning_rate=1e-30" for role in ("generator", "discriminator")]
    changes = [f"train.init={home / 'whole'}", f"datasets.avatars.attributes={json.dumps(attributes)}", *still]
    done = mdtranslate("run", "stargan", *TINY, *changes, "train.steps=2", "--out", str(tmp_path / "run"), cwd=home)
    assert done.returncode == 0, done.stderr
    kept, began = (load_file(run / "translator/weights.safetensors") for run in (home / "whole", tmp_path / "run"))
    same = {key for key, value in began.items() if key in kept and torch.equal(value, kept[key])}
    anew = {key for key in began if key.startswith("generator.") and "modulate" in key} | {"discriminator.conv2.weight"}
    assert anew and {key for key in began if key not in same} == anew | {"discriminator.embed.weight"}
    said = " ".join(done.stderr.split())
    assert all(key.partition(".")[2] in said for key in anew)


def test_a_longer_run_that_is_stopped_goes_on_as_the_longer_run(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "mdtranslate", "run", str(run), "train.steps=100_000"], cwd=home, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "000025").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert "steps = 100000" in (run / "recipe.toml").read_text()


def test_a_run_without_checkpoints_is_not_trained_over(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    log = (run / "log.jsonl").read_bytes()
    done = mdtranslate("run", str(run), cwd=home)
    assert done.returncode == 65
    assert "train.init=" in done.stderr
    assert (run / "log.jsonl").read_bytes() == log


def test_a_run_without_samples_gets_them_anew(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    shutil.rmtree(run / "samples")
    assert mdtranslate("run", str(run), "train.steps=21", cwd=home).returncode == 0
    assert (run / "samples" / "000021.png").is_file()


def test_a_recipe_that_was_changed_by_hand_is_named(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("batch_size = 4", "batch_size = 5"))
    done = mdtranslate("run", str(run), "train.steps=30", cwd=home)
    assert done.returncode == 65
    assert "data.batch_size was 4" in done.stderr


@pytest.mark.parametrize("trouble", ["file", "link"])
def test_where_runs_cannot_be_made_it_says_so(home: Path, tmp_path: Path, trouble: str) -> None:
    if trouble == "file":
        (tmp_path / "runs").write_text("")
    else:
        (tmp_path / "runs").symlink_to(tmp_path / "unmounted")
    done = mdtranslate("run", "stargan", *TINY, "train.steps=2", "train.critic_steps=1", cwd=tmp_path)
    assert done.returncode == 74
    assert "runs: cannot be written" in done.stderr


def test_what_ends_a_run_before_it_begins_leaves_no_folder(home: Path, tmp_path: Path, monkeypatch) -> None:
    def full(self, hardware):
        raise StorageError("no room")

    monkeypatch.setattr(training.RunFolder, "add_environment", full)
    with pytest.raises(StorageError):
        training.start(resolve("stargan", TINY), tmp_path / "run", World(torch.device("cpu")))
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_are_looked_for_before_packing(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = mdtranslate("run", "stargan", *TINY, "train.init=nowhere", cwd=tmp_path)
    assert done.returncode == 65
    assert "nowhere" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_the_next_command_names_the_plugin_file(home: Path) -> None:
    (home / "plain.py").write_text(NO_VAL)
    changes = [*TINY[4:], "datasets={plain={}}", "train.steps=2"]
    done = mdtranslate("--plugin", "plain.py", "run", "stargan", *changes, "--out", "named", cwd=home)
    assert done.returncode == 0, done.stderr
    assert f"next: mdtranslate --plugin {home / 'plain.py'} evaluate named" in done.stderr


def test_a_plugin_that_ends_the_program_is_blamed(home: Path) -> None:
    (home / "quitter.py").write_text(NO_VAL.replace('if split != "val":', "raise SystemExit(0)\n        if split:"))
    changes = [*TINY[4:], "datasets={plain={}}", "data.workers=0"]
    done = mdtranslate("--plugin", "quitter.py", "run", "stargan", *changes, "--out", "quit", cwd=home)
    assert done.returncode == 69
    assert "plugin quitter" in done.stderr
    assert not (home / "quit").exists()
