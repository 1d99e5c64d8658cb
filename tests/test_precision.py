"""A precision that a device has not, or has slowly, is said."""

from __future__ import annotations

import os

import pytest
import torch
from test_engine import batch, trainer

from mdtranslate.errors import RecipeError
from mdtranslate.utils.device import training_arithmetic


@pytest.mark.parametrize("there", [True, False])
def test_a_precision_that_is_slower_here_is_said(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there)
    said: list[str] = []
    trainer("train.precision=bf16", said=said)
    expected = [] if there else ["bf16 is slower than fp32 here: this processor has no instructions for it"]
    assert said == expected
    trainer("train.precision=fp32", said=said)
    assert said == expected


def test_steps_have_their_own_settings_of_a_gpu_and_the_host_keeps_its() -> None:
    """TF32 for what stays in float32 beside bf16; cuDNN's search for the fastest, but where it would change bits."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def now() -> tuple[bool, ...]:
        strict = torch.are_deterministic_algorithms_enabled()
        return matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, strict

    before = now()
    for precision, deterministic, expected in (
        ("bf16", False, (True, True, True, False, False)),
        ("tf32", False, (True, True, True, False, False)),
        ("fp32", False, (False, False, True, False, False)),
        ("fp32", True, (False, False, False, True, True)),
    ):
        with training_arithmetic(precision, deterministic=deterministic):  # type: ignore[arg-type]
            assert now() == expected
        assert now() == before


def test_an_operation_that_varies_is_refused_by_name() -> None:
    pooled, places = torch.nn.functional.max_pool2d(torch.rand(1, 1, 8, 8), 2, return_indices=True)

    def unpool() -> None:
        torch.nn.functional.max_unpool2d(pooled, places, 2)

    with (
        pytest.raises(RecipeError, match=r"train\.deterministic=true: .*does not have a deterministic implementation:"),
        training_arithmetic("fp32", deterministic=True),
    ):
        unpool()
    with training_arithmetic("fp32", deterministic=False):
        unpool()


def test_a_run_can_be_deterministic() -> None:
    made = trainer("train.deterministic=true", "train.critic_steps=1")
    made.step(0, batch(made))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
