"""Reads any picture file as 8-bit RGB, and writes PNGs."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from mdtranslate.errors import DataError
from mdtranslate.files import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 100_000_000
"""Pixels that a picture may have, unless `decode` or the environment is told otherwise."""

LIMIT = "MDTRANSLATE_MAX_PIXELS"
"""The variable that sets another limit."""

CURE = f"scale it down or cut it into tiles, or set {LIMIT}"

TEXT_LIMIT = 64 * 2**20
"""Bytes that a PNG's texts or its colour profile may have when unpacked; Pillow's own limit is 1 MiB."""

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Lower-case suffixes of the files that are taken for pictures."""

LEFTOVERS = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "lost+found", "$recycle.bin", "system volume information"}
)
"""In small letters: what systems lay beside files, besides what begins with a point, a # or @eaDir."""

# Not all that Pillow knows: EPS, for one, starts another program, and TGA takes some text files for pictures.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")

# What turns a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Path | IO[bytes], most: int | None = None) -> NDArray[np.uint8]:
    """The picture in a file or stream: [H, W, 3], uint8, RGB, contiguous and writable.

    It is turned as its EXIF says. What is transparent lies over white. Of an animation it is the first frame. Grey of
    16 bits is scaled from 0..65535; floats are scaled from 0..1, or from 0..255 where a value is above 1. Colour
    profiles are not applied.

    A picture with more than `most` pixels (None: what `LIMIT` says) is refused before it is decoded. Raises
    `DataError`, one line that names the file, whatever is wrong with it. A PNG is held against its checksums; other
    formats have none, so that a flipped bit in the middle of a JPEG can pass as another picture.
    """
    name = source if isinstance(source, Path) else getattr(source, "name", None) or "picture"
    cure = CURE if most is None else "scale it down"
    most = _limit() if most is None else most
    allowed = f"{most:,} are allowed; {cure}"
    try:
        if isinstance(source, Path) and not S_ISREG(source.stat().st_mode):
            what = "is a directory" if source.is_dir() else "is no file"  # A pipe would be waited for, for ever.
            raise DataError(f"{name}: {what}")
        # Whatever Pillow warns about either matters, and is an error here, or does not.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=_formats()) as image:
                if image.width * image.height > most:
                    raise DataError(f"{name}: {image.width} x {image.height} pixels are too many: {allowed}")
                image.load()
                if image.format == "PNG":
                    _check(source)
                return _rgb(_upright(image))
    except DataError:
        raise
    except Exception as error:  # decoders of damaged files raise anything
        raise DataError(f"{name}: {_reason(error, allowed, source)}") from error


def measure(path: Path) -> tuple[int, int, str]:
    """Width, height and Pillow's mode of the picture in a file, from its header alone. Raises `DataError`."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: is no file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_formats()) as image:
                return image.width, image.height, image.mode
    except Exception as error:
        raise DataError(f"{path}: {_reason(error, CURE, path)}") from error


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """An opened picture as `decode` gives it. Raises `DataError`."""
    try:
        return _rgb(_upright(image))
    except Exception as error:
        raise DataError(f"picture: {_reason(error, CURE)}") from error


def encode_png(pixels: NDArray[np.uint8], path: Path) -> None:
    """Writes [H, W, 3] uint8 as a PNG; `path` is there wholly or not at all. Raises `StorageError`."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(path, buffer.getbuffer(), durable=False)  # It can be made again.


def _check(source: Path | IO[bytes]) -> None:
    """Raises where a part of a PNG is not what its checksum says. Decoding alone looks only at some of them."""
    if not isinstance(source, Path):
        source.seek(0)
    with Image.open(source, formats=["PNG"]) as image:
        image.verify()


def find_pictures(folder: Path, *, deep: bool = True) -> list[Path]:
    """The files in `folder`, and (`deep`) below it, that are taken for pictures, in order; no system's leftovers."""
    return sorted(_pictures(folder, deep))


def holds_pictures(folder: Path, *, deep: bool = True) -> bool:
    """Whether `find_pictures` would find any; it stops at the first."""
    return next(_pictures(folder, deep), None) is not None


def unread_kinds(folder: Path, *, deep: bool = True) -> dict[str, int]:
    """How many files in `folder`, and (`deep`) below it, are of kinds that are not read: by suffix, most files first.

    Those that systems leave beside one's own do not count.
    """
    kinds = Counter(each.suffix.lower() or "no suffix" for each in _files(folder, deep) if not _is_known(each))
    return dict(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])))


def describe_kinds(kinds: Mapping[str, int]) -> str:
    """`201 files of kinds that are not read: .heic (200), .mp4 (1)`."""
    listed = ", ".join(f"{kind} ({count})" for kind, count in kinds.items())
    total = sum(kinds.values())
    return f"{total} {'file' if total == 1 else 'files'} of kinds that are not read: {listed}"


def _pictures(folder: Path, deep: bool) -> Iterator[Path]:
    return filter(_is_known, _files(folder, deep))


def _is_known(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    """The files in a folder, and (`deep`) below it, also through links: each folder once, so that no link goes on."""
    seen: set[tuple[int, int]] = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        found = Path(path).stat()
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(each for each in folders if deep and not leftover(each))
        yield from (Path(path, each) for each in sorted(files) if not leftover(each))


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, in order; no system's leftovers."""
    return sorted(each for each in folder.iterdir() if each.is_dir() and not leftover(each.name))


def leftover(name: str) -> bool:
    """Whether a file or folder of this name is what a system, a viewer or Jupyter leaves beside one's own."""
    return name.startswith((".", "@eaDir", "#")) or name.lower() in LEFTOVERS


@cache
def _formats() -> list[str]:
    """Those of `_FORMATS` that this Pillow was built with; it fails on the name of any other."""
    Image.init()
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, TEXT_LIMIT)
    return [each for each in _FORMATS if each in Image.OPEN]


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes the EXIF anew and fails where any tag of it is odd.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        grey = _from_floats(values) if image.mode == "F" else _from_16_bits(values.astype(np.int64))
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _from_16_bits(values: NDArray[np.int64]) -> NDArray[np.uint8]:
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"grey values from {values.min()} to {values.max()}; only 0 to 65535 can be read")
    return ((values + 128) // 257).astype(np.uint8)


def _from_floats(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # written so that NaN fails too
        raise ValueError(f"grey values from {low:g} to {high:g}; only 0 to 1 and 0 to 255 can be read")
    return np.rint(values * 255 if high <= 1 else values).astype(np.uint8)


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
            return "a HEIC picture"
        return "an AVIF picture, which this Pillow cannot read" if head[8:12] in (b"avif", b"avis") else "a video"
    kinds = {b"%PDF": "a PDF", b"\x1aE\xdf\xa3": "a video", b"<svg": "an SVG drawing", b"SIMPLE": "a FITS file"}
    return next((kind for start, kind in kinds.items() if head.startswith(start)), None)


def _reason(error: Exception, allowed: str, source: Path | IO[bytes] | None = None) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, UnidentifiedImageError):
        kind = _unknown_kind(source)
        known = "is no picture of a known format, or its header is damaged"
        return known if kind is None else f"is {kind}: convert it to PNG or TIFF"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: {allowed}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}"
