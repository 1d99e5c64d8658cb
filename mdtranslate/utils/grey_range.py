"""Grey values of more than 8 bits, and which of them are black and white.

That is decided for a dataset, never for an image: otherwise a dark slice of a stack would look as bright as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mdtranslate.errors import DataError
from mdtranslate.utils.image_files import opened

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Range = tuple[float, float]
"""The values of black and of white."""

LITTLE = 96
"""Of 255 grey levels: a dataset whose images use no more than this looks dark or flat."""

BEYOND = 0.1
"""Share of pixels beyond the range that is worth a word: backgrounds and metal are meant to be."""

INNER = (0.1, 99.9)
"""Percentiles between which an image's values are counted."""

_WHITE_IS_ZERO, _PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 0, 262, 258, 339  # TIFF 6.0, sections 4, 8 and 19.


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image holds grey values of more than 8 bits, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def type_range(image: Image.Image) -> Range:
    """Black and white where nothing else is said, of an image for which `is_deep` holds."""
    return (0, 1) if image.mode == "F" else (0, 65535)


def stored_values(image: Image.Image) -> NDArray[np.float64]:
    """The grey values [H, W] of an image for which `is_deep` holds."""
    values = np.asarray(image).astype(np.float64)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,)) in (1, (1,)) and tags.get(_BITS, (0,)) in (32, (32,)):
        values = np.where(values < 0, values + 2**32, values)  # Pillow reads unsigned numbers as signed ones.
    return values


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
    values = stored_values(image)
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not numbers (NaN or infinite)")
    black, white = shown or type_range(image)
    if shown is None and not (values.min() >= black and values.max() <= white):
        raise ValueError(
            f"grey values {values.min():g} to {values.max():g}, beyond {black:g} to {white:g}: train with the "
            "dataset's setting range=[BLACK, WHITE]"
        )
    grey = to_8_bits(values, (black, white))
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow heeds it for 8 bits alone.
        grey = 255 - grey
    return grey


def to_8_bits(values: NDArray[np.generic], shown: Range) -> NDArray[np.uint8]:
    """Values scaled so that black is 0 and white 255, and cut off there."""
    black, white = shown
    return np.rint((values.astype(np.float64) - black) * (255 / (white - black))).clip(0, 255).astype(np.uint8)


class Stored(NamedTuple):
    """What the deep ones of some files hold."""

    low: float
    high: float
    """Without the outermost thousandth of each file's pixels: one hot pixel says nothing."""
    beyond: float
    """Share of the pixels that lie outside of the range that is shown."""
    shown: Range

    @property
    def small_part(self) -> str | None:
        """Of what range the values are a small part, in words; None where they are not."""
        black, white = self.shown
        if not 0 < self.high - self.low <= LITTLE / 255 * abs(white - black):
            return None
        return f"a small part of {black:g} to {white:g}"


def stored(files: Sequence[Path], shown: Range | None) -> Stored | None:
    """What those of `files` hold that have more than 8 bits; None where none has. `shown`: the dataset's range."""
    ends, beyond, total, own = list[float](), 0, 0, shown
    for file in files:
        try:
            with opened(file) as image:
                if is_deep(image):
                    values = stored_values(image)
                    own = shown or type_range(image)
                    ends += np.percentile(values, INNER, method="nearest").tolist()
                    beyond += int(((values < min(own)) | (values > max(own))).sum())
                    total += values.size
        except DataError:
            continue  # It is among the unreadable.
    return None if own is None or not ends else Stored(min(ends), max(ends), beyond / total, own)


def suggested(low: float, high: float) -> Range:
    """A range in round numbers that holds these values: to the next power of two less one, or as they are."""
    if low != int(low) or high != int(high) or high <= 1:
        return low, high
    bits = int(high).bit_length()
    return (0 if low >= 0 else low), 2**bits - 1


def describe_range(
    pixels: NDArray[np.uint8], files: Sequence[Path], shown: Range | None, key: str | None
) -> tuple[str, str] | None:
    """What is wrong with the grey values of a dataset's images, and what to do; None where nothing is.

    Args:
        pixels: uint8 [N, H, W, 3], some of its images.
        files: Their files.
        shown: The range that is set.
        key: The setting, such as `datasets.scans.range`; None where the dataset has none.
    """
    deep = None if key is None else stored(files, shown)
    if deep is not None:
        black, white = suggested(deep.low, deep.high)
        cure = f"set {key}=[{black:g}, {white:g}], or another range: the first value is black, the second white"
        holds = f"its files of more than 8 bits hold values from {deep.low:g} to {deep.high:g}"
        if deep.beyond > BEYOND:
            return (
                f"{deep.beyond:.0%} of the pixels are beyond the range [{deep.shown[0]:g}, {deep.shown[1]:g}]; {holds}",
                cure,
            )
        if (part := deep.small_part) is not None:
            return f"{holds}, {part}, so they look dark, bright or flat", cure
    ends = np.percentile(pixels.reshape(len(pixels), -1), INNER, axis=1)
    low, high = int(ends.min()), int(ends.max())
    if high - low > LITTLE:
        return None
    what = f"its images use only grey levels {low} to {high} of 255, so they look dark, bright or flat"
    if key is not None and not files:
        return what, f"if its images hold more than 8 bits, {key}=[BLACK, WHITE] says which values are black and white"
    return what, "if that is not meant, scale their values to 0..255 before"
