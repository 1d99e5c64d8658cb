"""Metrics: how much an edit changes, how near it comes to the true picture, and whether a face stays the same one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Attribute, Choice, Edited, Features, Settings
from mdtranslate_basics.metrics import Means

GREY: Final = 127.5  # Grey levels of a step of 1 on the scale of [-1, 1].


class EditMagnitude(Means):
    """How much of a picture an edit changes.

    `hair/change`: mean absolute difference in grey levels of 255. `hair/changed`: share of pixels of which a colour
    changes by more than `above`. The same by edit, `hair=Blond_Hair/change`.
    """

    name = "edit-magnitude"

    class Config(Settings):
        above: float = Field(8.0, ge=0, le=255, description="grey levels of 255 beyond which a pixel has changed")

    def update(self, batch: Edited) -> None:
        difference = (batch.fake.float() - batch.real.float()).abs() * GREY
        for scope in batch.scopes:
            self.add(f"{scope}/change", difference.mean((1, 2, 3)))
            self.add(f"{scope}/changed", (difference.amax(1) > self.config.above).float().mean((1, 2)))


class PerceptualDistance(Means):
    """How far an edited picture is from the true one in a network's feature maps.

    Features are scaled to length 1 at each place, their squared differences averaged over places and maps: the distance
    of Zhang et al. 2018, equation 1, without the weights that they learned, so it is no LPIPS. `hair/distance (judge)`
    and the same `of doing nothing`, by edit, too. Nothing where the dataset knows no true pictures.
    """

    name = "perceptual-distance"

    class Config(Settings):
        network: Choice[Features] | None = Field(
            None, description="what pictures are compared by; the judge if left out"
        )

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], judge: Features) -> None:
        super().__init__(config, attributes=attributes, judge=judge)
        self.network = judge if config.network is None else config.network.build()

    def update(self, batch: Edited) -> None:
        if batch.truth is None:
            return
        network = self.network.to(batch.fake.device)
        truth, fake, idle = (network.maps(each) for each in (batch.truth, batch.fake, batch.real))
        for scope in batch.scopes:
            self.add(f"{scope}/distance ({self.network.label})", _apart(fake, truth))
            self.add(f"{scope}/distance ({self.network.label}) of doing nothing", _apart(idle, truth))

    def facts(self) -> dict[str, Any]:
        return {"network": self.network.identity}


class FaceIdentity(Means):
    """Whether a face stays that of the same person: cosine of a face network's features before and after, -1 to 1.

    `hair/identity`, and by edit. The network is one that tells faces apart, from a file: no other says anything here.
    """

    name = "face-identity"

    class Config(Settings):
        network: Choice[Features] = Field(description="a network that tells faces apart, with its weights")

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], judge: Features) -> None:
        super().__init__(config, attributes=attributes, judge=judge)
        self.network = config.network.build()
        if self.network.untrained:
            raise ValueError(f"network: {self.network.label} has random weights, which know no faces; give a file's")

    def update(self, batch: Edited) -> None:
        network = self.network.to(batch.fake.device)
        likeness = F.cosine_similarity(network(batch.fake), network(batch.real), dim=1)
        for scope in batch.scopes:
            self.add(f"{scope}/identity", likeness)

    def facts(self) -> dict[str, Any]:
        return {"network": self.network.identity}


def _apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Of each picture, [B]."""
    maps = [
        (F.normalize(mine, dim=1) - F.normalize(theirs, dim=1)).square().sum(1).mean((1, 2))
        for mine, theirs in zip(one, other, strict=True)
    ]
    return torch.stack(maps).mean(0)
