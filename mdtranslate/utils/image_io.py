"""Reads any picture file as 8-bit RGB, and writes PNGs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from mdtranslate.errors import DataError
from mdtranslate.utils.files import write_bytes
from mdtranslate.utils.grey_range import Range, is_deep, is_deep_colour, to_grey
from mdtranslate.utils.image_files import CURE, HEIC_EXTRA, check_png, opened, reads_heic, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    | ({".heic", ".heif"} if reads_heic() else set())
)
"""Lower-case suffixes of the files that are taken for pictures."""

LEFTOVERS = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "lost+found", "$recycle.bin", "system volume information"}
)
"""In small letters: what systems lay beside files, besides what begins with a point, a # or @eaDir."""

RESULT = ("Software", "mdtranslate translate")
"""Key and text in a PNG that is a translation."""

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


def decode(source: Path | IO[bytes], most: int | None = None, *, value_range: Range | None = None) -> NDArray[np.uint8]:
    """The picture in a file or stream: [H, W, 3], uint8, RGB, contiguous and writable.

    It is turned as its EXIF says. What is transparent lies over white. Of an animation or a file of several pages it is
    the first. Colour profiles are not applied.

    Args:
        source: A file or a stream. A PNG is held against its checksums; other formats have none, so that a flipped bit
            in the middle of a JPEG can pass as another picture.
        most: Pixels that it may have, else it is refused before it is decoded; None: what the environment says.
        value_range: The grey values of more than 8 bits that become 0 and 255; others are scaled, and cut off there.
            None: 0 and 65535, or 0 and 1 for floats. Images of 8 bits are taken as they are.

    Raises:
        DataError: One line that names the file, whatever is wrong with it; also for values beyond those of the type.
    """
    with opened(source, most) as image:
        if value_range is not None and is_deep_colour(image):
            raise ValueError(
                "its colours have 16 bits, which no range can be taken of; convert it to 8 bits or to grey"
            )
        image.load()
        if image.format == "PNG":
            check_png(source)
        return _rgb(_upright(image), value_range)


def measure(path: Path) -> tuple[int, int, str]:
    """Width, height and Pillow's mode of the picture in a file, from its header alone. Raises `DataError`.

    Width and height are those that `decode` gives, after it is turned as its EXIF says.
    """
    with opened(path) as image:
        # Pillow decodes a PNG to look for an EXIF that stands behind its pixels, where hardly any does.
        turned = image.format != "PNG" or "exif" in image.info
        turned = turned and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return *(image.size[::-1] if turned else image.size), image.mode


def to_rgb(image: Image.Image, value_range: Range | None = None) -> NDArray[np.uint8]:
    """An opened picture as `decode` gives it. Raises `DataError`."""
    try:
        return _rgb(_upright(image), value_range)
    except Exception as error:
        raise DataError(f"picture: {reason(error, CURE)}") from error


def encode_png(pixels: NDArray[np.uint8], path: Path, *, result: bool = False) -> None:
    """Writes [H, W, 3] uint8 as a PNG; `path` is there wholly or not at all. Raises `StorageError`.

    `result`: marks it as a translation, as `is_result` sees it.
    """
    buffer, info = BytesIO(), PngInfo()
    if result:
        info.add_text(*RESULT)
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    write_bytes(path, buffer.getvalue(), durable=False)  # It can be made again.


def is_result(path: Path) -> bool:
    """Whether a file is a PNG that `encode_png` marked as a translation."""
    try:
        with opened(path) as image:
            return image.info.get(RESULT[0]) == RESULT[1]
    except DataError:
        return False


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
    extra = f" ({HEIC_EXTRA} reads .heic)" if ".heic" in kinds else ""
    return f"{total} {'file' if total == 1 else 'files'} of kinds that are not read: {listed}{extra}"


def _pictures(folder: Path, deep: bool) -> Iterator[Path]:
    return filter(_is_known, _files(folder, deep))


def _is_known(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    """The files in a folder, and (`deep`) below it, also through links: each folder once, so that no link goes on.

    Links to a folder above, or to one beside, are not followed: its files are not those of this folder. Raises
    `DataError` for a folder that cannot be opened.
    """
    seen: set[tuple[int, int]] = set()
    for path, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        found = Path(path).stat()
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(
            each for each in folders if deep and not leftover(each) and not _leads_back(Path(path, each), folder)
        )
        yield from (Path(path, each) for each in sorted(files) if not leftover(each))


def links_back(folder: Path) -> list[Path]:
    """Links below the folders in `folder` that lead to one of those, or to a folder above."""
    found = []
    for top in subfolders(folder):
        for path, folders, _ in os.walk(top):
            found += [each for name in folders if _leads_back(each := Path(path, name), top)]
    return sorted(found)


def _leads_back(path: Path, folder: Path) -> bool:
    """Whether a folder below `folder` is a link to one above or beside it."""
    if not path.is_symlink():
        return False
    target, beside = path.resolve(), folder.resolve().parent
    return target in (beside, *beside.parents) or beside in target.parents


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be opened ({(error.strerror or str(error)).lower()})") from error


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, in order; no system's leftovers."""
    return sorted(each for each in folder.iterdir() if each.is_dir() and not leftover(each.name))


def leftover(name: str) -> bool:
    """Whether a file or folder of this name is what a system, a viewer or Jupyter leaves beside one's own."""
    return name.startswith((".", "@eaDir", "#")) or name.lower() in LEFTOVERS


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes the EXIF anew and fails where any tag of it is odd.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


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
