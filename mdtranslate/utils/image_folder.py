"""Finds the image files in a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from mdtranslate.errors import DataError
from mdtranslate.utils.image_files import HEIC_EXTRA, reads_heic

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    | ({".heic", ".heif"} if reads_heic() else set())
)
"""Lower-case suffixes of files that are read as images."""

SYSTEM_NAMES = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "lost+found", "$recycle.bin", "system volume information"}
)
"""Lower-case names of files and folders that operating systems create; see also `is_system_file`."""


def find_images(folder: str | Path, *, recursive: bool = True) -> list[Path]:
    """Returns the image files in a folder, sorted.

    Args:
        folder: The folder.
        recursive: Also search its subfolders.

    Raises:
        DataError: A folder cannot be opened.
    """
    return sorted(_image_files(folder, recursive))


def has_images(folder: str | Path, *, recursive: bool = True) -> bool:
    """Returns whether `find_images` would find any; stops at the first.

    Args:
        folder: The folder to search.
        recursive: Also search the folders below it.

    Raises:
        DataError: A folder cannot be opened.
    """
    return next(_image_files(folder, recursive), None) is not None


def count_unread_files(folder: str | Path, *, recursive: bool = True) -> dict[str, int]:
    """Counts the files in a folder that are not read, except for system files.

    Args:
        folder: The folder.
        recursive: Also search its subfolders.

    Returns:
        Number of files by suffix, in descending order.
    """
    counts = Counter(
        file.suffix.lower() or "no suffix" for file in _files(Path(folder), recursive) if not _has_image_suffix(file)
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def describe_unread_files(counts: Mapping[str, int]) -> str:
    """Describes the result of `count_unread_files`: `201 files of kinds that are not read: .heic (200), .mp4 (1)`."""
    suffixes = ", ".join(f"{suffix} ({count})" for suffix, count in counts.items())
    total = sum(counts.values())
    extra = f" ({HEIC_EXTRA} reads .heic)" if ".heic" in counts else ""
    return f"{total} {'file' if total == 1 else 'files'} of kinds that are not read: {suffixes}{extra}"


def _image_files(folder: str | Path, recursive: bool) -> Iterator[Path]:
    return filter(_has_image_suffix, _files(Path(folder), recursive))


def _has_image_suffix(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yields the files in a folder and, if `recursive`, below it; follows links, but visits each folder once.

    Links to a folder above or beside `folder` are not followed, since its files do not belong to `folder`.
    """
    visited: set[tuple[int, int]] = set()
    for path, subfolders, files in os.walk(folder, followlinks=True, onerror=_raise_data_error):
        status = Path(path).stat()
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(
            name
            for name in subfolders
            if recursive and not is_system_file(name) and not _leads_outside(Path(path, name), folder)
        )
        yield from (Path(path, name) for name in sorted(files) if not is_system_file(name))


def find_looping_links(folder: str | Path) -> list[Path]:
    """Returns symbolic links in the subfolders of `folder` that point to an ancestor or a sibling of their subfolder.

    Their images are not taken for images of that subfolder.
    """
    links: list[Path] = []
    for top in list_subfolders(folder):
        for path, subfolders, _ in os.walk(top):
            links += [link for name in subfolders if _leads_outside(link := Path(path, name), top)]
    return sorted(links)


def _leads_outside(path: Path, folder: Path) -> bool:
    """Returns whether a path below `folder` is a link to a folder above or beside `folder`."""
    if not path.is_symlink():
        return False
    target, parent = path.resolve(), folder.resolve().parent
    return target in (parent, *parent.parents) or parent in target.parents


def _raise_data_error(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be opened ({(error.strerror or str(error)).lower()})") from error


def list_subfolders(folder: str | Path) -> list[Path]:
    """Returns the subfolders of a folder, sorted, without those that systems create."""
    return sorted(path for path in Path(folder).iterdir() if path.is_dir() and not is_system_file(path.name))


def is_system_file(name: str) -> bool:
    """Returns whether operating systems, image viewers or Jupyter create files or folders of this name."""
    return name.startswith((".", "@eaDir", "#")) or name.lower() in SYSTEM_NAMES
