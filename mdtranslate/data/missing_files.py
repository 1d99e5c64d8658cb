"""Files of a dataset that are not there: how many, and whether they are only called otherwise on the disk."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from mdtranslate.utils.image_io import IMAGE_SUFFIXES

LOOKED_FOR: Final = 1_000
"""Missing files of which another name is looked for."""


def describe_missing(files: Iterable[str], before: str = "") -> str:
    """How many of `files` are missing; and, where the disk has them by other names, how those differ.

    The text follows `before`; it is empty where none is missing.
    """
    count, missing = 0, list[str]()
    for file in files:
        count += 1
        if not os.path.exists(file):  # noqa: PTH110  Of a million.
            missing.append(file)
    if not missing:
        return ""
    names, ways, example = cache(_names), Counter[str](), dict[str, str]()
    looked_for = missing[:LOOKED_FOR]
    for file in looked_for:
        there, way = (file, "are links to nothing") if os.path.islink(file) else _elsewhere(file, names)  # noqa: PTH114
        if there:
            ways[way] += 1
            example.setdefault(way, there)
    said = f"{before}{len(missing):,} of {count:,} files are missing"
    if (top := _missing_folder(Path(missing[0]))) is not None:
        said += f"; there is no folder {top}"
    for way, often in ways.most_common(1):
        which = "all" if often == len(missing) else f"{often:,} of the first {len(looked_for):,}"
        said += f"; {which} {way}, such as {example[way]}"
    return said


def _missing_folder(file: Path) -> Path | None:
    """The uppermost folder of a path that is not there."""
    return next((each for each in [*file.parents][::-1] if str(each) and not each.exists()), None)


def _elsewhere(file: str, names: Callable[[str], Mapping[str, str]]) -> tuple[str, str]:
    """The file on the disk whose path differs only in separators, Unicode form, capitals or suffix; and how.

    Empty texts where there is none.
    """
    path = _slashes(file)
    found = Path(path.anchor)
    *folders, last = path.parts[1:] if path.anchor else path.parts
    for part in folders:
        like = part if (found / part).exists() else names(str(found)).get(_plain(part))
        if like is None:
            return "", ""
        found /= like
    there = names(str(found))
    same = last if (found / last).exists() else there.get(_plain(last))
    other = there.get(f"{_plain(Path(last).stem)}.*")
    if same is None and other is None:
        return "", ""
    found /= same or other or ""
    return str(found), f"are there, but {_difference(file, found)}"


def _difference(file: str, there: Path) -> str:
    """How the path of a file on the disk differs from the one that a dataset gives."""
    path, own = str(_slashes(file)), str(there)
    ways = ["with / where the dataset writes backslashes"] if path != str(Path(file)) else []
    if path != own:
        if unicodedata.normalize("NFC", own) == unicodedata.normalize("NFC", path):
            ways.append("in another Unicode form (NFC or NFD)")
        elif own.casefold() == path.casefold():
            ways.append("with other capitals")
        else:
            ways.append(f"with the suffix {there.suffix}")
    return " and ".join(ways)


def _slashes(file: str) -> Path:
    return Path(file.replace("\\", "/"))


def _names(folder: str) -> dict[str, str]:
    """What a folder holds, by plain names; images also without their suffixes, as `stem.*`."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  Names, not paths.
    except OSError:
        return {}
    images = (name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES)
    return {f"{_plain(Path(name).stem)}.*": name for name in images} | {_plain(name): name for name in names}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
