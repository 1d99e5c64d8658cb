"""The Inception network of FID (Szegedy et al. 2016; the port of TensorFlow's weights of 2015-12-05)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import inception

from mdtranslate import Features, Settings
from mdtranslate.errors import DataError
from mdtranslate.inference.foreign import read_state
from mdtranslate.utils.files import sha256

SIZE: Final = 299
CLASSES: Final = 1_008
PUBLISHED: Final = "6726825d"
"""What the hash of the published file begins with, as its name says."""


class _A(inception.InceptionA):  # type: ignore[misc]
    """Averages over borders count only what lies in the picture: so did TensorFlow."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        return [*super()._forward(x)[:3], self.branch_pool(_inside(x))]


class _C(inception.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        return [*super()._forward(x)[:3], self.branch_pool(_inside(x))]


class _E(inception.InceptionE):  # type: ignore[misc]
    """Of the two the last takes the largest value, not the mean."""

    last = False

    def _forward(self, x: Tensor) -> list[Tensor]:
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.last else _inside(x)
        return [*super()._forward(x)[:3], self.branch_pool(pooled)]


def _inside(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Inception(Features):
    """The 2,048 features of Inception v3 that FID is named after, with weights of a local file.

    The file is `weights-inception-2015-12-05-6726825d.pth` of torch-fidelity, which pytorch-fid calls
    `pt_inception-2015-12-05-6726825d.pth`; both are named by the hash that it begins with. Another file's figures are
    called by its own hash (`fid (inception 0123abcd)`), for they are no FID. Pictures are scaled to 299 pixels,
    bilinearly and antialiased; TensorFlow's scaling of 2015, which the first FID had, differs by half a pixel.
    """

    name = "inception"
    label = "inception"

    class Config(Settings):
        weights: Path = Field(description="the file of its weights")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        blocks = [
            inception.BasicConv2d, _A, inception.InceptionB, _C, inception.InceptionD, _E, inception.InceptionAux
        ]  # fmt: skip
        self.network = inception.Inception3(
            num_classes=CLASSES, aux_logits=False, inception_blocks=blocks, init_weights=False
        )
        self.network.Mixed_7c.last = True
        state, own = read_state(config.weights), self.network.state_dict()
        wrong = [
            key
            for key, value in own.items()
            if not key.endswith("num_batches_tracked") and (key not in state or state[key].shape != value.shape)
        ]
        if wrong:
            raise DataError(f"{config.weights}: is not FID's Inception: {wrong[0]} is missing or has another shape")
        self.network.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)
        found = sha256(config.weights)
        if not found.startswith(PUBLISHED):
            self.label = f"inception {found[:8]}"
        self.identity = f"Inception v3 of FID, weights sha256 {found[:16]}, antialiased to {SIZE} pixels"
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Always in evaluation mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        return self.maps(image)[-1].mean((2, 3))

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        if image.shape[2:] != (SIZE, SIZE):
            image = F.interpolate(image.float(), (SIZE, SIZE), mode="bilinear", antialias=True)
        x, found = (image * 127.5 - 0.5) / 128, list[Tensor]()  # Grey levels around 128, as it was trained.
        for name, layer in self.network.named_children():
            if name in ("avgpool", "dropout", "fc"):
                break
            x = layer(x)
            if name.startswith(("maxpool", "Mixed")):
                found.append(x)
        return found
