"""LPIPS against torchmetrics' own metric, with a network whose weights come from a file of random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mdtranslate_basics.lpips import LPIPS
from torch import nn
from torchmetrics.functional.image import lpips as reference
from torchvision.models import alexnet

from mdtranslate import Attribute, EditBatch, Settings
from mdtranslate.errors import DataError
from mdtranslate.evaluation.classifier_features import PlaceholderFeatures


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return alexnet(weights=None)


@pytest.fixture
def weights(network: nn.Module, tmp_path: Path) -> Path:
    file = tmp_path / "alexnet.pth"
    torch.save(network.state_dict(), file)
    return file


def build(weights: Path, **settings: Any) -> LPIPS:
    config: Any = LPIPS.Config
    attributes, features = [Attribute("Round")], PlaceholderFeatures(Settings())
    return LPIPS(config(weights=weights, **settings), attributes=attributes, classifier_features=features)


def test_lpips_is_torchmetrics(weights: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake, truth = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(3))
    predictions = [{"Round": True}] * 2
    batch = EditBatch({"Round": True}, real, fake, real, truth, [{"Round": False}] * 2, predictions)
    metric = build(weights)
    metric.update(batch)
    figures = metric.compute()
    # The reference gets the same network where it would load torchvision's.
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_: network.features)
    for name, image, other in (
        ("", fake, truth),
        (" of the identity baseline", real, truth),
        (" to the source", fake, real),
    ):
        expected = reference.learned_perceptual_image_patch_similarity(image, other, net_type="alex")
        for scope in ("Round", "Round=yes"):
            assert figures[f"{scope}/{metric.figure}{name}"] == pytest.approx(float(expected), rel=1e-5)


def test_other_weights_are_not_called_lpips(weights: Path) -> None:
    assert build(weights).figure.startswith("lpips (")


def test_a_file_of_another_network_is_refused(weights: Path) -> None:
    with pytest.raises(DataError, match=r"alexnet\.pth: .*squeeze"):
        build(weights, network="squeeze")
