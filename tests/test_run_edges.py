"""Edge cases of runs: early refusals, leftovers, and readers that stop listening."""

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
from kills import OVERRIDES, read_state, run_command
from runs import mdtranslate
from safetensors.torch import load_file

from mdtranslate.config.recipe_loader import resolve
from mdtranslate.errors import Stopped, StorageError
from mdtranslate.training import run as training
from mdtranslate.training.distributed import World
from mdtranslate.training.recorder import Recorder

NO_VAL = """
import numpy, mdtranslate

class Plain(mdtranslate.Dataset):
    name = "plain"
    attributes = (mdtranslate.Attribute("red"),)

    def records(self, split):
        if split != "val":
            yield from (mdtranslate.Record(f"{split}/{n}", None, {"red": n % 2 == 0}) for n in range(8))

    def load(self, record):
        image = numpy.zeros((32, 32, 3), numpy.uint8)
        image[..., 0] = 200 * record.attributes["red"]
        return image

@mdtranslate.hookimpl
def register_datasets():
    return [Plain]
"""


def test_an_existing_out_is_refused_before_caching(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = mdtranslate("run", "stargan", "--out", "whole", *OVERRIDES, cwd=home)
    assert done.returncode == 2
    assert "whole" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_leftovers_of_a_kill_are_removed_on_resume(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    (run / ".status.json.4711.part").write_text("{")
    shutil.copytree(run / "translator", run / ".translator.4711.part")
    shutil.copytree(run / "checkpoints" / "000020", run / "checkpoints" / ".000025.4711.part")
    (run / "samples" / ".000020.png.4711.part").write_bytes(b"\x89PNG")
    done = mdtranslate("run", str(run), "train.steps=22", cwd=home)
    assert done.returncode == 0, done.stderr
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def test_damaged_checkpoints_do_not_count_as_kept_ones(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    (run / "checkpoints" / "000020" / "networks.safetensors").write_bytes(b"")
    changes = ["train.keep_checkpoints=1", "train.save_every=17", "train.steps=18"]
    done = mdtranslate("run", str(run), *changes, cwd=home)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"000018", "000020.damaged"}


def test_each_resume_is_recorded_in_the_environment(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    assert mdtranslate("run", str(run), "train.steps=21", cwd=home).returncode == 0
    started, resumed = json.loads((run / "environment.json").read_text())
    assert started["hardware"]["cores"] == resumed["hardware"]["cores"] == os.cpu_count()
    assert started["hardware"]["processor"]
    assert resumed["command"][-1] == "train.steps=21"


def test_a_signal_during_the_first_sample_grid_saves(home: Path, tmp_path: Path, monkeypatch) -> None:
    write_samples = Recorder.write_samples

    def interrupted(recorder, step):
        os.kill(os.getpid(), signal.SIGINT)
        write_samples(recorder, step)

    monkeypatch.setattr(Recorder, "write_samples", interrupted)
    with pytest.raises(Stopped, match="step 1"):
        training.start(resolve("stargan", ["train.steps=9", *OVERRIDES]), tmp_path / "run", World(torch.device("cpu")))
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "stopped"
    monkeypatch.undo()
    assert mdtranslate("run", str(tmp_path / "run"), cwd=home).returncode == 0


def test_a_run_continues_when_its_output_is_closed(home: Path) -> None:
    process = subprocess.Popen(run_command("unheard"), cwd=home, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(240) == 0
    assert read_state(home / "unheard") == read_state(home / "whole")


def test_a_list_may_be_cut_short(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mdtranslate", "plugins"], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"")


def test_a_folder_does_not_replace_a_recipe_of_the_same_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "stargan").mkdir()
    assert mdtranslate("run", "stargan", "--dry-run", cwd=tmp_path).returncode == 0
    shutil.copytree(home / "whole", tmp_path / "stargan", dirs_exist_ok=True)
    ambiguous = mdtranslate("run", "stargan", "--dry-run", cwd=tmp_path)
    assert ambiguous.returncode == 2
    assert "./stargan" in ambiguous.stderr
    assert mdtranslate("run", "./stargan", "--dry-run", cwd=tmp_path).returncode == 0


def test_a_dataset_without_a_val_split_trains(home: Path) -> None:
    (home / "plain.py").write_text(NO_VAL)
    tree = ["datasets={plain={}}", "train.steps=2", "train.sample_every=2"]
    done = mdtranslate("--plugin", "plain.py", "run", "stargan", *OVERRIDES[4:], *tree, "--out", "plain", cwd=home)
    assert done.returncode == 0, done.stderr
    assert (home / "plain" / "samples" / "000002.png").is_file()


@pytest.mark.parametrize(
    "attributes", [["hair", "Facial_Hair", "Eyeglasses"], ["hair", "skin"]], ids=["order", "others"]
)
def test_weights_that_do_not_depend_on_labels_are_taken_from_a_run_with_other_labels(
    home: Path, tmp_path: Path, attributes: list[str]
) -> None:
    frozen = [f"optimizers.{role}.learning_rate=1e-30" for role in ("generator", "discriminator")]
    changes = [f"train.init={home / 'whole'}", f"datasets.avatars.attributes={json.dumps(attributes)}", *frozen]
    done = mdtranslate(
        "run", "stargan", *OVERRIDES, *changes, "train.steps=2", "--out", str(tmp_path / "run"), cwd=home
    )
    assert done.returncode == 0, done.stderr
    old, new = (load_file(run / "translator/weights.safetensors") for run in (home / "whole", tmp_path / "run"))
    same = {key for key, value in new.items() if key in old and torch.equal(value, old[key])}
    reset = {key for key in new if key.startswith("generator.") and "modulate" in key} | {"discriminator.conv2.weight"}
    assert reset and {key for key in new if key not in same} == reset | {"discriminator.embed.weight"}
    message = " ".join(done.stderr.split())
    assert all(key.partition(".")[2] in message for key in reset)


def test_a_stopped_run_keeps_its_new_length(home: Path, tmp_path: Path) -> None:
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


def test_a_run_without_checkpoints_is_not_trained_again(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    log = (run / "log.jsonl").read_bytes()
    done = mdtranslate("run", str(run), cwd=home)
    assert done.returncode == 65
    assert "train.init=" in done.stderr
    assert (run / "log.jsonl").read_bytes() == log


def test_a_run_without_samples_folder_gets_a_new_one(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    shutil.rmtree(run / "samples")
    assert mdtranslate("run", str(run), "train.steps=21", cwd=home).returncode == 0
    assert (run / "samples" / "000021.png").is_file()


def test_a_setting_that_was_edited_in_the_recipe_is_named(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "whole", tmp_path / "run")
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("batch_size = 4", "batch_size = 5"))
    done = mdtranslate("run", str(run), "train.steps=30", cwd=home)
    assert done.returncode == 65
    assert "data.batch_size" in done.stderr


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_an_unusable_runs_folder_is_named(home: Path, tmp_path: Path, obstacle: str) -> None:
    if obstacle == "file":
        (tmp_path / "runs").write_text("")
    else:
        (tmp_path / "runs").symlink_to(tmp_path / "unmounted")
    done = mdtranslate("run", "stargan", *OVERRIDES, "train.steps=2", "train.critic_steps=1", cwd=tmp_path)
    assert done.returncode == 74
    assert "runs: " in done.stderr


def test_a_failed_start_leaves_no_folder(home: Path, tmp_path: Path, monkeypatch) -> None:
    def full(self, hardware):
        raise StorageError("no room")

    monkeypatch.setattr(training.RunFolder, "add_environment", full)
    with pytest.raises(StorageError):
        training.start(resolve("stargan", OVERRIDES), tmp_path / "run", World(torch.device("cpu")))
    assert not (tmp_path / "run").exists()


def test_initial_weights_are_loaded_before_caching(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = mdtranslate("run", "stargan", *OVERRIDES, "train.init=nowhere", cwd=tmp_path)
    assert done.returncode == 65
    assert "nowhere" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_suggested_commands_include_plugin_files(home: Path) -> None:
    (home / "plain.py").write_text(NO_VAL)
    changes = [*OVERRIDES[4:], "datasets={plain={}}", "train.steps=2"]
    done = mdtranslate("--plugin", "plain.py", "run", "stargan", *changes, "--out", "named", cwd=home)
    assert done.returncode == 0, done.stderr
    assert f"mdtranslate --plugin {home / 'plain.py'} evaluate named" in done.stderr


def test_a_plugin_that_exits_is_named(home: Path) -> None:
    (home / "quitter.py").write_text(NO_VAL.replace('if split != "val":', "raise SystemExit(0)\n        if split:"))
    changes = [*OVERRIDES[4:], "datasets={plain={}}", "data.workers=0"]
    done = mdtranslate("--plugin", "quitter.py", "run", "stargan", *changes, "--out", "quit", cwd=home)
    assert done.returncode == 69
    assert "plugin quitter" in done.stderr
    assert not (home / "quit").exists()
