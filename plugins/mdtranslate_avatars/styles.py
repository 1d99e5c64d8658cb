"""Styles of the portraits: the same people as if taken by another camera, for models of several datasets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mdtranslate_avatars.draw import Portrait
from mdtranslate_avatars.parts import PAINTS

GRAIN_STREAM: Final = 1
"""Third number of the seed of the film grain; portraits are drawn from seeds of two numbers."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a style changes a portrait.

    Attributes:
        background: Colours of the radial gradient behind every portrait.
        tint: Factors of red, green and blue.
        contrast: Factor of the difference from middle grey, applied before the tint.
        grain: Largest deviation of film grain in grey levels; it is the same in all three channels.
    """

    background: tuple[str, str]
    tint: tuple[float, float, float]
    contrast: float
    grain: float

    def replace_background(self, portrait: Portrait) -> Portrait:
        """Returns the portrait with the background of this style."""
        return replace(portrait, background=PAINTS[-1].format(*self.background))

    def process(self, pixels: NDArray[np.uint8], seed: int, index: int) -> NDArray[np.uint8]:
        """Applies contrast, tint and grain. The grain depends on seed and index alone, so edits keep it.

        Args:
            pixels: The rendered portrait of shape `(H, W, 3)`.
            seed: Random seed of the dataset.
            index: Index of the portrait.

        Returns:
            The image of shape `(H, W, 3)`, uint8.
        """
        words = np.random.PCG64(np.random.SeedSequence((seed, index, GRAIN_STREAM))).random_raw(pixels[..., 0].size)
        grain = np.asarray(words).reshape(pixels.shape[:2]) / 2.0**63 - 1  # In [-1, 1).
        values = (127.5 + self.contrast * (pixels - 127.5)) * np.asarray(self.tint) + self.grain * grain[..., None]
        result: NDArray[np.uint8] = np.rint(values.clip(0, 255)).astype(np.uint8)
        return result


STYLES: Final = {"film": Style(("#DCE6F2", "#A9B8CC"), (1.0, 0.93, 0.78), 0.8, 14.0)}
"""Styles by name; `plain` portraits are not changed."""
