"""Pictures in pairs, in the layouts of the released pix2pix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split, Value
from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import decode, find_pictures, holds_pictures, measure, subfolders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDES = ("A", "B")


class Aligned(Dataset):
    """Two pictures of one thing, side by side in a file or in two folders::

        facades/train/1.jpg     A on the left, B on the right        facades/A/train/1.jpg
        facades/test/1.jpg                                           facades/B/train/1.jpg

    Each pair is two records, its A and its B, of which each is the true picture of the other. What has no folder of its
    own, val or test, is drawn from the pairs to train on, each by its name alone.
    """

    name = "aligned"

    class Config(Dataset.FileConfig):
        root: Path = Field(description="folder that holds train/ with pictures of two halves, or A/ and B/ with train/")
        attribute: str = Field("side", pattern=r"^\w+$", description="what the attribute is called")
        values: tuple[str, str] = Field(("A", "B"), description="what the left and the right picture are called")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split, where it has no folder")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split, where it has no folder")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.root: Path = config.root
        if config.values[0] == config.values[1]:
            raise ValueError(f"values: both are {config.values[0]!r}")
        self.attributes = (Attribute(config.attribute, config.values),)

    def records(self, split: Split) -> Iterator[Record]:
        for own, folder in self._folders.items():
            if own not in (split, Split.TRAIN):
                continue
            for file in find_pictures(folder):
                name = file.relative_to(self.root).as_posix()
                if (self._drawn(name) if own is Split.TRAIN else own) is split:
                    yield self._record(file, name, 0)
                    yield self._record(file, name, 1)

    def load(self, record: Record) -> NDArray[np.uint8]:
        side = int(record.key.rpartition("#")[2])
        if self._apart:
            assert record.image is not None, "every record has a file"
            self._check_shapes(record.image)
            return decode(record.image, value_range=self.value_range)
        picture = super().load(record)
        width = picture.shape[1]
        if width % 2 or width < 2:
            raise DataError(f"{record.image}: is {width} pixels wide, which are no two halves")
        return picture[:, width // 2 :] if side else picture[:, : width // 2]

    def _check_shapes(self, image: Path) -> None:
        """Raises `DataError` where the images of a pair differ in shape: their squares would not show the same."""
        side, *rest = image.relative_to(self.root).parts
        other = self.root.joinpath("A" if side == "B" else "B", *rest)
        (width, height, _), (other_width, other_height, _) = measure(image), measure(other)
        if abs(width * other_height - height * other_width) > max(width, height, other_width, other_height):
            raise DataError(
                f"{image}: is {width} x {height} pixels and {other} {other_width} x {other_height}; images of a pair "
                "must have the same proportions to show the same parts"
            )

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record | None:
        """The other picture of the pair, or the same where it has that value."""
        if {*attributes} != {self.config.attribute} or record.image is None:
            return None
        name, _, _ = record.key.rpartition("#")
        side = self.config.values.index(attributes[self.config.attribute])
        return self._record(self.root / name, name, side)

    def _record(self, file: Path, name: str, side: int) -> Record:
        """`file` and `name` are of A where A and B have folders of their own."""
        image = file
        if self._apart and side:
            image = self.root / "B" / file.relative_to(self.root / "A")
        return Record(f"{name}#{side}", image, {self.config.attribute: self.config.values[side]})

    def _drawn(self, name: str) -> Split:
        """The split of a pair to train on, where others have no folder."""
        val = 0 if Split.VAL in self._folders else self.config.val
        return Split.drawn(name, val=val, test=0 if Split.TEST in self._folders else self.config.test)

    @cached_property
    def _apart(self) -> bool:
        """Whether A and B have folders of their own."""
        return all((self.root / side).is_dir() for side in SIDES)

    @cached_property
    def _folders(self) -> Mapping[Split, Path]:
        """The folder of each split. Raises `DataError` that names what `root` should be instead."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder")
        above = self.root / "A" if self._apart else self.root
        named = {each: split for each in subfolders(above) if (split := Split.called(each.name))}
        found = {split: each for each, split in named.items()}
        if len(found) < len(named):
            raise DataError(f"{above}: two folders are for the same split ({', '.join(each.name for each in named)})")
        for each in found.values():
            if all((each / side).is_dir() for side in SIDES):
                raise DataError(f"{self.root}: has {each.name}/A and {each.name}/B; pairs lie in A/train and B/train")
        if Split.TRAIN not in found:
            raise DataError(f"{self.root}: {self._missing()}")
        if not holds_pictures(found[Split.TRAIN]):
            raise DataError(f"{found[Split.TRAIN]}: holds no pictures")
        if self.root.name in SIDES and not self._apart:
            other = self.root.parent / ("B" if self.root.name == "A" else "A")
            if (other / find_pictures(found[Split.TRAIN])[0].relative_to(self.root)).is_file():
                raise DataError(f"{self.root}: is one side of the pairs; {self.root.parent} is the root to give")
        if self._apart:
            for folder in found.values():
                for file in find_pictures(folder):
                    if not (other := self.root / "B" / file.relative_to(above)).is_file():
                        raise DataError(f"{file}: has no partner; {other} is not there")
        return found

    def _missing(self) -> str:
        """What is wrong with a root that has no train/, in words."""
        if self._apart:
            return "has A/ and B/, but A/ has no train/; pairs lie in A/train and B/train"
        if Split.called(self.root.name) and holds_pictures(self.root, deep=False):
            return f"is one split; {self.root.parent} is the root to give"
        if side := next((each for each in SIDES if (self.root / each).is_dir()), None):
            return f"has {side}/ but no {'A' if side == 'B' else 'B'}/ for the other side of the pairs"
        for inner in subfolders(self.root):
            if Split.called(inner.name) is None and (
                (inner / "train").is_dir() or all((inner / side).is_dir() for side in SIDES)
            ):
                return f"is one level too high: {inner} looks like the root to give"
        what = "its pictures lie in no train/" if holds_pictures(self.root, deep=False) else "holds no train/"
        return f"{what}; pairs lie in train/, two pictures side by side, or in A/train and B/train"
