"""The contract of feature networks: what measures and losses compare pictures by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mdtranslate.api.component import Component


class Features(Component, nn.Module):
    """A network that is not trained here. Its parameters take no gradient, and it is always in evaluation mode.

    Metrics compare distributions of its features, losses its feature maps. Weights come from a file that the settings
    name, never from the network.
    """

    label: str
    """A word for it in the names of figures: `fid (judge)`."""
    identity: str
    """What it is, with the hash of its weights: equal identities, equal features. Tables of results show it."""
    untrained: bool = False
    """Whether its weights are random: some figures mean nothing then."""

    def __init__(self, config: Any) -> None:
        """Raises `ValueError` for settings that do not go together, `DataError` for a file that does not fit."""
        nn.Module.__init__(self)
        self.config = config

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Features [B, F] of pictures [B, 3, H, W] in [-1, 1], scaled here to what the network wants."""

    @abstractmethod
    def maps(self, image: Tensor) -> Sequence[Tensor]:
        """Feature maps [B, C, h, w] of the same pictures, from early to late; differentiable by `image`."""
