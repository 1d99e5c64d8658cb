"""The dataset contract. It needs no torch: workers that decode pictures start fast."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator

from mdtranslate.api.component import Component, Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = bool | str | None
"""What an attribute can be: True or False (yes/no), one of its values, or None for "none of these".

An attribute that is missing from a mapping is *unknown*, which is none of the above.
"""


class Split(StrEnum):
    """The three disjoint parts of a dataset."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"

    @classmethod
    def called(cls, word: str) -> Split | None:
        """What a folder's name or a word of a table means: train, training, val, valid, validation, test or testing."""
        words = {"train": cls.TRAIN, "val": cls.VAL, "valid": cls.VAL, "validation": cls.VAL, "test": cls.TEST}
        return words.get(word.lower().removesuffix("ing"))

    @classmethod
    def drawn(cls, key: str, *, val: float, test: float) -> Split:
        """A split at random that depends on `key` alone, so that a picture stays in its own when others are added.

        `val`, `test`: the shares of those splits.
        """
        digest = blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        return cls.TEST if place < test else cls.VAL if place < test + val else cls.TRAIN


@dataclass(frozen=True, slots=True)
class Attribute:
    """A labelled property of an image.

    `values` empty: yes/no (`Male`). Otherwise exactly one of `values` holds (`hair`), or, where `optional`, none of
    them (a bald head). `mirrored`: pairs of values that a horizontal flip swaps, such as `(("left", "right"),)` of a
    gaze. Images whose mirror image would have a value that is not among `values` are not flipped in training.
    """

    name: str
    values: tuple[str, ...] = ()
    optional: bool = False
    mirrored: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.values, str):
            raise TypeError(f"values of {self.name} are the text {self.values!r}; a tuple is right, ({self.values!r},)")
        swapped = [value for pair in self.mirrored for value in pair]
        if len({*swapped}) < len(swapped) or any(len(pair) != 2 for pair in self.mirrored):
            raise ValueError(f"mirrored of {self.name} is {self.mirrored}; pairs of values are right, each value once")

    @property
    def choices(self) -> tuple[Value, ...]:
        """Every value that a picture can have, in the order of the label codes 0, 1, 2, ..."""
        if not self.values:
            return (False, True)
        return (None, *self.values)

    @property
    def allowed(self) -> tuple[Value, ...]:
        """`choices`, less the "none of these" of an attribute that is not optional."""
        return self.choices if not self.values or self.optional else self.values

    def code(self, value: Value) -> int:
        """The position of `value` in `choices`. Raises `ValueError` for a value that the attribute cannot have."""
        if not self.values and isinstance(value, bool):
            return int(value)
        if isinstance(value, str) and value in self.values:
            return 1 + self.values.index(value)
        if value is None and self.optional and self.values:
            return 0
        raise ValueError(f"{value!r} is no value of {self.name}; it has {', '.join(map(repr, self.allowed))}")

    def mirror(self, value: Value) -> Value:
        """The value that the mirror image of an image with `value` has."""
        return next((pair[pair[0] == value] for pair in self.mirrored if value in pair), value)

    def parse(self, text: str) -> Value:
        """The value that a person means by `text`: yes, no, none, or a value by name. Raises `ValueError`."""
        exact = {spell(value): value for value in self.allowed}
        if text in exact:
            return exact[text]
        words: dict[str, Value] = {spell(value).lower(): value for value in self.allowed}
        if not self.values:
            words |= {"true": True, "false": False, "1": True, "0": False, "-1": False}
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"{text!r} is no value of {self.name}; it has {', '.join(map(spell, self.allowed))}")
        return words[word]


def spell(value: Value) -> str:
    """A value as people write it on the command line: yes, no, none, or its name."""
    return {True: "yes", False: "no", None: "none"}[value] if not isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Record:
    """One image and what is known of its attributes.

    `key` names the image within its dataset for ever. `image` is the file, None for a dataset that draws its images.
    `attributes` holds only what is known.
    """

    key: str
    image: Path | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a picture: `side` is a share of the picture's shorter side, (`x`, `y`) its centre in shares of both.

    Shares, not pixels: it is cut out of pictures of any size that are translated later, too. Where it would reach
    over an edge it is moved inside.
    """

    side: float = 1.0
    x: float = 0.5
    y: float = 0.5


class Note(NamedTuple):
    """Something about a dataset's files that its user should know."""

    kind: str
    """What programs know it by, such as `unread-files`."""
    what: str
    cure: str
    files: tuple[str, ...] = ()
    """Those that it is about, where there are any."""


DECIDED_BY_CONTENT: dict[str, Any] = {"decided_by_content": True}
"""Marks a setting (`Field(json_schema_extra=...)`) that a run may change as long as images and labels stay the same."""


class Dataset(Component):
    """A source of labelled images.

    The smallest one, complete::

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
    """

    class Config(Settings):
        """Settings that every dataset has."""

        attributes: tuple[str, ...] | None = Field(
            None, description="names of the attributes that this run labels; all that the dataset knows if left out"
        )

    class FileConfig(Config):
        """Settings of datasets that read image files: a `Config` that derives from it has them."""

        range: tuple[float, float] | None = Field(
            None,
            description="grey values that are black and white in images of more than 8 bits, such as [0, 4095] for "
            "scans of 12; values beyond are black or white, too. [0, 65535] if left out, [0, 1] for floats",
            json_schema_extra=DECIDED_BY_CONTENT,
        )

        @field_validator("range")
        @classmethod
        def _apart(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
            if value is not None and value[0] == value[1]:
                raise ValueError(f"black and white are both {value[0]:g}")
            return value

    attributes: Sequence[Attribute] = ()
    """Everything the dataset knows, labelled in this run or not (evaluation judges all of it)."""

    version: str = "1"
    """Changes whenever the pixels of any record would: it enters the key of the packed cache."""

    crop: Crop = Crop()
    """The square that is cut out before resizing."""

    credit: str | None = None
    """A line that names whose pictures these are, shown where they are shown."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def records(self, split: Split) -> Iterable[Record]:
        """The records of one split, always in the same order. Cheap: reads no picture.

        Raises `mdtranslate.errors.DataError` where the files are not what the dataset expects.
        """

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The grey values that are black and white in its files; None for those of the files' type."""
        return self.config.range if isinstance(self.config, Dataset.FileConfig) else None

    def notes(self) -> Iterable[Note]:
        """What of the files is not among the records, or is unlikely to be meant: a run warns, the doctor lists it."""
        return ()

    def load(self, record: Record) -> NDArray[np.uint8]:
        """The picture of `record`: [H, W, 3], uint8, sRGB. By default decodes `record.image`."""
        from mdtranslate.utils.image_io import decode

        if record.image is None:
            raise NotImplementedError(f"{type(self).__name__} gives records without a file, so it must override load()")
        return decode(record.image, value_range=self.value_range)

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record | None:
        """The same picture with `attributes` changed, where it can be had; None where it cannot."""
        return None
