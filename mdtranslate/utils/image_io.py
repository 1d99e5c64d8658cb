"""Reads any image file as 8-bit RGB, and writes PNGs."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from mdtranslate.errors import DataError
from mdtranslate.utils.files import write_bytes
from mdtranslate.utils.grey_range import Range, is_deep, is_deep_colour, to_grey
from mdtranslate.utils.image_files import SIZE_REMEDY, check_png, failure_reason, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRANSLATION_MARK = ("Software", "mdtranslate translate")
"""Key and value of the PNG text that marks translations."""

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operation that turns an image upright, by EXIF orientation."""


def read_image(
    source: str | Path | IO[bytes], max_pixels: int | None = None, *, value_range: Range | None = None
) -> NDArray[np.uint8]:
    """Decodes an image file or stream.

    The image is rotated as its EXIF orientation says, and transparent pixels are drawn over white. Of an animation or a
    file of several pages, the first frame is read. Colour profiles are not applied. The checksums of a PNG are
    verified; other formats have none, so a flipped bit in the middle of a JPEG can go unnoticed.

    Args:
        source: A file or a stream.
        max_pixels: Limit of the number of pixels, checked before decoding; None takes it from the environment variable
            `MDTRANSLATE_MAX_PIXELS` or the default.
        value_range: Values of black and white for images of more than 8 bits; values beyond are clipped. None means
            0 and 65535, or 0 and 1 for floats, and refuses values beyond. Ignored for images of 8 bits.

    Returns:
        Pixels of shape `(H, W, 3)`, uint8 RGB, contiguous and writable.

    Raises:
        DataError: The image cannot be read; the message is one line that names the file.
    """
    if isinstance(source, str):
        source = Path(source)
    with open_image(source, max_pixels) as image:
        if value_range is not None and is_deep_colour(image):
            raise ValueError("its colours have 16 bits, for which no range can be set; convert it to 8 bits or to grey")
        image.load()
        if image.format == "PNG":
            check_png(source)
        return _rgb(_upright(image), value_range)


def read_image_size(path: str | Path) -> tuple[int, int, str]:
    """Reads the size of an image from the header of its file.

    Returns:
        Width and height after rotation by EXIF orientation, as `read_image` returns them, and Pillow's mode.

    Raises:
        DataError: The file cannot be read.
    """
    with open_image(Path(path)) as image:
        # Pillow would decode a whole PNG to find an EXIF block behind the pixels, which hardly any PNG has.
        rotated = image.format != "PNG" or "exif" in image.info
        rotated = rotated and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return *(image.size[::-1] if rotated else image.size), image.mode


def to_rgb(image: Image.Image, value_range: Range | None = None) -> NDArray[np.uint8]:
    """Converts an opened Pillow image to the pixels that `read_image` would return.

    Args:
        image: The image.
        value_range: As for `read_image`.

    Returns:
        Pixels of shape `(H, W, 3)`, uint8.

    Raises:
        DataError: The image cannot be decoded.
    """
    try:
        return _rgb(_upright(image), value_range)
    except Exception as error:
        raise DataError(f"image: {failure_reason(error, SIZE_REMEDY)}") from error


def write_png(pixels: NDArray[np.uint8], path: Path, *, mark_as_translation: bool = False) -> None:
    """Writes a PNG file atomically.

    Args:
        pixels: Pixels of shape `(H, W, 3)`, uint8.
        path: The file.
        mark_as_translation: Mark the file as a translation, for `is_translation`.

    Raises:
        StorageError: The file cannot be written.
    """
    buffer, info = BytesIO(), PngInfo()
    if mark_as_translation:
        info.add_text(*TRANSLATION_MARK)
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    write_bytes(path, buffer.getvalue(), durable=False)  # Lost files can be written again.


def is_translation(path: Path) -> bool:
    """Returns whether a file is a PNG that `write_png` marked as a translation."""
    try:
        with open_image(path) as image:
            return image.info.get(TRANSLATION_MARK[0]) == TRANSLATION_MARK[1]
    except DataError:
        return False


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose, which rewrites the EXIF and fails on invalid tags.
    transpose = _TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if transpose is None else image.transpose(transpose)


def _rgb(image: Image.Image, value_range: Range | None) -> NDArray[np.uint8]:
    if is_deep(image):
        grey = to_grey(image, value_range)
        if "transparency" in image.info:
            grey[np.asarray(image) == image.info["transparency"]] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))
