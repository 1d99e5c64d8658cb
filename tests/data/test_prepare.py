"""Cropping and resizing equals that of torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mdtranslate.api import Crop
from mdtranslate.data.transforms import CropAndResize


@pytest.mark.parametrize(
    ("height", "width", "crop", "size"),
    [
        (218, 178, 178, 128),
        (218, 178, 178, 256),
        (218, 178, 178, 178),
        (218, 178, 108, 64),
        (31, 50, 28, 28),
        (33, 50, 28, 7),
        (50, 35, 28, 29),
        (1, 1, 1, 8),
        (1, 9, 1, 4),
    ],
)
def test_crop_and_resize_equals_torchvision(height, width, crop, size):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = pixels.copy()
    from torchvision import transforms

    published = transforms.Compose([transforms.CenterCrop(crop), transforms.Resize(size)])
    expected = np.asarray(published(Image.fromarray(pixels)))
    prepared = CropAndResize(Crop(crop / min(height, width)), size)(pixels)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous
    assert np.array_equal(prepared, expected)
    prepared[:] = 0
    assert np.array_equal(pixels, before), "the result is a view of the source"


def test_crop_and_resize_antialiases():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(CropAndResize(Crop(), 8)(stripes).astype(int) - 128).max() <= 24
