"""CelebA (Liu et al., ICCV 2015), from the files as they are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split, Value
from mdtranslate.errors import DataError, RecipeError, nearest

WIDTH = 178  # Of the aligned pictures, in pixels; their height is 218.
SPLITS = {Split.TRAIN: "0", Split.VAL: "1", Split.TEST: "2"}


class CelebA(Dataset):
    """202,599 aligned faces with 40 yes/no attributes.

    `root` holds `img_align_celeba/`, `list_attr_celeba.txt` and `list_eval_partition.txt` (the split).
    """

    name = "celeba"

    class Config(Dataset.Config):
        root: Path = Field(Path("data/celeba"), description="folder that holds img_align_celeba/ and the two lists")
        crop: int = Field(178, ge=16, le=WIDTH, description="side of the centred square that is used, in pixels")
        exclusive: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(
            default_factory=dict,
            description='attributes joined into one of which at most one holds: {hair = ["Black_Hair", "Blond_Hair"]}',
        )

    credit = "pictures of CelebA (Liu et al. 2015), for non-commercial research only"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.crop = config.crop / WIDTH

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
        images = self.config.root / "img_align_celeba"
        if not images.is_dir():
            raise DataError(f"{images}: there is no such folder; the dataset's root should be the folder that holds it")
        partition = dict(self._partition())
        for number, file, values in self._rows():
            if file not in partition:
                raise DataError(f"{self._list}:{number}: {file} has no split in {self._splits}")
            if partition[file] == SPLITS[split]:
                yield Record(file, images / file, self._joined(values))

    @property
    def _list(self) -> Path:
        path: Path = self.config.root / "list_attr_celeba.txt"
        return path

    @property
    def _splits(self) -> Path:
        path: Path = self.config.root / "list_eval_partition.txt"
        return path

    @cached_property
    def _names(self) -> list[str]:
        lines = _lines(self._list)
        if len(lines) < 2 or len(lines[0][1]) != 1 or not lines[0][1][0].isdigit():
            raise DataError(f"{self._list}:1: needs the number of pictures, and the next line the attributes' names")
        return lines[1][1]

    def _rows(self) -> Iterator[tuple[int, str, dict[str, bool]]]:
        """Count line, header, then a file name and 1 or -1 per attribute, with irregular blanks between."""
        names = self._names
        (_, (count,)), _, *rows = _lines(self._list)
        if int(count) != len(rows):
            raise DataError(f"{self._list}:1: says {count} pictures, but {len(rows)} follow; is the file whole?")
        for number, (file, *values) in rows:
            if len(values) != len(names) or not {*values} <= {"1", "-1"}:
                raise DataError(f"{self._list}:{number}: needs a file name and {len(names)} times 1 or -1")
            yield number, file, {name: value == "1" for name, value in zip(names, values, strict=True)}

    def _partition(self) -> Iterator[tuple[str, str]]:
        for number, words in _lines(self._splits):
            if len(words) != 2 or words[1] not in SPLITS.values():
                raise DataError(f"{self._splits}:{number}: needs a file name and 0, 1 or 2")
            yield words[0], words[1]

    def _joined(self, values: Mapping[str, bool]) -> dict[str, Value]:
        """Groups hold their value, or none of these; a picture with two of a group is unknown in it."""
        known: dict[str, Value] = dict(values)
        for name, members in self.config.exclusive.items():
            present = [member for member in members if known.pop(member)]
            if len(present) < 2:
                known[name] = present[0] if present else None
        return known


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The words of every line that is not blank, with its number."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no text file") from None
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty")
    return lines
