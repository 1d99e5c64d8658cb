"""Opens image files by Pillow: which formats, how large, and what is wrong where one cannot be read."""

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
except ImportError:  # It is an extra, or its library does not load.
    pillow_heif = None

MAX_PIXELS = 100_000_000
"""Pixels that a picture may have, unless `decode` or the environment is told otherwise."""

LIMIT = "MDTRANSLATE_MAX_PIXELS"
"""The variable that sets another limit."""

CURE = f"scale it down or cut it into tiles, or set {LIMIT}"

HEIC = "a HEIC picture"

HEIC_EXTRA = "pip install 'mdtranslate[heic]'"

TEXT_LIMIT = 64 * 2**20
"""Bytes that a PNG's texts or its colour profile may have when unpacked; Pillow's own limit is 1 MiB."""

# Not all that Pillow knows: EPS, for one, starts another program, and TGA takes some text files for pictures.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")


@contextmanager
def opened(source: Path | IO[bytes], most: int | None = None) -> Iterator[Image.Image]:
    """An image file, opened and not decoded yet.

    Args:
        source: A file or a stream.
        most: Pixels that it may have; None: what the environment says, or `MAX_PIXELS`.

    Raises:
        DataError: One line that names the file, also for whatever goes wrong inside the block.
    """
    name = source if isinstance(source, Path) else getattr(source, "name", None) or "picture"
    cure = CURE if most is None else "scale it down"
    most = _limit() if most is None else most
    allowed = f"{most:,} are allowed; {cure}"
    try:
        if isinstance(source, Path) and not S_ISREG(source.stat().st_mode):
            what = "is a directory" if source.is_dir() else "is no file"  # A pipe would be waited for, for ever.
            raise DataError(f"{name}: {what}")
        with _quiet(), Image.open(source, formats=_formats()) as image:
            if image.width * image.height > most:
                raise DataError(f"{name}: {image.width} x {image.height} pixels are too many: {allowed}")
            yield image
    except DataError:
        raise
    except Exception as error:  # Decoders of damaged files raise anything.
        raise DataError(f"{name}: {reason(error, allowed, source)}") from error


def frames(file: Path) -> int:
    """How many pages or frames an image file has. Raises `DataError`."""
    with opened(file) as image:
        # An MPO's other images are the same photo for other eyes, or smaller.
        return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def check_png(source: Path | IO[bytes]) -> None:
    """Raises where a part of a PNG is not what its checksum says. Decoding alone looks only at some of them."""
    if not isinstance(source, Path):
        source.seek(0)
    with Image.open(source, formats=["PNG"]) as image:
        image.verify()


def reads_heic() -> bool:
    """Whether the extra that reads HEIC is installed, and works."""
    return pillow_heif is not None


@cache
def _formats() -> list[str]:
    """Those of `_FORMATS` that this Pillow was built with; it fails on the name of any other."""
    Image.init()
    if reads_heic():
        pillow_heif.register_heif_opener()
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, TEXT_LIMIT)
    return [each for each in _FORMATS if each in Image.OPEN]


def _limit() -> int:
    """The most pixels that are read. Raises `DataError` where the variable that says it holds no number."""
    word = os.environ.get(LIMIT, str(MAX_PIXELS))
    if not word.isdecimal():
        raise DataError(f"{LIMIT}={word}: a number of pixels is right")
    most = int(word)
    if LIMIT in os.environ and Image.MAX_IMAGE_PIXELS is not None:  # Pillow refuses more than twice its own limit.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, most)
    return most


def _unknown_kind(source: Path | IO[bytes] | None) -> str | None:
    """What a file is by its first bytes, where it is of a kind that people take for pictures; None otherwise."""
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
        return "an AVIF picture, which this Pillow cannot read" if head[8:12] in (b"avif", b"avis") else "a video"
    kinds = {b"%PDF": "a PDF", b"\x1aE\xdf\xa3": "a video", b"<svg": "an SVG drawing", b"SIMPLE": "a FITS file"}
    return next((kind for start, kind in kinds.items() if head.startswith(start)), None)


def reason(error: Exception, allowed: str, source: Path | IO[bytes] | None = None) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, UnidentifiedImageError):
        kind = _unknown_kind(source)
        if kind is None:
            return "is no picture of a known format, or its header is damaged"
        if kind == HEIC and reads_heic():
            return f"is {kind}, but damaged: convert it to PNG or TIFF with the program that wrote it"
        return f"is {kind}: convert it to PNG or TIFF{f', or {HEIC_EXTRA}' if kind == HEIC else ''}"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: {allowed}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}"


_inside, _lock = 0, Lock()
_filter: Any = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Pillow's warnings back: whatever it warns of either matters, and is an error here, or does not.

    `warnings.catch_warnings` is not for threads: it leaves the filters of the host program otherwise than they were.
    Here the first thread sets one filter and the last one takes it away.
    """
    global _inside, _filter
    with _lock:
        _inside += 1
        if _inside == 1:
            before = len(warnings.filters)
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _filter = warnings.filters[0] if len(warnings.filters) > before else None  # The host may have set it.
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _filter in warnings.filters:
                warnings.filters.remove(_filter)  # type: ignore[attr-defined]
