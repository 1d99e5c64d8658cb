"""The files of CelebA: where they are, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from mdtranslate import Split
from mdtranslate.errors import DataError

# Folders below the root that files may be in: torchvision's, and those of the published archive.
SUBFOLDERS: Final = ("", "celeba", "Anno", "Eval", "Img")
IMAGE_FOLDER: Final = "img_align_celeba"
LABEL_FILES: Final = ("list_attr_celeba.txt", "list_attr_celeba.csv")
SPLIT_FILES: Final = ("list_eval_partition.txt", "list_eval_partition.csv")

YES_NO: Final = {"1": True, "-1": False}
PARTITION: Final = {"0": Split.TRAIN, "1": Split.VAL, "2": Split.TEST}


class CelebAFiles:
    """The image folder and the two lists of a copy of CelebA; files are read when they are first needed."""

    def __init__(self, root: Path) -> None:
        """Initialises the paths.

        Args:
            root: The folder that holds the files, directly or in one of `SUBFOLDERS`.
        """
        self.root = root

    @cached_property
    def image_folder(self) -> Path:
        """The folder of the aligned images.

        Raises:
            DataError: There is none.
        """
        folder = self._find(IMAGE_FOLDER)
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; root must be the folder that holds it")
        nested = folder / IMAGE_FOLDER  # Kaggle's archive has the folder inside a folder of the same name.
        return nested if nested.is_dir() else folder

    def image_names(self) -> frozenset[str]:
        """Returns the names of the files in the image folder."""
        return frozenset(os.listdir(self.image_folder))  # noqa: PTH208  200,000 names.

    @cached_property
    def labels(self) -> Path:
        """The list of attributes.

        Raises:
            DataError: There is none.
        """
        file = self._find(*LABEL_FILES)
        if not file.exists():
            raise DataError(f"{self.root}: holds no {' or '.join(LABEL_FILES)}; root must be the folder that does")
        return file

    @cached_property
    def splits(self) -> Path:
        """The list of the official split, or the path where it is expected."""
        return self._find(*SPLIT_FILES)

    @cached_property
    def attribute_names(self) -> list[str]:
        """The names of the attributes in the header of the list.

        Raises:
            DataError: The header is not as published.
        """
        lines = _read_lines(self.labels)
        _, first = next(lines)
        if self._is_csv:
            if len(first) < 2:
                raise DataError(f"{self.labels}:1: expected a header with a column for the file and for each attribute")
            return first[1:]
        _, second = next(lines, (0, []))
        if len(first) != 1 or not first[0].isdecimal() or not second:
            raise DataError(f"{self.labels}:1: expected the number of images, and attribute names in the next line")
        return second

    @property
    def count(self) -> int:
        """The number of images in the list, by its header if it has one."""
        lines = _read_lines(self.labels)
        _, first = next(lines)
        return sum(1 for _ in lines) if self._is_csv else int(first[0])

    def rows(self) -> Iterator[tuple[int, str, dict[str, bool]]]:
        """Yields the line number, file name and attributes of each image in the list.

        Raises:
            DataError: A line is malformed, a file is listed twice, or the number of lines differs from the header.
        """
        names = self.attribute_names
        lines, seen = _read_lines(self.labels), set[str]()
        for _ in range(1 if self._is_csv else 2):
            next(lines)
        for line, (file, *cells) in lines:
            try:
                values = dict(zip(names, map(YES_NO.__getitem__, cells), strict=True))
            except (KeyError, ValueError):
                raise DataError(
                    f"{self.labels}:{line}: expected a file name and {len(names)} values of 1 or -1"
                ) from None
            if file in seen:
                raise DataError(f"{self.labels}:{line}: {file} is listed twice")
            seen.add(file)
            yield line, file, values
        if not self._is_csv and len(seen) != self.count:
            raise DataError(
                f"{self.labels}:1: announces {self.count} images, but {len(seen)} follow; the file may be truncated"
            )

    def partition(self) -> Iterator[tuple[str, Split]]:
        """Yields file names and their official splits.

        Raises:
            DataError: A line is malformed, or there is no such list.
        """
        lines = _read_lines(self.splits)
        if self.splits.suffix == ".csv":
            next(lines)
        for line, cells in lines:
            if len(cells) != 2 or cells[1] not in PARTITION:
                raise DataError(f"{self.splits}:{line}: expected a file name and 0, 1 or 2")
            yield cells[0], PARTITION[cells[1]]

    @property
    def _is_csv(self) -> bool:
        return self.labels.suffix == ".csv"

    def _find(self, *names: str) -> Path:
        """Returns the first of these files in any of the subfolders, or the path where it is expected."""
        candidates = (self.root / subfolder / name for subfolder in SUBFOLDERS for name in names)
        return next((path for path in candidates if path.exists()), self.root / names[0])


def _read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number and the words or cells of each line that is not blank.

    Raises:
        DataError: The file cannot be read, or is empty.
    """
    is_csv = path.suffix == ".csv"
    is_empty = True
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                words = [word.strip() for word in line.split(",")] if is_csv and line.strip() else line.split()
                if words:
                    is_empty = False
                    yield number, words
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not a text file") from None
    if is_empty:
        raise DataError(f"{path}: is empty")
