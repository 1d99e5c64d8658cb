"""Opens image files with Pillow: allowed formats and sizes, and messages about files that cannot be read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import IO, Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from mdtranslate.errors import DataError

pillow_heif: Any
try:
    import pillow_heif
except ImportError:  # The extra is not installed, or its library does not load.
    pillow_heif = None

MAX_PIXELS = 100_000_000
"""Default limit of the number of pixels of an image."""

LIMIT_VARIABLE = "MDTRANSLATE_MAX_PIXELS"
"""Environment variable that sets another limit."""

SIZE_REMEDY = f"scale it down or cut it into tiles, or set {LIMIT_VARIABLE}"

HEIC = "a HEIC image"

HEIC_EXTRA = "pip install 'mdtranslate[heic]'"

TEXT_LIMIT = 64 * 2**20
"""Limit of the bytes of a PNG's texts or colour profile when unpacked; Pillow's default is 1 MiB."""

# Not all formats that Pillow knows: EPS starts another program, and TGA accepts some text files.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")


@contextmanager
def open_image(source: Path | IO[bytes], max_pixels: int | None = None) -> Iterator[Image.Image]:
    """Context manager: opens an image file without decoding it.

    Args:
        source: A file or a stream.
        max_pixels: Limit of the number of pixels; None takes it from the environment variable or `MAX_PIXELS`.

    Yields:
        The Pillow image.

    Raises:
        DataError: The file cannot be read, or anything failed inside the context. The message is one line that names
            the file.
    """
    name = source if isinstance(source, Path) else getattr(source, "name", None) or "image"
    remedy = SIZE_REMEDY if max_pixels is None else "scale it down"
    max_pixels = _pixel_limit() if max_pixels is None else max_pixels
    size_hint = f"{max_pixels:,} are allowed; {remedy}"
    try:
        if isinstance(source, Path) and not S_ISREG(source.stat().st_mode):
            kind = "is a directory" if source.is_dir() else "is not a regular file"  # Reading a pipe could block.
            raise DataError(f"{name}: {kind}")
        with _ignore_warnings(), Image.open(source, formats=_formats()) as image:
            if image.width * image.height > max_pixels:
                raise DataError(f"{name}: {image.width} x {image.height} pixels are too many: {size_hint}")
            yield image
    except DataError:
        raise
    except Exception as error:  # Decoders raise all kinds of errors on damaged files.
        raise DataError(f"{name}: {failure_reason(error, size_hint, source)}") from error


def count_frames(file: Path) -> int:
    """Returns the number of pages or frames of an image file.

    Raises:
        DataError: The file cannot be read.
    """
    with open_image(file) as image:
        # The other images of an MPO are the same photo for the other eye, or smaller.
        return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def check_png(source: Path | IO[bytes]) -> None:
    """Verifies all checksums of a PNG, of which decoding checks only some; raises an error of Pillow."""
    if not isinstance(source, Path):
        source.seek(0)
    with Image.open(source, formats=["PNG"]) as image:
        image.verify()


def reads_heic() -> bool:
    """Returns whether the extra that reads HEIC is installed and works."""
    return pillow_heif is not None


@cache
def _formats() -> list[str]:
    """Returns the formats that this build of Pillow supports; it fails on the names of others."""
    Image.init()
    if reads_heic():
        pillow_heif.register_heif_opener()
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, TEXT_LIMIT)
    return [name for name in _FORMATS if name in Image.OPEN]


def _pixel_limit() -> int:
    """Returns the limit of the number of pixels; raises `DataError` if the environment variable is not a number."""
    value = os.environ.get(LIMIT_VARIABLE, str(MAX_PIXELS))
    if not value.isdecimal():
        raise DataError(f"{LIMIT_VARIABLE}={value}: must be a number of pixels")
    max_pixels = int(value)
    # Pillow refuses more than twice its own limit.
    if LIMIT_VARIABLE in os.environ and Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    return max_pixels


def _identify(source: Path | IO[bytes] | None) -> str | None:
    """Identifies a file of a kind that people mistake for a readable image by its first bytes; None if unknown."""
    if source is None:
        return None
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(132)
    else:
        source.seek(0)
        head = source.read(132)
    if head[128:] == b"DICM":
        return "a DICOM file"
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
            return HEIC
        return "an AVIF image, which this Pillow cannot read" if head[8:12] in (b"avif", b"avis") else "a video"
    kinds = {b"%PDF": "a PDF", b"\x1aE\xdf\xa3": "a video", b"<svg": "an SVG drawing", b"SIMPLE": "a FITS file"}
    return next((kind for start, kind in kinds.items() if head.startswith(start)), None)


def failure_reason(error: Exception, size_hint: str, source: Path | IO[bytes] | None = None) -> str:
    """Explains in one line why an image could not be read.

    Args:
        error: The error of Pillow or the system.
        size_hint: What to do if the image has too many pixels.
        source: The file or stream, to identify unknown formats.
    """
    if isinstance(error, UnidentifiedImageError):
        kind = _identify(source)
        if kind is None:
            return "is not an image of a known format, or its header is damaged"
        if kind == HEIC and reads_heic():
            return f"is {kind}, but damaged: convert it to PNG or TIFF with the program that wrote it"
        return f"is {kind}: convert it to PNG or TIFF{f', or {HEIC_EXTRA}' if kind == HEIC else ''}"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: {size_hint}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}"


_active_count, _lock = 0, Lock()
_filter: Any = None


@contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Context manager: suppresses Pillow's warnings; those that matter are errors here.

    `warnings.catch_warnings` is not thread-safe: it could leave the filters of the host program changed. Here the first
    thread to enter sets one filter, and the last one to leave removes it.
    """
    global _active_count, _filter
    with _lock:
        _active_count += 1
        if _active_count == 1:
            previous_length = len(warnings.filters)
            warnings.filterwarnings("ignore", module=r"PIL\.")
            # Unless the host program has set the same filter.
            _filter = warnings.filters[0] if len(warnings.filters) > previous_length else None
    try:
        yield
    finally:
        with _lock:
            _active_count -= 1
            if _active_count == 0 and _filter in warnings.filters:
                warnings.filters.remove(_filter)  # type: ignore[attr-defined]
