"""The interface of feature networks, by which metrics and losses compare images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mdtranslate.api.component import Component


class Features(Component, nn.Module):
    """A frozen network. Its parameters need no gradient, and it is always in evaluation mode.

    Metrics compare distributions of its features, losses compare its feature maps. Weights come from a file that the
    settings name; nothing is downloaded.

    Attributes:
        display_name: Its name in figures, such as `inception` in `fid (inception)`.
        fingerprint: Identifies network and weights: equal fingerprints mean equal features. Shown in tables.
        is_untrained: Whether its weights are random, which makes some figures meaningless.
        config: The settings.
    """

    display_name: str
    fingerprint: str
    is_untrained: bool = False

    def __init__(self, config: Any) -> None:
        """Initialises the network and loads its weights.

        Args:
            config: An instance of this class's `Config`.

        Raises:
            ValueError: The settings do not go together.
            mdtranslate.errors.CheckpointError: The file of weights is missing, damaged, or of another network.
        """
        nn.Module.__init__(self)
        self.config = config

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Computes features `(B, F)` of images `(B, 3, H, W)` in [-1, 1], resized as the network expects."""

    @abstractmethod
    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        """Computes feature maps `(B, C, h, w)` from early to late layers, differentiable with respect to `image`.

        Args:
            image: Images of shape `(B, 3, H, W)` in [-1, 1].
        """
