"""Describes missing files of a dataset: how many, and whether they exist under similar names."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from mdtranslate.utils.image_folder import IMAGE_SUFFIXES

MAX_SEARCHED: Final = 1_000
"""Number of missing files for which similar names are searched."""


def describe_missing(files: Iterable[str], prefix: str = "") -> str:
    """Describes missing files.

    Args:
        files: Paths of all files of a dataset.
        prefix: Start of the text.

    Returns:
        How many files are missing and, if they exist under other names, how those differ; empty if none is missing.
    """
    count, missing = 0, list[str]()
    for file in files:
        count += 1
        if not os.path.exists(file):  # noqa: PTH110  Faster than pathlib for a million files.
            missing.append(file)
    if not missing:
        return ""
    names_in, counts, examples = cache(_names_in), Counter[str](), dict[str, str]()
    searched = missing[:MAX_SEARCHED]
    for file in searched:
        is_link = os.path.islink(file)  # noqa: PTH114
        similar, difference = (file, "are broken links") if is_link else _find_similar(file, names_in)
        if similar:
            counts[difference] += 1
            examples.setdefault(difference, similar)
    text = f"{prefix}{len(missing):,} of {count:,} files are missing"
    if (missing_folder := _missing_folder(Path(missing[0]))) is not None:
        text += f"; there is no folder {missing_folder}"
    for difference, frequency in counts.most_common(1):
        share = "all" if frequency == len(missing) else f"{frequency:,} of the first {len(searched):,}"
        text += f"; {share} {difference}, such as {examples[difference]}"
    return text


def _missing_folder(file: Path) -> Path | None:
    """Returns the topmost missing folder of a path."""
    return next((folder for folder in [*file.parents][::-1] if str(folder) and not folder.exists()), None)


def _find_similar(file: str, names_in: Callable[[str], Mapping[str, str]]) -> tuple[str, str]:
    """Finds a file whose path differs only in separators, Unicode form, case or suffix.

    Args:
        file: Path of a missing file.
        names_in: `_names_in`, cached.

    Returns:
        The path of the similar file and how it differs; empty strings if there is none.
    """
    path = _with_slashes(file)
    similar = Path(path.anchor)
    *folders, last = path.parts[1:] if path.anchor else path.parts
    for folder in folders:
        name = folder if (similar / folder).exists() else names_in(str(similar)).get(_normalised(folder))
        if name is None:
            return "", ""
        similar /= name
    names = names_in(str(similar))
    same_suffix = last if (similar / last).exists() else names.get(_normalised(last))
    other_suffix = names.get(f"{_normalised(Path(last).stem)}.*")
    if same_suffix is None and other_suffix is None:
        return "", ""
    similar /= same_suffix or other_suffix or ""
    return str(similar), f"exist, but {_difference(file, similar)}"


def _difference(file: str, similar: Path) -> str:
    """Describes how the path of an existing file differs from the path in the dataset."""
    path, similar_path = str(_with_slashes(file)), str(similar)
    differences = ["with / where the dataset writes backslashes"] if path != str(Path(file)) else []
    if path != similar_path:
        if unicodedata.normalize("NFC", similar_path) == unicodedata.normalize("NFC", path):
            differences.append("in another Unicode form (NFC or NFD)")
        elif similar_path.casefold() == path.casefold():
            differences.append("with other capitals")
        else:
            differences.append(f"with the suffix {similar.suffix}")
    return " and ".join(differences)


def _with_slashes(file: str) -> Path:
    return Path(file.replace("\\", "/"))


def _names_in(folder: str) -> dict[str, str]:
    """Returns the names in a folder by their normalised form; image files also by `stem.*`."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  Names, not paths.
    except OSError:
        return {}
    images = (name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES)
    by_stem = {f"{_normalised(Path(name).stem)}.*": name for name in images}
    return by_stem | {_normalised(name): name for name in names}


def _normalised(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
