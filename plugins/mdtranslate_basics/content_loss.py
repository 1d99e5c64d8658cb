"""A loss that keeps the content of an image, in its pixels or in the features of a network."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import Choice, Features, LabelEncoder, Loss, Ramp, Terms, Translation


class Content(Loss):
    """Mean absolute difference of the fake image from its source image, or from the ground truth.

    Without a network it compares pixels in [-1, 1]. With a network it compares feature maps, and averages over maps
    with equal weights (Johnson et al. 2016, section 3.2, where differences are squared). With a face recognition
    network it is the identity loss of DIAT (Li et al. 2016).
    """

    name = "content"

    class Config(Loss.Config):
        """The weight, and what is compared."""

        weight: float | Ramp = Field(1.0, description="factor of the term: a number, or {start, end, steps}")
        network: Choice[Features] | None = Field(
            None, description="feature network to compare images by: its name and settings; pixels if left out"
        )
        layers: tuple[int, ...] = Field(
            (), description="indices of the network's feature maps to compare, from 0; all if left out"
        )
        reference: Literal["source", "truth"] = Field(
            "source",
            description="image to compare with: the source image, or the ground truth (needs data.targets=paired)",
        )

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Builds the network; see `Loss` for the arguments.

        Raises:
            ValueError: Layers are given without a network, or the network does not have them.
        """
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        # In a tuple, so that it is not a submodule: its weights never change and need not be in checkpoints.
        self._networks = () if config.network is None else (config.network.build(),)
        self.requires_truth = config.reference == "truth"
        if config.layers and not self._networks:
            raise ValueError("layers: needs a network, and none is set")
        for network in self._networks if config.layers else ():
            count = len(network.feature_maps(torch.zeros(1, 3, image_size, image_size)))
            if invalid := [index for index in config.layers if not 0 <= index < count]:
                raise ValueError(f"layers: there is no feature map {invalid[0]}; the network has {count}, from 0")

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Moves the network, which is not a submodule, along with the loss."""
        for network in self._networks:
            network._apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def generator(self, t: Translation) -> Terms:
        """Computes the mean absolute difference per sample, `(B,)`."""
        reference = t.real if self.config.reference == "source" else t.truth
        assert reference is not None, "requires_truth is set"
        if not self._networks:
            return (t.fake - reference).abs().mean((1, 2, 3))
        network = self._networks[0]
        fake_maps, reference_maps = network.feature_maps(t.fake), network.feature_maps(reference)
        indices = self.config.layers or range(len(fake_maps))
        terms = [(fake_maps[index] - reference_maps[index].detach()).abs().flatten(1).mean(1) for index in indices]
        total: Tensor = sum(terms[1:], terms[0])
        return total / len(terms)
