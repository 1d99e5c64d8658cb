"""Looks: the same portraits as another photographer would take them, for models that learn from several datasets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mdtranslate_avatars.draw import Portrait
from mdtranslate_avatars.parts import PAINTS


@dataclass(frozen=True, slots=True)
class Look:
    """What a look does to a portrait: the colours of its background, a tint, and grain."""

    background: tuple[str, str]
    """Of the round gradient behind every portrait."""
    tint: tuple[float, float, float]
    """Factors of red, green and blue."""
    contrast: float
    """Factor of the distance from middle grey, before the tint."""
    grain: float
    """Greatest deviation of a pixel in grey levels, the same in all three colours."""

    def dress(self, portrait: Portrait) -> Portrait:
        """The portrait before this look's background."""
        return replace(portrait, background=PAINTS[-1].format(*self.background))

    def develop(self, pixels: NDArray[np.uint8], seed: int, index: int) -> NDArray[np.uint8]:
        """[H, W, 3] uint8, tinted and grained: the grain of portrait `index` is the same whatever else it shows."""
        words = np.random.PCG64(np.random.SeedSequence((seed, index, GRAIN))).random_raw(pixels[..., 0].size)
        grain = np.asarray(words).reshape(pixels.shape[:2]) / 2.0**63 - 1  # in [-1, 1)
        values = (127.5 + self.contrast * (pixels - 127.5)) * np.asarray(self.tint) + self.grain * grain[..., None]
        developed: NDArray[np.uint8] = np.rint(values.clip(0, 255)).astype(np.uint8)
        return developed


GRAIN: Final = 1  # Third word of the seed of grain: portraits are drawn from two.

LOOKS: Final = {"film": Look(("#DCE6F2", "#A9B8CC"), (1.0, 0.93, 0.78), 0.8, 14.0)}
"""By name. `plain` is the look of a portrait that is left as it is drawn."""
