"""Grey values of more than 8 bits, and which of them are black and white.

The range is set per dataset, never per image: otherwise a dark slice of a stack would become as bright as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mdtranslate.errors import DataError
from mdtranslate.utils.image_files import open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Range = tuple[float, float]
"""Values of black and of white."""

NARROW_LEVELS = 96
"""Images that use at most this many of 255 grey levels look dark or flat."""

MAX_SHARE_BEYOND = 0.1
"""Share of pixels beyond the range above which a note is written: clipped backgrounds and metal are normal."""

PERCENTILES = (0.1, 99.9)
"""Percentiles that count as the darkest and brightest value of an image."""

_WHITE_IS_ZERO, _PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 0, 262, 258, 339  # TIFF 6.0, sections 4, 8 and 19.


def is_deep(image: Image.Image) -> bool:
    """Returns whether an opened image holds grey values of more than 8 bits, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def type_range(image: Image.Image) -> Range:
    """Returns the default values of black and white of a deep image (see `is_deep`)."""
    return (0, 1) if image.mode == "F" else (0, 65535)


def stored_values(image: Image.Image) -> NDArray[np.float64]:
    """Returns the grey values of a deep image, of shape `(H, W)`."""
    values = np.asarray(image).astype(np.float64)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,)) in (1, (1,)) and tags.get(_BITS, (0,)) in (32, (32,)):
        values = np.where(values < 0, values + 2**32, values)  # Pillow reads unsigned as signed integers.
    return values


def is_deep_colour(image: Image.Image) -> bool:
    """Returns whether an opened, undecoded image holds colours of 16 bits, of which Pillow reads the upper 8."""
    tiles: Any = getattr(image, "tile", [])
    raw_modes = [mode for tile in tiles for mode in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))]
    return image.mode in ("RGB", "RGBA", "LA") and any("16" in mode for mode in raw_modes if isinstance(mode, str))


def to_grey(image: Image.Image, value_range: Range | None) -> NDArray[np.uint8]:
    """Converts a deep image to 8-bit grey levels.

    Args:
        image: An image for which `is_deep` holds.
        value_range: Values of black and white; values beyond are clipped. None means the range of the type and refuses
            values beyond.

    Returns:
        Grey levels of shape `(H, W)`, uint8.

    Raises:
        ValueError: Some values are not finite, or beyond the range of the type.
    """
    values = stored_values(image)
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not numbers (NaN or infinite)")
    black, white = value_range or type_range(image)
    if value_range is None and not (values.min() >= black and values.max() <= white):
        raise ValueError(
            f"grey values {values.min():g} to {values.max():g}, beyond {black:g} to {white:g}: train with the "
            "dataset's setting range=[BLACK, WHITE]"
        )
    grey = to_8_bits(values, (black, white))
    # Pillow applies this tag to images of 8 bits only.
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return grey


def to_8_bits(values: NDArray[np.generic], value_range: Range) -> NDArray[np.uint8]:
    """Scales values so that black is 0 and white is 255, and clips them to that range."""
    black, white = value_range
    return np.rint((values.astype(np.float64) - black) * (255 / (white - black))).clip(0, 255).astype(np.uint8)


class GreyValueStats(NamedTuple):
    """Grey values of the deep images among some files.

    Attributes:
        low: Darkest value, without the outermost 0.1 % of each file's pixels (such as hot pixels).
        high: Brightest value, likewise.
        share_beyond: Share of the pixels beyond `value_range`.
        value_range: Values of black and white with which they are read.
    """

    low: float
    high: float
    share_beyond: float
    value_range: Range

    @property
    def narrow_range_text(self) -> str | None:
        """The range of which the values use only a small part, as text; None if they use more of it."""
        black, white = self.value_range
        if not 0 < self.high - self.low <= NARROW_LEVELS / 255 * abs(white - black):
            return None
        return f"a small part of {black:g} to {white:g}"


def measure_grey_values(files: Sequence[Path], value_range: Range | None) -> GreyValueStats | None:
    """Measures the grey values of the deep images among some files.

    Args:
        files: Image files; unreadable ones are skipped.
        value_range: The dataset's values of black and white; None for those of the type.

    Returns:
        The statistics, or None if no image is deep.
    """
    extremes, beyond, total, used_range = list[float](), 0, 0, value_range
    for file in files:
        try:
            with open_image(file) as image:
                if is_deep(image):
                    values = stored_values(image)
                    used_range = value_range or type_range(image)
                    extremes += np.percentile(values, PERCENTILES, method="nearest").tolist()
                    beyond += int(((values < min(used_range)) | (values > max(used_range))).sum())
                    total += values.size
        except DataError:
            continue  # Reported as unreadable elsewhere.
    if used_range is None or not extremes:
        return None
    return GreyValueStats(min(extremes), max(extremes), beyond / total, used_range)


def suggest_range(low: float, high: float) -> Range:
    """Suggests a range for values from `low` to `high`: up to 2^n - 1 for integers, otherwise the values themselves."""
    if low != int(low) or high != int(high) or high <= 1:
        return low, high
    bits = int(high).bit_length()
    return (0 if low >= 0 else low), 2**bits - 1


def describe_range(
    pixels: NDArray[np.uint8], files: Sequence[Path], value_range: Range | None, key: str | None
) -> tuple[str, str] | None:
    """Checks whether a dataset's images use enough of their range of grey values.

    Args:
        pixels: Some of its images, uint8 of shape `(N, H, W, 3)`.
        files: Their files.
        value_range: The configured values of black and white.
        key: Name of that setting, such as `datasets.scans.range`; None if the dataset has no such setting.

    Returns:
        What is wrong and what to do, or None if nothing is wrong.
    """
    stats = None if key is None else measure_grey_values(files, value_range)
    if stats is not None:
        black, white = suggest_range(stats.low, stats.high)
        remedy = f"set {key}=[{black:g}, {white:g}], or another range: the first value is black, the second white"
        values = f"its files of more than 8 bits hold values from {stats.low:g} to {stats.high:g}"
        if stats.share_beyond > MAX_SHARE_BEYOND:
            current = f"[{stats.value_range[0]:g}, {stats.value_range[1]:g}]"
            return f"{stats.share_beyond:.0%} of the pixels are beyond the range {current}; {values}", remedy
        if (range_text := stats.narrow_range_text) is not None:
            return f"{values}, {range_text}, so they look dark, bright or flat", remedy
    extremes = np.percentile(pixels.reshape(len(pixels), -1), PERCENTILES, axis=1)
    low, high = int(extremes.min()), int(extremes.max())
    if high - low > NARROW_LEVELS:
        return None
    message = f"its images use only grey levels {low} to {high} of 255, so they look dark, bright or flat"
    if key is not None and not files:
        remedy = f"if its images hold more than 8 bits, {key}=[BLACK, WHITE] says which values are black and white"
        return message, remedy
    return message, "if that is not intended, scale their values to 0..255 first"
