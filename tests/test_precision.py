"""Precision and determinism of training steps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from kills import OVERRIDES, read_state
from test_engine import build_batch, build_trainer
from torch import Tensor, nn

from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.errors import RecipeError
from mdtranslate.training import run as training
from mdtranslate.training.distributed import World
from mdtranslate.utils import device, json_metadata
from mdtranslate.utils.device import pick_precision, training_numerics

CPU = torch.device("cpu")
COMMON = [
    "train.precision=auto",
    *(f"optimizers.{network}.decay_from=1" for network in ("generator", "discriminator")),
]
"""The precision is chosen by the processor, and the learning rate does not depend on the number of steps."""


def set_bf16_instructions(monkeypatch: pytest.MonkeyPatch, has_them: bool) -> None:
    monkeypatch.setattr(device, "has_bf16_instructions", lambda: has_them)


def test_auto_prefers_bf16_where_the_processor_has_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_them, expected in ((True, "bf16"), (False, "fp32")):
        set_bf16_instructions(monkeypatch, has_them)
        assert pick_precision("auto", CPU) == pick_precision("auto", CPU, recorded="bf16") == expected
        assert pick_precision("auto", CPU, recorded="fp32") == pick_precision("auto", CPU, recorded="tf32") == "fp32"
        assert pick_precision("bf16", CPU, recorded="fp32") == "bf16", "a setting comes before what was recorded"
        assert build_trainer("train.precision=auto").precision == expected


def train(run: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, has_bf16: bool) -> str:
    """Starts or resumes a run; returns the precision of its newest checkpoint."""
    set_bf16_instructions(monkeypatch, has_bf16)
    if run.exists():
        training.resume(RunFolder(run), RunFolder(run).resolve_for_resume(overrides), World(CPU))
    else:
        training.start(resolve("stargan", [*OVERRIDES, *COMMON, *overrides]), run, World(CPU))
    newest = max((run / "checkpoints").iterdir())
    precision: str = json_metadata.load_metadata(newest, "checkpoint")["precision"]
    entry = json.loads((run / "environment.json").read_text())[-1]
    assert entry["hardware"]["precision"] == precision
    return precision


def changes(run: Path) -> list[list[str] | None]:
    """Returns the changes of the precision that `environment.json` records, for the start and each resume."""
    entries = json.loads((run / "environment.json").read_text())
    return [entry.get("changed", {}).get("train.precision") for entry in entries]


def test_a_resumed_run_keeps_its_precision(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on another processor, and also if a former version trained it, which chose fp32 on every CPU."""
    run = tmp_path / "run"
    assert train(run, monkeypatch, "train.steps=3", has_bf16=False) == "fp32"
    assert train(run, monkeypatch, "train.steps=5", has_bf16=True) == "fp32"
    for folder in (run / "checkpoints").iterdir():
        metadata = json_metadata.load_metadata(folder, "checkpoint")
        del metadata["precision"], metadata["format"]
        json_metadata.save_metadata(folder, "checkpoint", metadata)
    assert train(run, monkeypatch, "train.steps=7", has_bf16=True) == "fp32"
    assert changes(run) == [None, None, None]
    assert train(run, monkeypatch, "train.steps=9", "train.precision=bf16", has_bf16=True) == "bf16"
    assert changes(run)[-1] == ['"fp32"', '"bf16"']


def test_a_run_in_bf16_goes_on_in_float32_on_a_processor_without(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert train(run, monkeypatch, "train.steps=3", has_bf16=True) == "bf16"
    assert train(run, monkeypatch, "train.steps=4", has_bf16=True) == "bf16"
    assert train(whole, monkeypatch, "train.steps=4", has_bf16=True) == "bf16"
    assert read_state(run) == read_state(whole)
    assert "train.precision" not in capfd.readouterr().err
    assert train(run, monkeypatch, "train.steps=5", has_bf16=False) == "fp32"
    lines = [line for line in capfd.readouterr().err.splitlines() if "train.precision=auto" in line]
    assert len(lines) == 1 and "bf16 until step 4" in lines[0]
    assert train(run, monkeypatch, "train.steps=6", has_bf16=True) == "fp32", "the change is for good"
    assert changes(run) == [None, None, ['"bf16"', '"fp32"'], None]


@pytest.mark.parametrize("generator", ["stargan-generator", "conditional-unet"])
def test_images_are_in_channels_last_in_bf16(generator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations follow, weights do not. The gradients are the same: in float32 they can be compared."""
    settings = [f"generator.name={generator}", "generator.channels=8", "generator.blocks=1", "train.critic_steps=1"]

    def train_once(precision: str) -> tuple[list[bool], list[Tensor]]:
        """Returns whether input and output of the first convolution are in channels last, and all gradients."""
        trainer, formats = build_trainer(*settings, f"train.precision={precision}"), list[bool]()
        first = next(module for module in trainer.model.generator.modules() if isinstance(module, nn.Conv2d))
        first.register_forward_hook(
            lambda _, inputs, output: formats.extend(
                tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (*inputs, output)
            )
        )
        trainer.train_step(0, build_batch(trainer))
        weights = [param for network in trainer.networks.values() for param in network.parameters()]
        assert all(param.is_contiguous() for param in weights)
        return formats[:2], [param.grad.flatten() for param in weights if param.grad is not None]

    formats, plain = train_once("fp32")
    assert formats == [False, False]
    formats, half = train_once("bf16")
    assert formats == [True, True]
    assert torch.cosine_similarity(torch.cat(plain), torch.cat(half), dim=0) > 0.9
    monkeypatch.setattr("mdtranslate.training.trainer.memory_format", lambda *_: torch.channels_last)
    formats, reordered = train_once("fp32")
    assert formats == [True, True]
    for expected, actual in zip(plain, reordered, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_supported", [True, False])
def test_slow_precision_is_warned_about(is_supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bf16_instructions", lambda: is_supported)
    warnings: list[str] = []
    build_trainer("train.precision=bf16", lines=warnings)
    assert len(warnings) == (0 if is_supported else 1) and all("bf16" in line for line in warnings)
    build_trainer("train.precision=fp32", lines=warnings)
    assert len(warnings) == (0 if is_supported else 1)


def test_backend_settings_are_set_for_steps_and_restored() -> None:
    """TF32 for float32 operations beside bf16; cuDNN benchmarking unless deterministic."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def current_settings() -> tuple[bool, ...]:
        is_deterministic = torch.are_deterministic_algorithms_enabled()
        return matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, is_deterministic

    previous = current_settings()
    for precision, deterministic, expected in (
        ("bf16", False, (True, True, True, False, False)),
        ("tf32", False, (True, True, True, False, False)),
        ("fp32", False, (False, False, True, False, False)),
        ("fp32", True, (False, False, False, True, True)),
    ):
        with training_numerics(precision, deterministic=deterministic):  # type: ignore[arg-type]
            assert current_settings() == expected
        assert current_settings() == previous


def test_nondeterministic_operation_is_refused_by_name() -> None:
    pooled, indices = torch.nn.functional.max_pool2d(torch.rand(1, 1, 8, 8), 2, return_indices=True)

    def unpool() -> None:
        torch.nn.functional.max_unpool2d(pooled, indices, 2)

    with (
        pytest.raises(RecipeError, match=r"train\.deterministic=true: max_unpooling2d"),
        training_numerics("fp32", deterministic=True),
    ):
        unpool()
    with training_numerics("fp32", deterministic=False):
        unpool()


def test_a_run_can_be_deterministic() -> None:
    trainer = build_trainer("train.deterministic=true", "train.critic_steps=1")
    trainer.train_step(0, build_batch(trainer))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
