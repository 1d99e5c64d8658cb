"""Precision and determinism of training steps."""

from __future__ import annotations

import os

import pytest
import torch
from test_engine import build_batch, build_trainer

from mdtranslate.errors import RecipeError
from mdtranslate.utils.device import training_numerics


@pytest.mark.parametrize("is_supported", [True, False])
def test_slow_precision_is_warned_about(is_supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: is_supported)
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
