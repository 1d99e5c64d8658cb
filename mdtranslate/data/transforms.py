"""Crops and resizes images to the square size that networks take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mdtranslate.api.dataset import Crop

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CropAndResize:
    """Crops a square from an image and resizes it, with antialiasing.

    The result equals that of torchvision's `CenterCrop` and `Resize` on a Pillow image, which the published StarGAN
    uses.

    Attributes:
        crop: The square.
        size: Side of the result in pixels.
    """

    crop: Crop
    size: int

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crops and resizes an image.

        Args:
            pixels: The image, uint8 of shape `(H, W, 3)`.

        Returns:
            A contiguous copy, uint8 of shape `(size, size, 3)`.
        """
        height, width = pixels.shape[:2]
        side = max(1, min(height, width, round(self.crop.side * min(height, width))))
        # Rounds half to even, as torchvision does.
        top = min(max(round(self.crop.y * height - side / 2), 0), height - side)
        left = min(max(round(self.crop.x * width - side / 2), 0), width - side)
        square = pixels[top : top + side, left : left + side]
        if side == self.size:
            return square.copy()
        # Cropped first: with Pillow's `box` argument the filter would also use pixels outside the square.
        image = Image.fromarray(np.ascontiguousarray(square))
        return np.array(image.resize((self.size, self.size), Image.Resampling.BILINEAR))
