"""LPIPS, the learned perceptual distance (Zhang et al. 2018), by torchmetrics with weights of a local file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, EditBatch, Features, Settings, file_sha256, read_state_dict
from mdtranslate.errors import DataError, PluginError
from mdtranslate_basics.metrics import Means

PUBLISHED_SHA256: Final = {"alex": "7be5be79", "vgg": "397923af", "squeeze": "b8a52dc0"}
"""First digits of the hashes of torchvision's files, which are part of their names."""


class LPIPS(Means):
    """LPIPS of edited images (Zhang et al. 2018, equation 1, version 0.1 with learned weights).

    - `hair/lpips`: distance of the edited image to the ground truth, where the dataset knows it.
    - `hair/lpips of the identity baseline`: the same for the unedited source image.
    - `hair/lpips to the source`: distance of the edited image to its source image.
    - `hair=Blond_Hair/lpips` and so on: the same by edit.

    The weights that it learned are part of torchmetrics. Those of the network are torchvision's for ImageNet, which it
    published as `alexnet-owt-7be5be79.pth`, `vgg16-397923af.pth` and `squeezenet1_1-b8a52dc0.pth`. Figures with another
    file are named by its hash, such as `lpips (0123abcd)`, because they are not LPIPS.
    """

    name = "lpips"

    class Config(Settings):
        """The network and the file of its weights."""

        network: Literal["alex", "vgg", "squeeze"] = Field("alex", description="the network; papers mostly use alex")
        weights: Path = Field(description="torchvision's file of weights for this network")

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Loads the network; see `Metric` for the arguments.

        Raises:
            mdtranslate.errors.PluginError: torchmetrics is not installed.
            mdtranslate.errors.CheckpointError: The file is missing or damaged.
            mdtranslate.errors.DataError: The file holds another network.
        """
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        if find_spec("torchmetrics") is None:
            raise PluginError("metric 'lpips' needs torchmetrics: pip install 'mdtranslate[lpips]'")
        # Not the public metric, which would download the network's weights.
        from torchmetrics.functional.image.lpips import _LPIPS

        state = read_state_dict(config.weights)
        self.network = _LPIPS(net=config.network, pnet_rand=True)
        for key, value in self.network.net.state_dict().items():
            source_key = f"features.{key.partition('.')[2]}"  # `slice1.0.weight` is torchvision's `features.0.weight`.
            if source_key not in state or state[source_key].shape != value.shape:
                raise DataError(f"{config.weights}: is not torchvision's {config.network}: {source_key} does not fit")
            value.copy_(state[source_key])
        self.network.eval().requires_grad_(False)
        sha256 = file_sha256(config.weights)
        is_published = sha256.startswith(PUBLISHED_SHA256[config.network])
        self.figure = "lpips" if is_published else f"lpips ({sha256[:8]})"
        self.fingerprint = f"LPIPS 0.1, {config.network}, weights sha256 {sha256[:16]}"

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images."""
        self.network.to(batch.fake.device)
        distances = {" to the source": self._distance(batch.fake, batch.real)}
        if batch.truth is not None:
            distances[""] = self._distance(batch.fake, batch.truth)
            distances[" of the identity baseline"] = self._distance(batch.real, batch.truth)
        for scope in batch.scopes:
            for suffix, values in distances.items():
                self.add(f"{scope}/{self.figure}{suffix}", values)

    def metadata(self) -> dict[str, Any]:
        """Returns network and weights."""
        return {"network": self.fingerprint}

    def _distance(self, images: Tensor, others: Tensor) -> Tensor:
        """Computes the distances of images `(B, 3, H, W)` in [-1, 1], `(B,)`."""
        distance: Tensor = self.network(images.float(), others.float())
        return distance.flatten(1).mean(1)
