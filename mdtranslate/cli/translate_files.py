"""Which pictures `mdtranslate translate` takes, and what it calls the results."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from mdtranslate.errors import DataError
from mdtranslate.utils.grey_range import Range, stored
from mdtranslate.utils.image_files import frames
from mdtranslate.utils.image_io import IMAGE_SUFFIXES, describe_kinds, is_result, unread_kinds

LONGEST = 200  # Bytes of a file name; file systems take 255.


def list_pictures(given: Iterable[Path]) -> list[Path]:
    """The files that are meant, each once: a folder means the pictures in it, not below. Raises `DataError`."""
    found: dict[Path, Path] = {}
    for path in given:
        files: Sequence[Path] = [path]
        if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, takes what cannot be looked at for no folder
            try:
                inside = sorted(path.iterdir())
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror}") from None
            # A folder called x.jpg is left out; what else cannot be read is named when its turn comes.
            # Hidden ones are what systems lay beside pictures (`._photo.jpg`).
            shown = [each for each in inside if each.suffix.lower() in IMAGE_SUFFIXES and not each.name.startswith(".")]
            files = [each for each in shown if not os.path.isdir(each)]  # noqa: PTH112
            if not files:
                kinds = unread_kinds(path, deep=False)
                what = f"but {describe_kinds(kinds)}" if kinds else f"({', '.join(sorted(IMAGE_SUFFIXES))})"
                raise DataError(f"{path}: holds no picture {what}")
        for file in files:
            found.setdefault(Path(os.path.realpath(file)), file)
    return list(found.values())


def without_results(files: Sequence[Path], given: Iterable[Path], out: Path) -> tuple[list[Path], int]:
    """`files` without results of earlier translations in `out`, but for those in `given`; and how many those are."""
    own, named = os.path.realpath(out), {os.path.realpath(each) for each in given}
    left = [
        file
        for file in files
        if os.path.realpath(file.parent) != own or os.path.realpath(file) in named or not is_result(file)
    ]
    return left, len(files) - len(left)


def warnings_of(path: Path, shown: Range | None) -> Iterator[str]:
    """What is unlikely to be meant of a file: pages that are left out, grey values that are nearly one to the model."""
    if (count := frames(path)) > 1:
        yield f"has {count} pages or frames; the first is translated"
    values = stored([path], shown)
    if values is not None and (part := values.small_part):
        yield f"holds values from {values.low:g} to {values.high:g}, {part}, which this model was trained with"


def passed_over(given: Iterable[Path]) -> list[str]:
    """A line for each folder among those given that holds files of kinds that are not read."""
    counted = {path: unread_kinds(path, deep=False) for path in given if path.is_dir()}
    return [f"{path}: {describe_kinds(kinds)}" for path, kinds in counted.items() if kinds]


def plan(files: Sequence[Path]) -> dict[str, Path]:
    """What each file's results begin with: its name without the suffix, or more of its path where that is taken."""
    stems = Counter(file.stem.casefold() for file in files)
    jobs: dict[str, Path] = {}
    taken: set[str] = set()
    for file in files:
        parent = Path(os.path.realpath(file)).parent.name
        forms = [file.stem] if stems[file.stem.casefold()] == 1 else []
        forms += [file.name, f"{parent}-{file.name}"]
        numbered = (f"{file.name}-{number}" for number in count(2))
        stem = next((form for form in forms if form.casefold() not in taken), None) or next(
            form for form in numbered if form.casefold() not in taken
        )
        taken.add(stem.casefold())
        jobs[stem] = file
    return jobs


def safe(stem: str, edit: str) -> str:
    """The file name of a result: no character that some system refuses, and not too long for any."""
    name = f"{stem}.{edit}"
    clean = "".join("_" if letter in '/\\:*?"<>|' or ord(letter) < 32 else letter for letter in name)
    raw = clean.encode("utf-8", "replace")
    if clean == name and len(raw) <= LONGEST:
        return f"{clean}.png"
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{raw[:LONGEST].decode('utf-8', 'ignore')}-{mark}.png"
