"""Resuming runs that another version wrote, that were moved, or that lost files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from kills import read_state
from PIL import Image
from runs import mdtranslate

from mdtranslate import Loss
from mdtranslate.errors import CheckpointError
from mdtranslate.training.checkpointing import _load_loss
from mdtranslate.utils import json_metadata

SMALL = ["data.image_size=32", "data.batch_size=4", "generator.channels=4", "discriminator.channels=4"]


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Path:
    """A copy of a finished run of 20 steps with checkpoints at steps 15 and 20."""
    return shutil.copytree(home / "whole", tmp_path / "run")


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_settings_that_a_checkpoint_lacks_have_their_defaults(home: Path, run: Path) -> None:
    """The version that saved the run had neither `data.cross_dataset` nor `depth` of the plugin's generator."""
    for folder in (run / "checkpoints").iterdir():
        metadata = json_metadata.load_metadata(folder, "checkpoint")
        del metadata["recipe"]["data.cross_dataset"], metadata["recipe"]["generator.depth"], metadata["format"]
        json_metadata.save_metadata(folder, "checkpoint", metadata)
    recipe = run / "recipe.toml"
    lines = recipe.read_text().splitlines(keepends=True)
    recipe.write_text("".join(line for line in lines if not line.startswith(("cross_dataset", "depth"))))
    refused = mdtranslate("run", str(run), "train.steps=22", "data.cross_dataset=0.5", cwd=home)
    assert refused.returncode == 2 and "data: cross_dataset=0.5" in refused.stderr
    refused = mdtranslate("run", str(run), "train.steps=22", "generator.depth=3", cwd=home)
    assert refused.returncode == 2 and "generator.depth" in refused.stderr
    done = mdtranslate("run", str(run), "train.steps=22", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "22" in checkpoints(run)[-1]


def test_state_of_a_loss_from_another_version() -> None:
    """Unknown buffers are reported and skipped, new ones keep their initial values, others are loaded."""

    class LossWithState(Loss):
        def __init__(self) -> None:
            super().__init__(Loss.Config(), label_encoder=None, image_size=16)  # type: ignore[arg-type]
            self.register_buffer("kept", torch.zeros(2))
            self.register_buffer("added", torch.zeros(2))

    loss, messages = LossWithState(), list[str]()
    _load_loss(loss, {"kept": torch.ones(2), "renamed": torch.ones(3)}, "losses.own", messages.append)
    assert loss.kept.tolist() == [1, 1] and loss.added.tolist() == [0, 0]
    assert len(messages) == 2 and "added" in messages[0] and "renamed" in messages[1]
    with pytest.raises(CheckpointError, match=r"losses\.own: .*kept"):
        _load_loss(loss, {"kept": torch.ones(3), "added": torch.ones(2)}, "losses.own", messages.append)


@pytest.mark.parametrize("share", [None, 0, 0.5])
def test_a_truncated_log_does_not_prevent_resuming(home: Path, run: Path, share: float | None) -> None:
    log = run / "log.jsonl"
    content = log.read_bytes()
    log.unlink() if share is None else log.write_bytes(content[: int(share * len(content))])
    done = mdtranslate("run", str(run), "train.steps=25", cwd=home)
    assert done.returncode == 0, done.stderr
    assert str(log) in done.stderr
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["step"] == 25
    again = mdtranslate("run", str(run), "train.steps=30", cwd=home)
    assert again.returncode == 0 and "warning" not in again.stderr


def test_a_checkpoint_of_a_later_version_is_refused_and_kept(home: Path, run: Path, monkeypatch) -> None:
    newest = run / "checkpoints" / "000020"
    metadata = json_metadata.load_metadata(newest, "checkpoint")
    del metadata["format"]
    monkeypatch.setattr(json_metadata, "FORMAT", json_metadata.FORMAT + 1)
    json_metadata.save_metadata(newest, "checkpoint", metadata)
    before = read_state(run)
    refused = mdtranslate("run", str(run), "train.steps=25", cwd=home)
    assert refused.returncode == 65
    assert str(newest) in refused.stderr
    assert read_state(run) == before and checkpoints(run) == ["000015", "000020"]


def test_damaged_checkpoints_are_set_aside(home: Path, run: Path) -> None:
    for number in (1, 2):
        damaged = run / "checkpoints" / "000020" / "networks.safetensors"
        damaged.write_bytes(b"damaged %d" % number)
        done = mdtranslate("run", str(run), cwd=home)
        assert done.returncode == 0, done.stderr
    assert checkpoints(run) == ["000015", "000020", "000020.damaged", "000020.damaged-2"]
    for folder, content in (("000020.damaged", b"damaged 1"), ("000020.damaged-2", b"damaged 2")):
        assert (run / "checkpoints" / folder / "networks.safetensors").read_bytes() == content
    assert read_state(run) == read_state(home / "whole")


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """The folder of a run that was trained on `images/`, which is `elsewhere/` now."""
    for number in range(12):
        image = Image.new("RGB", (32, 32), (20 * number, 90, 200))
        (file := tmp_path / "images" / "ab"[number % 2] / f"{number}.png").parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    settings = ['datasets={d={name="folder", root="images"}}', "train.steps=5", "train.validate_every=0", *SMALL]
    done = mdtranslate("run", "stargan", *settings, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    return tmp_path / "run"


def test_a_dataset_that_moved(moved: Path) -> None:
    missing = mdtranslate("run", "run", "train.steps=7", cwd=moved.parent)
    assert missing.returncode == 65 and "datasets.d.root=PATH" in missing.stderr
    resumed = mdtranslate("run", "run", "train.steps=7", "datasets.d.root=elsewhere", cwd=moved.parent)
    assert resumed.returncode == 0, resumed.stderr
    assert 'root = "elsewhere"' in (moved / "recipe.toml").read_text()
    Image.new("RGB", (32, 32)).save(moved.parent / "elsewhere" / "a" / "0.png")
    changed = mdtranslate("run", "run", "train.steps=9", cwd=moved.parent)
    assert changed.returncode == 65 and "dataset d" in changed.stderr


def test_a_run_folder_that_moved(home: Path, run: Path) -> None:
    moved = run.rename(run.parent / "moved")
    done = mdtranslate("run", str(moved), "train.steps=22", cwd=run.parent)
    assert done.returncode == 0, done.stderr


def test_learning_settings_may_change_and_are_recorded(home: Path, run: Path) -> None:
    changes = ["optimizers.generator.learning_rate=1e-9", "losses.cycle-reconstruction.weight=3", "train.steps=22"]
    done = mdtranslate("run", str(run), *changes, cwd=home)
    assert done.returncode == 0, done.stderr
    entry = json.loads((run / "environment.json").read_text())[-1]
    assert entry["step"] == 20
    assert entry["changed"]["optimizers.generator.learning_rate"][1] == "1e-09"
    assert {*entry["changed"]} >= {"losses.cycle-reconstruction.weight", "losses.cycle-reconstruction.weight.start"}
    plain = shutil.copytree(home / "whole", run.parent / "plain")
    assert mdtranslate("run", str(plain), "train.steps=22", cwd=home).returncode == 0
    assert "changed" not in json.loads((plain / "environment.json").read_text())[-1]
    assert read_state(plain) != read_state(run), "the new learning rate is in effect"
    for refused in ("train.seed=3", "data.batch_size=3", "losses.domain-classification.name=gan"):
        assert mdtranslate("run", str(run), refused, "train.steps=23", cwd=home).returncode == 2


def test_a_run_with_skipped_updates_fails_and_keeps_its_checkpoints(home: Path, run: Path) -> None:
    before = checkpoints(run)
    rates = [f"optimizers.{role}.learning_rate=1e30" for role in ("generator", "discriminator")]
    done = mdtranslate("run", str(run), "train.steps=40", *rates, cwd=home)
    assert done.returncode == 70, done.stderr
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "failed" and before[-1] in checkpoints(run)
    again = mdtranslate("run", str(run), "train.steps=40", *(rate.replace("1e30", "1e-4") for rate in rates), cwd=home)
    assert again.returncode == 0 and json.loads((run / "status.json").read_text())["state"] == "done", again.stderr
