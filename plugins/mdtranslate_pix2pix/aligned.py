"""The dataset `aligned`: pairs of images, in the layouts of the released pix2pix code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdtranslate import (
    Attribute,
    Dataset,
    Record,
    Split,
    Value,
    find_images,
    has_images,
    list_subfolders,
    read_image,
    read_image_size,
)
from mdtranslate.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDES = ("A", "B")


class Aligned(Dataset):
    """Pairs of images of the same thing, side by side in one file or in two folders::

        facades/train/1.jpg     A on the left, B on the right        facades/A/train/1.jpg
        facades/test/1.jpg                                           facades/B/train/1.jpg

    Each pair is two records, `A` and `B`, of which each is the ground truth of the other's translation. Folders are
    named `train`, `val` and `test`. A split without a folder is drawn from the training pairs, by the hash of a pair's
    file name.
    """

    name = "aligned"

    class Config(Dataset.FileConfig):
        """Folder, names and splits."""

        root: Path = Field(
            description="folder that holds train/ with images side by side, or A/ and B/ that hold train/ each"
        )
        attribute: str = Field("side", pattern=r"^\w+$", description="name of the attribute")
        values: tuple[str, str] = Field(("A", "B"), description="names of the left (A) and the right (B) image")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split if it has no folder")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split if it has no folder")

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading any file.

        Raises:
            ValueError: Both values have the same name.
        """
        super().__init__(config)
        self.root: Path = config.root
        if config.values[0] == config.values[1]:
            raise ValueError(f"values: both are {config.values[0]!r}; choose two names")
        self.attributes = (Attribute(config.attribute, config.values),)

    def records(self, split: Split) -> Iterator[Record]:
        """Lists the records of a split, A and B of each pair in turn; see `Dataset.records`."""
        for folder_split, folder in self._folders.items():
            if folder_split not in (split, Split.TRAIN):
                continue
            for file in find_images(folder):
                name = file.relative_to(self.root).as_posix()
                if (self._draw_split(name) if folder_split is Split.TRAIN else folder_split) is split:
                    yield self._record(file, name, 0)
                    yield self._record(file, name, 1)

    def load(self, record: Record) -> NDArray[np.uint8]:
        """Loads the image of a record, or its half of the image; see `Dataset.load`.

        Raises:
            DataError: The image cannot be read or halved, or the images of the pair have different proportions.
        """
        side = int(record.key.rpartition("#")[2])
        if self._has_side_folders:
            assert record.image is not None, "every record has a file"
            self._check_proportions(record.image)
            return read_image(record.image, value_range=self.value_range)
        image = super().load(record)
        width = image.shape[1]
        if width % 2 or width < 2:
            raise DataError(f"{record.image}: is {width} pixels wide; two images side by side need an even width")
        return image[:, width // 2 :] if side else image[:, : width // 2]

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record | None:
        """Returns the record of the pair with this value."""
        if {*attributes} != {self.config.attribute} or record.image is None:
            return None
        name, _, _ = record.key.rpartition("#")
        side = self.config.values.index(attributes[self.config.attribute])
        return self._record(self.root / name, name, side)

    def _check_proportions(self, image: Path) -> None:
        """Raises `DataError` if the images of a pair differ in proportions: their crops would not match."""
        side, *rest = image.relative_to(self.root).parts
        other = self.root.joinpath("A" if side == "B" else "B", *rest)
        (width, height, _), (other_width, other_height, _) = read_image_size(image), read_image_size(other)
        if abs(width * other_height - height * other_width) > max(width, height, other_width, other_height):
            raise DataError(
                f"{image}: is {width} x {height} pixels and {other} {other_width} x {other_height}; images of a pair "
                "must have the same proportions to show the same parts"
            )

    def _record(self, file: Path, name: str, side: int) -> Record:
        """Returns one record of a pair; `file` and `name` are those of the whole image, or of image A."""
        image = file
        if self._has_side_folders and side:
            image = self.root / "B" / file.relative_to(self.root / "A")
        return Record(f"{name}#{side}", image, {self.config.attribute: self.config.values[side]})

    def _draw_split(self, name: str) -> Split:
        """Returns the split of a training pair, some of which are used for splits without a folder."""
        val = 0 if Split.VAL in self._folders else self.config.val
        return Split.from_hash(name, val=val, test=0 if Split.TEST in self._folders else self.config.test)

    @cached_property
    def _has_side_folders(self) -> bool:
        return all((self.root / side).is_dir() for side in SIDES)

    @cached_property
    def _folders(self) -> Mapping[Split, Path]:
        """The folder of each split, of image A where A and B have separate folders.

        Raises:
            DataError: The folders are not as expected; the message says which root is meant, where it can.
        """
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder")
        parent = self.root / "A" if self._has_side_folders else self.root
        split_of = {folder: split for folder in list_subfolders(parent) if (split := Split.from_name(folder.name))}
        folders = {split: folder for folder, split in split_of.items()}
        if len(folders) < len(split_of):
            names = ", ".join(folder.name for folder in split_of)
            raise DataError(f"{parent}: two folders are for the same split ({names}); merge them")
        for folder in folders.values():
            if all((folder / side).is_dir() for side in SIDES):
                raise DataError(
                    f"{self.root}: has {folder.name}/A and {folder.name}/B; move them to A/{folder.name} and "
                    f"B/{folder.name}"
                )
        if Split.TRAIN not in folders:
            raise DataError(f"{self.root}: {self._describe_missing_train_folder()}")
        if not has_images(folders[Split.TRAIN]):
            raise DataError(f"{folders[Split.TRAIN]}: holds no images")
        if self.root.name in SIDES and not self._has_side_folders:
            other_side = self.root.parent / ("B" if self.root.name == "A" else "A")
            if (other_side / find_images(folders[Split.TRAIN])[0].relative_to(self.root)).is_file():
                raise DataError(f"{self.root}: is one side of the pairs; use {self.root.parent} as root")
        if self._has_side_folders:
            self._check_partners(folders)
        return folders

    def _check_partners(self, folders: Mapping[Split, Path]) -> None:
        """Raises `DataError` if an image of A has none in B."""
        for folder in folders.values():
            for file in find_images(folder):
                partner = self.root / "B" / file.relative_to(self.root / "A")
                if not partner.is_file():
                    raise DataError(f"{file}: the other image of the pair, {partner}, is missing")

    def _describe_missing_train_folder(self) -> str:
        """Returns what is wrong with a root that has no train/."""
        if self._has_side_folders:
            return "has A/ and B/, but A/ has no train/; pairs belong into A/train and B/train"
        if Split.from_name(self.root.name) and has_images(self.root, recursive=False):
            return f"is one split; use {self.root.parent} as root"
        if side := next((side for side in SIDES if (self.root / side).is_dir()), None):
            return f"has {side}/ but no {'A' if side == 'B' else 'B'}/ for the other images of the pairs"
        for folder in list_subfolders(self.root):
            if Split.from_name(folder.name) is None and (
                (folder / "train").is_dir() or all((folder / side).is_dir() for side in SIDES)
            ):
                return f"is one level too high; {folder} may be the right root"
        problem = "its images are not in train/" if has_images(self.root, recursive=False) else "holds no train/"
        return f"{problem}; pairs belong into train/, two images side by side, or into A/train and B/train"
