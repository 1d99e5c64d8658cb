"""A loss that keeps what a picture shows: in its pixels, or in what a feature network makes of them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import Choice, Features, LabelEncoder, Loss, Ramp, Terms, Translation


class Content(Loss):
    """Mean absolute difference of a translation from its picture, or from the true one.

    With a feature network, of its feature maps (Johnson et al. 2016, section 3.2, there squared), each map weighing the
    same. With a network of faces it is the identity term of DIAT (Li et al. 2016).
    """

    name = "content"

    class Config(Loss.Config):
        weight: float | Ramp = Field(1.0, description="factor of the term: a number, or {start, end, steps}")
        network: Choice[Features] | None = Field(None, description="what pictures are compared by; pixels if left out")
        layers: tuple[int, ...] = Field((), description="feature maps that count, from 0; all if left out")
        to: Literal["source", "truth"] = Field("source", description="what a translation is compared with")

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        # In a tuple, so that its weights, which never change, are in no checkpoint.
        self._network = () if config.network is None else (config.network.build(),)
        self.needs_truth = config.to == "truth"
        if config.layers and not self._network:
            raise ValueError("layers are of a network, and none is given")
        for network in self._network if config.layers else ():
            count = len(network.maps(torch.zeros(1, 3, image_size, image_size)))
            if strange := [each for each in config.layers if not 0 <= each < count]:
                raise ValueError(f"layers: there is no map {strange[0]}; the network has {count}, from 0")

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        for each in self._network:
            each._apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def generator(self, t: Translation) -> Terms:
        wanted = t.real if self.config.to == "source" else t.truth
        assert wanted is not None, "it needs truth"
        if not self._network:
            return (t.fake - wanted).abs().mean((1, 2, 3))
        own, other = self._network[0].maps(t.fake), self._network[0].maps(wanted)
        layers = self.config.layers or range(len(own))
        terms = [(own[each] - other[each].detach()).abs().flatten(1).mean(1) for each in layers]
        total: Tensor = sum(terms[1:], terms[0])
        return total / len(terms)
