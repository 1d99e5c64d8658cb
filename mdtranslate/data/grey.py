"""Grey values of more than 8 bits, and which of them are black and white.

That is decided for a dataset, never for an image: otherwise a dark slice of a stack would look as bright as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdtranslate.data.pillow import opened
from mdtranslate.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Range = tuple[float, float]
"""The values of black and of white."""

LITTLE = 96
"""Of 255 grey levels: a dataset whose images use no more than this looks dark or flat."""

INNER = (0.1, 99.9)
"""Percentiles between which an image's values are counted."""

_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262  # TIFF 6.0, section 4.


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image holds grey values of more than 8 bits, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an opened image, not decoded yet, holds colours of 16 bits, of which Pillow reads the upper 8."""
    tiles: Any = getattr(image, "tile", [])
    words = [word for tile in tiles for word in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))]
    return image.mode in ("RGB", "RGBA", "LA") and any("16" in word for word in words if isinstance(word, str))


def to_grey(image: Image.Image, shown: Range | None) -> NDArray[np.uint8]:
    """The grey levels [H, W] of an image for which `is_deep` holds.

    `shown`: the values of black and white; what lies beyond is black or white, too. None: 0 and 65535, or 0 and 1 for
    floats, and `ValueError` for values beyond.
    """
    values = np.asarray(image).astype(np.float64)
    black, white = shown or ((0, 1) if image.mode == "F" else (0, 65535))
    if shown is None and not (values.min() >= black and values.max() <= white):  # Written so that NaN fails, too.
        raise ValueError(
            f"grey values {values.min():g} to {values.max():g}, beyond {black} to {white}; the dataset's setting "
            "range=[BLACK, WHITE] says which are meant"
        )
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not finite")
    grey = to_8_bits(values, (black, white))
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow heeds it for 8 bits alone.
        grey = 255 - grey
    return grey


def to_8_bits(values: NDArray[np.generic], shown: Range) -> NDArray[np.uint8]:
    """Values scaled so that black is 0 and white 255, and cut off there."""
    black, white = shown
    return np.rint((values.astype(np.float64) - black) * (255 / (white - black))).clip(0, 255).astype(np.uint8)


def stored_range(files: Sequence[Path]) -> Range | None:
    """The lowest and highest grey value in those of `files` that hold more than 8 bits; None where none does.

    Without the outermost thousandth of each file's pixels: one hot pixel says nothing.
    """
    found: list[float] = []
    for file in files:
        try:
            with opened(file) as image:
                if is_deep(image):
                    found += np.percentile(np.asarray(image), INNER, method="nearest").tolist()
        except DataError:
            continue  # It is among the unreadable.
    return (min(found), max(found)) if found else None


def suggested(low: float, high: float) -> Range:
    """A range in round numbers that holds these values: to the next power of two less one, or as they are."""
    if low != int(low) or high != int(high) or high <= 1:
        return low, high
    bits = int(high).bit_length()
    return (0 if low >= 0 else low), 2**bits - 1


def describe_little_range(pixels: NDArray[np.uint8], files: Sequence[Path], key: str | None) -> tuple[str, str] | None:
    """What is wrong with images that use little of their range, and what to do; None where they use enough.

    Args:
        pixels: uint8 [N, H, W, 3], images of a dataset.
        files: Some of their files, which are looked at only then.
        key: The dataset's setting, such as `datasets.scans.range`; None where it has none.
    """
    ends = np.percentile(pixels.reshape(len(pixels), -1), INNER, axis=1)
    low, high = int(ends.min()), int(ends.max())
    if high - low > LITTLE:
        return None
    what = f"its images use only grey levels {low} to {high} of 255, so they look dark or flat"
    stored = None if key is None else stored_range(files)
    if stored is not None and stored[0] < stored[1]:
        black, white = suggested(*stored)
        return (
            f"{what}; its files hold values from {stored[0]:g} to {stored[1]:g}",
            f"set {key}=[{black:g}, {white:g}], or another range: the first value is black, the second white",
        )
    if key is not None and not files:
        return what, f"if its images hold more than 8 bits, {key}=[BLACK, WHITE] says which values are black and white"
    return what, "if that is not meant, scale their values to 0..255 before"
