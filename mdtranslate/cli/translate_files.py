"""Input files of `mdtranslate translate`, and the file names of its results."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path

from mdtranslate.errors import DataError
from mdtranslate.utils.grey_range import Range, measure_grey_values
from mdtranslate.utils.image_files import count_frames
from mdtranslate.utils.image_folder import IMAGE_SUFFIXES, count_unread_files, describe_unread_files
from mdtranslate.utils.image_io import is_translation

MAX_NAME_BYTES = 200  # File systems allow 255 bytes for a file name.


def list_images(paths: Iterable[Path]) -> list[Path]:
    """Lists the files to translate, each once.

    Args:
        paths: Files, and folders, which mean the images directly in them.

    Raises:
        DataError: A folder cannot be read, or has no images.
    """
    unique: dict[Path, Path] = {}
    for path in paths:
        files: Sequence[Path] = [path]
        if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, False if the path cannot be accessed
            try:
                entries = sorted(path.iterdir())
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror}") from None
            # Hidden files are metadata of operating systems (`._photo.jpg`). Unreadable files are reported later.
            visible = [file for file in entries if not file.name.startswith(".")]
            images = [file for file in visible if file.suffix.lower() in IMAGE_SUFFIXES]
            files = [file for file in images if not os.path.isdir(file)]  # noqa: PTH112
            if not files:
                counts = count_unread_files(path, recursive=False)
                detail = f"but {describe_unread_files(counts)}" if counts else f"({', '.join(sorted(IMAGE_SUFFIXES))})"
                raise DataError(f"{path}: contains no images {detail}")
        for file in files:
            unique.setdefault(Path(os.path.realpath(file)), file)
    return list(unique.values())


def exclude_results(files: Sequence[Path], arguments: Iterable[Path], out: Path) -> tuple[list[Path], int]:
    """Excludes results of earlier translations, if images are in the output folder.

    Args:
        files: Files to translate.
        arguments: Files and folders from the command line; a result that is named itself is kept.
        out: The output folder.

    Returns:
        The remaining files, and the number of excluded ones.
    """
    folder, named = os.path.realpath(out), {os.path.realpath(path) for path in arguments}
    remaining = [
        file
        for file in files
        if os.path.realpath(file.parent) != folder or os.path.realpath(file) in named or not is_translation(file)
    ]
    return remaining, len(files) - len(remaining)


def file_warnings(path: Path, value_range: Range | None) -> Iterator[str]:
    """Yields warnings about a file: several pages, or grey values in a small part of the range of training.

    Args:
        path: The image file.
        value_range: Values of black and white in the dataset; None for those of the data type.
    """
    if (num_frames := count_frames(path)) > 1:
        yield f"has {num_frames} pages or frames; only the first is translated"
    stats = measure_grey_values([path], value_range)
    if stats is not None and (small_range := stats.narrow_range_text):
        yield f"has values from {stats.low:g} to {stats.high:g}, {small_range}, the range of the training images"


def unread_file_warnings(paths: Iterable[Path]) -> list[str]:
    """Returns a line for each folder that contains files of unsupported types."""
    counts_by_folder = {path: count_unread_files(path, recursive=False) for path in paths if path.is_dir()}
    return [f"{path}: {describe_unread_files(counts)}" for path, counts in counts_by_folder.items() if counts]


def assign_stems(files: Sequence[Path]) -> dict[str, Path]:
    """Assigns each file a distinct start of its results' names.

    Returns:
        Files by stem: the name without suffix, or if that is not unique, with suffix, parent folder or a number.
    """
    counts = Counter(file.stem.casefold() for file in files)
    stems: dict[str, Path] = {}
    used: set[str] = set()
    for file in files:
        parent = Path(os.path.realpath(file)).parent.name
        candidates = [file.stem] if counts[file.stem.casefold()] == 1 else []
        candidates += [file.name, f"{parent}-{file.name}"]
        numbered = (f"{file.name}-{number}" for number in count(2))
        stem = next(name for name in chain(candidates, numbered) if name.casefold() not in used)
        used.add(stem.casefold())
        stems[stem] = file
    return stems


def result_name(stem: str, edit: str) -> str:
    """Returns the file name of a result, of limited length and without characters that some file systems refuse."""
    name = f"{stem}.{edit}"
    clean = "".join("_" if letter in '/\\:*?"<>|' or ord(letter) < 32 else letter for letter in name)
    encoded = clean.encode("utf-8", "replace")
    if clean == name and len(encoded) <= MAX_NAME_BYTES:
        return f"{clean}.png"
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]  # Keeps changed names distinct.
    return f"{encoded[:MAX_NAME_BYTES].decode('utf-8', 'ignore')}-{digest}.png"
