"""The dataset interface. It imports no torch, so worker processes that only decode images start fast."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator

from mdtranslate.api.attribute import Attribute, Value
from mdtranslate.api.component import Component, Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Split(StrEnum):
    """The three disjoint parts of a dataset."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"

    @classmethod
    def from_name(cls, name: str) -> Split | None:
        """Recognises the name of a split.

        Args:
            name: A folder name or a table cell: train, training, val, valid, validation, test or testing.

        Returns:
            The split, or None if `name` is none of these.
        """
        names = {"train": cls.TRAIN, "val": cls.VAL, "valid": cls.VAL, "validation": cls.VAL, "test": cls.TEST}
        return names.get(name.lower().removesuffix("ing"))

    @classmethod
    def from_hash(cls, key: str, *, val: float, test: float) -> Split:
        """Assigns a key to a split at random, by its hash alone: adding other images moves none.

        Args:
            key: The key of an image, or of its group.
            val: Share of the validation split, in [0, 1].
            test: Share of the test split, in [0, 1].

        Returns:
            The split, always the same for the same arguments.
        """
        digest = blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64
        return cls.TEST if position < test else cls.VAL if position < test + val else cls.TRAIN


@dataclass(frozen=True, slots=True)
class Record:
    """One image and what is known of its attributes.

    Attributes:
        key: Names the image within its dataset; unique and permanent.
        image: The image file, or None for a dataset that generates its images.
        attributes: The known attributes by name; an unknown one is missing.
    """

    key: str
    image: Path | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crop:
    """The square that is cut out of every image before it is resized, relative to the image's size.

    It is also applied to images that are translated later, whatever their size. A square that reaches over an edge is
    moved inside.

    Attributes:
        side: Side of the square as a fraction of the image's shorter side.
        x: Horizontal centre as a fraction of the width.
        y: Vertical centre as a fraction of the height.
    """

    side: float = 1.0
    x: float = 0.5
    y: float = 0.5


class Note(NamedTuple):
    """A remark about a dataset's files that its user should know.

    Attributes:
        kind: A stable identifier for programs, such as `unread-files`.
        message: What was found.
        remedy: What to do about it.
        files: The files it is about, if any.
    """

    kind: str
    message: str
    remedy: str
    files: tuple[str, ...] = ()


DECIDED_BY_CONTENT: dict[str, Any] = {"decided_by_content": True}
"""Marks a setting, as `Field(json_schema_extra=DECIDED_BY_CONTENT)`, that may change when a run is resumed.

It may as long as the images and labels that the dataset gives stay the same, such as a path.
"""


class Dataset(Component):
    """A source of labelled images.

    The smallest complete dataset::

        class Pets(Dataset):
            name = "pets"

            class Config(Dataset.Config):
                root: Path = Field(description="folder with train/cat/*.jpg, train/dog/*.jpg, ...")

            attributes = (Attribute("species", ("cat", "dog")),)

            def records(self, split):
                if not self.config.root.is_dir():
                    raise DataError(f"{self.config.root}: there is no such folder")
                for file in sorted((self.config.root / split).glob("*/*.jpg")):
                    yield Record(f"{split}/{file.parent.name}/{file.name}", file, {"species": file.parent.name})

    Attributes:
        attributes: Every attribute that the dataset knows. A run labels those that `config.attributes` names; the
            evaluation classifies all of them.
        version: Part of the cache key. Change it whenever the pixels of any record change.
        crop: The square that is cut out before resizing.
        credit: One line that names the source of the images, shown wherever they are shown; None for no credit.
    """

    class Config(Settings):
        """Settings of every dataset."""

        attributes: tuple[str, ...] | None = Field(
            None, description="names of the attributes to label; all that the dataset knows if left out"
        )

    class FileConfig(Config):
        """Settings of datasets that read image files; derive a `Config` from it to have them."""

        range: tuple[float, float] | None = Field(
            None,
            description="grey values that become black and white in images of more than 8 bits, such as [0, 4095] for "
            "12-bit scans; values outside are clipped. [0, 65535] if left out, [0, 1] for floats",
            json_schema_extra=DECIDED_BY_CONTENT,
        )

        @field_validator("range")
        @classmethod
        def _distinct(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
            if value is not None and value[0] == value[1]:
                raise ValueError(f"black and white are both {value[0]:g}")
            return value

    attributes: Sequence[Attribute] = ()
    version: str = "1"
    crop: Crop = Crop()
    credit: str | None = None

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading any image.

        Args:
            config: An instance of this class's `Config`.
        """
        self.config = config

    @abstractmethod
    def records(self, split: Split) -> Iterable[Record]:
        """Lists the records of a split, always in the same order, without reading any image.

        Raises:
            mdtranslate.errors.DataError: The files are not as the dataset expects; the message names one.
        """

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Grey values of its files as `(black, white)`; None means 0 and 65535, or 0 and 1 for floats."""
        return self.config.range if isinstance(self.config, Dataset.FileConfig) else None

    def notes(self) -> Iterable[Note]:
        """Returns remarks about files that are not among the records, or look unintended.

        A run prints them as warnings, and `mdtranslate doctor` lists them.
        """
        return ()

    def load(self, record: Record) -> NDArray[np.uint8]:
        """Loads an image; by default it decodes `record.image`.

        Returns:
            The image of shape `(H, W, 3)`, uint8, sRGB.

        Raises:
            mdtranslate.errors.DataError: The file cannot be read; the message names it.
        """
        from mdtranslate.utils.image_io import read_image

        if record.image is None:
            raise NotImplementedError(f"{type(self).__name__} gives records without a file, so it must override load()")
        return read_image(record.image, value_range=self.value_range)

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record | None:
        """Returns the record of the same image with `attributes` changed: the ground truth of an edit.

        Args:
            record: The record of the image before the edit.
            attributes: The changed attributes and their new values.

        Returns:
            The record, which `load` can load, or None where there is no such image (the default).
        """
        return None
