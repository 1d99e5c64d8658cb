"""The Inception network of FID (Szegedy et al. 2016), with the weights that TensorFlow published on 2015-12-05."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import inception

from mdtranslate import Features, Settings, file_sha256, read_state_dict
from mdtranslate.errors import DataError

INPUT_SIZE: Final = 299
NUM_CLASSES: Final = 1_008
PUBLISHED_SHA256: Final = "6726825d"
"""First digits of the hash of the published file, which are part of its name."""


class _InceptionA(inception.InceptionA):  # type: ignore[misc]
    """A block whose average pooling ignores padding, as TensorFlow's does."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        return [*super()._forward(x)[:3], self.branch_pool(_average_pool(x))]


class _InceptionC(inception.InceptionC):  # type: ignore[misc]
    """A block whose average pooling ignores padding."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        return [*super()._forward(x)[:3], self.branch_pool(_average_pool(x))]


class _InceptionE(inception.InceptionE):  # type: ignore[misc]
    """A block whose average pooling ignores padding; the last block of the network uses max pooling instead."""

    uses_max_pooling = False

    def _forward(self, x: Tensor) -> list[Tensor]:
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.uses_max_pooling else _average_pool(x)
        return [*super()._forward(x)[:3], self.branch_pool(pooled)]


def _average_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Inception(Features):
    """The 2,048 features of Inception v3 by which FID is defined (Heusel et al. 2017), with weights of a local file.

    The file is `weights-inception-2015-12-05-6726825d.pth` of torch-fidelity, or
    `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid, which are the same. Figures with other weights are named by
    their hash, such as `fid (inception 0123abcd)`, because they are not FID.

    Images are resized to 299 × 299 pixels, bilinearly with antialiasing. TensorFlow's resizing of 2015, which the
    original FID used, is shifted by half a pixel.
    """

    name = "inception"
    display_name = "inception"

    class Config(Settings):
        """The file of weights."""

        weights: Path = Field(description="file of weights")

    def __init__(self, config: Any) -> None:
        """Loads the weights.

        Raises:
            mdtranslate.errors.CheckpointError: The file is missing or damaged.
            DataError: The file holds another network.
        """
        super().__init__(config)
        self.network = inception.Inception3(
            num_classes=NUM_CLASSES,
            aux_logits=False,
            inception_blocks=[
                inception.BasicConv2d,
                _InceptionA,
                inception.InceptionB,
                _InceptionC,
                inception.InceptionD,
                _InceptionE,
                inception.InceptionAux,
            ],
            init_weights=False,
        )
        self.network.Mixed_7c.uses_max_pooling = True
        state, expected = read_state_dict(config.weights), self.network.state_dict()
        mismatched = [
            key
            for key, value in expected.items()
            if not key.endswith("num_batches_tracked") and (key not in state or state[key].shape != value.shape)
        ]
        if mismatched:
            raise DataError(
                f"{config.weights}: is not FID's Inception network: {mismatched[0]} is missing or has another shape"
            )
        self.network.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)
        sha256 = file_sha256(config.weights)
        if not sha256.startswith(PUBLISHED_SHA256):
            self.display_name = f"inception {sha256[:8]}"
        self.fingerprint = f"Inception v3 of FID, weights sha256 {sha256[:16]}, antialiased to {INPUT_SIZE} pixels"
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Computes features `(B, 2048)` of images `(B, 3, H, W)` in [-1, 1]."""
        return self.feature_maps(image)[-1].mean((2, 3))

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        """Computes the outputs of pooling layers and Inception blocks, `(B, C, h, w)` from early to late."""
        if image.shape[2:] != (INPUT_SIZE, INPUT_SIZE):
            image = F.interpolate(image.float(), (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
        x, maps = (image * 127.5 - 0.5) / 128, list[Tensor]()  # The input range of TensorFlow's network.
        for name, layer in self.network.named_children():
            if name in ("avgpool", "dropout", "fc"):
                break
            x = layer(x)
            if name.startswith(("maxpool", "Mixed")):
                maps.append(x)
        return maps
