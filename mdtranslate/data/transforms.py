"""Cuts and scales pictures to the square size that networks see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mdtranslate.api.dataset import Crop

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Preparation:
    """Cuts out the square `crop` and scales it to `size` pixels, with antialiasing.

    The pixels are those of torchvision's `CenterCrop` and `Resize` on a Pillow picture, which the published StarGAN
    uses.
    """

    crop: Crop
    size: int

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """[H, W, 3] uint8 to [size, size, 3] uint8, contiguous; never a view of `pixels`."""
        height, width = pixels.shape[:2]
        side = max(1, min(height, width, round(self.crop.side * min(height, width))))
        # Rounds half to even, as torchvision does.
        top = min(max(round(self.crop.y * height - side / 2), 0), height - side)
        left = min(max(round(self.crop.x * width - side / 2), 0), width - side)
        square = pixels[top : top + side, left : left + side]
        if side == self.size:
            return square.copy()
        # Cut first: with Pillow's `box` the filter would also see pixels outside of the square.
        image = Image.fromarray(np.ascontiguousarray(square))
        return np.array(image.resize((self.size, self.size), Image.Resampling.BILINEAR))
