"""A precision that a device has not, or has slowly, is said."""

from __future__ import annotations

import pytest
import torch
from test_engine import trainer


@pytest.mark.parametrize("there", [True, False])
def test_a_precision_that_is_slower_here_is_said(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there)
    said: list[str] = []
    trainer("train.precision=bf16", said=said)
    expected = [] if there else ["bf16 is slower than fp32 here: this processor has no instructions for it"]
    assert said == expected
    trainer("train.precision=fp32", said=said)
    assert said == expected
