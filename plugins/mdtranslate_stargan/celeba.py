"""CelebA (Liu et al., ICCV 2015), from the files as they are published, as Kaggle has them, and as torchvision has."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from mdtranslate import Attribute, Crop, Dataset, Note, Record, Split, Value
from mdtranslate.api.dataset import DECIDED_BY_CONTENT
from mdtranslate.errors import DataError, RecipeError, nearest

WIDTH: Final = 178  # Of the aligned pictures, in pixels; their height is 218.
MEANING: Final = {"1": True, "-1": False}
PARTITION: Final = {"0": Split.TRAIN, "1": Split.VAL, "2": Split.TEST}
STARGAN_TEST, STARGAN_SEED = 1_999, 1234
ATTGAN_TRAIN, ATTGAN_VAL = 182_000, 637

# Where things lie below the root: as published in one folder or in three, and torchvision's folder of its own.
PLACES: Final = ("", "celeba", "Anno", "Eval", "Img")
IMAGES: Final = "img_align_celeba"
LABELS: Final = ("list_attr_celeba.txt", "list_attr_celeba.csv")
SPLITS: Final = ("list_eval_partition.txt", "list_eval_partition.csv")


class CelebA(Dataset):
    """202,599 aligned faces with 40 yes/no attributes.

    `root` holds `img_align_celeba/`, `list_attr_celeba.txt` and `list_eval_partition.txt`, side by side or in `Img/`,
    `Anno/` and `Eval/` as published; or the `.csv` files of Kaggle; or torchvision's folder `celeba/` with the three.
    """

    name = "celeba"

    class Config(Dataset.Config):
        root: Path = Field(Path("data/celeba"), description="folder that holds img_align_celeba/ and the two lists")
        crop: int = Field(WIDTH, ge=16, le=WIDTH, description="side of the centred square that is used, in pixels")
        split: Literal["official", "stargan", "attgan"] = Field(
            "official",
            description="the published split; 1,999 test pictures drawn as StarGAN's released code draws them (no val "
            "split); or AttGAN's, 182,000 to train on, then 637 and 19,962",
        )
        exclusive: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(
            default_factory=dict,
            description='attributes joined into one of which at most one holds: {hair = ["Black_Hair", "Blond_Hair"]}',
        )

        partial: bool = Field(
            False,
            description="take the images that are there, of a copy that lacks some of the list",
            json_schema_extra=DECIDED_BY_CONTENT,
        )

    credit = "pictures of CelebA (Liu et al. 2015), for non-commercial research only"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.crop = Crop(config.crop / WIDTH)

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        names, joined = self._names, self.config.exclusive
        taken = [value for values in joined.values() for value in values]
        for value in taken:
            if value not in names or taken.count(value) > 1:
                wrong = "there twice" if value in names else f"not there: {nearest(value, names)}"
                raise RecipeError(f"datasets.celeba.exclusive: names {value!r}, which in {self._list} is {wrong}")
        if clash := sorted({*joined} & {*names}):
            raise RecipeError(f"datasets.celeba.exclusive: {clash[0]!r} is an attribute; call the group otherwise")
        groups = tuple(Attribute(name, values, optional=True) for name, values in joined.items())
        return groups + tuple(Attribute(name) for name in names if name not in taken)

    def records(self, split: Split) -> Iterable[Record]:
        images, home, there = self._images, self._home(), self._there
        for place, (number, file, values) in enumerate(self._rows()):
            if home(place, number, file) is split and (there is None or file in there):
                yield Record(file, images / file, self._joined(values))

    def notes(self) -> Iterator[Note]:
        there = self._there if self._there is not None else self._listed
        if len(there) >= self._count:  # A whole copy: 200,000 lines need not be read once more.
            return
        if lacking := sum(file not in there for _, file, _ in self._rows()):
            what = f"{lacking:,} of the {self._count:,} images in {self._list} are not in {self._images}"
            cure = "they are left out" if self.config.partial else "partial=true takes those that are there"
            yield Note("missing-files", what, cure, (str(self._images),))

    @property
    def _listed(self) -> frozenset[str]:
        return frozenset(os.listdir(self._images))  # noqa: PTH208  200,000 names.

    @cached_property
    def _there(self) -> frozenset[str] | None:
        """The files that are there, of a copy that may lack some; None for one that must not."""
        return self._listed if self.config.partial else None

    def _home(self) -> Callable[[int, int, str], Split]:
        """The split of a picture by its place in the list, the number of its line, and its file's name."""
        if self.config.split == "official":
            partition = dict(self._partition())

            def official(place: int, number: int, file: str) -> Split:
                if file not in partition:
                    raise DataError(f"{self._list}:{number}: {file} has no split in {self._splits}")
                return partition[file]

            return official
        count = self._count
        least = STARGAN_TEST + 1 if self.config.split == "stargan" else ATTGAN_TRAIN + ATTGAN_VAL + 1
        if count < least:
            raise DataError(f"{self._list}: has {count} pictures; split={self.config.split} needs {least} at least")
        if self.config.split == "attgan":
            edge = ATTGAN_TRAIN + ATTGAN_VAL
            return lambda place, *_: Split.TRAIN if place < ATTGAN_TRAIN else Split.VAL if place < edge else Split.TEST
        # The released code shuffles the lines of the list after `random.seed(1234)`; the first 1,999 are its test set.
        shuffled = list(range(count))
        random.Random(STARGAN_SEED).shuffle(shuffled)
        test = set(shuffled[:STARGAN_TEST])
        return lambda place, *_: Split.TEST if place in test else Split.TRAIN

    def _find(self, *names: str) -> Path:
        """The first of `names` that is there, in any of the places where it may be; else where it should be."""
        root: Path = self.config.root
        found = (root / place / name for place in PLACES for name in names)
        return next((each for each in found if each.exists()), root / names[0])

    @cached_property
    def _images(self) -> Path:
        folder = self._find(IMAGES)
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; the dataset's root should be the folder that holds it")
        return folder / IMAGES if (folder / IMAGES).is_dir() else folder  # Kaggle's archive has it twice.

    @cached_property
    def _list(self) -> Path:
        found = self._find(*LABELS)
        if not found.exists():
            raise DataError(f"{self.config.root}: holds no {' or '.join(LABELS)}; give the folder that does as root")
        return found

    @cached_property
    def _splits(self) -> Path:
        return self._find(*SPLITS)

    @cached_property
    def _names(self) -> list[str]:
        lines = _lines(self._list)
        _, first = next(lines)
        if self._list.suffix == ".csv":
            if len(first) < 2:
                raise DataError(f"{self._list}:1: needs the names of the columns, the file's and each attribute's")
            return first[1:]
        _, second = next(lines, (0, []))
        if len(first) != 1 or not first[0].isdecimal() or not second:
            raise DataError(f"{self._list}:1: needs the number of pictures, and the next line the attributes' names")
        return second

    @property
    def _count(self) -> int:
        """The pictures in the list."""
        lines = _lines(self._list)
        _, first = next(lines)
        return int(first[0]) if self._list.suffix != ".csv" else sum(1 for _ in lines)

    def _rows(self) -> Iterator[tuple[int, str, dict[str, bool]]]:
        """Number of the line, file and attributes: after the header, a file name and 1 or -1 per attribute."""
        names, csv = self._names, self._list.suffix == ".csv"
        lines, count, seen = _lines(self._list), 0, set[str]()
        for _ in range(1 if csv else 2):
            next(lines)
        for number, (file, *values) in lines:
            try:
                known = dict(zip(names, map(MEANING.__getitem__, values), strict=True))
            except (KeyError, ValueError):
                what = f"needs a file name and {len(names)} times 1 or -1"
                raise DataError(f"{self._list}:{number}: {what}") from None
            if file in seen:
                raise DataError(f"{self._list}:{number}: {file} is there twice")
            seen.add(file)
            count += 1
            yield number, file, known
        if not csv and count != self._count:
            raise DataError(f"{self._list}:1: says {self._count} pictures, but {count} follow; is the file whole?")

    def _partition(self) -> Iterator[tuple[str, Split]]:
        lines = _lines(self._splits)
        if self._splits.suffix == ".csv":
            next(lines)
        for number, words in lines:
            if len(words) != 2 or words[1] not in PARTITION:
                raise DataError(f"{self._splits}:{number}: needs a file name and 0, 1 or 2")
            yield words[0], PARTITION[words[1]]

    def _joined(self, values: Mapping[str, bool]) -> dict[str, Value]:
        """Groups hold their value, or none of these; a picture with two of a group is unknown in it."""
        known: dict[str, Value] = dict(values)
        for name, members in self.config.exclusive.items():
            present = [member for member in members if known.pop(member)]
            if len(present) < 2:
                known[name] = present[0] if present else None
        return known


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of every line that is not blank, with its number. Raises `DataError` where there is none."""
    csv = path.suffix == ".csv"
    empty = True
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                words = [word.strip() for word in line.split(",")] if csv and line.strip() else line.split()
                if words:
                    empty = False
                    yield number, words
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no text file") from None
    if empty:
        raise DataError(f"{path}: is empty")
