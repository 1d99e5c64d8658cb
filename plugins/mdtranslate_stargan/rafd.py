"""The Radboud Faces Database (Langner et al. 2010), from its files as they are distributed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from mdtranslate import Attribute, Crop, Dataset, Record, Split, Value, find_images
from mdtranslate.errors import DataError

EXPRESSIONS: Final = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
ANGLES: Final = ("000", "045", "090", "135", "180")
GAZES: Final = ("frontal", "left", "right")
MIRRORED_ANGLES: Final = (("000", "180"), ("045", "135"))
WIDTH, HEIGHT = 681, 1024  # Of the images, in pixels.

Angle = Literal["000", "045", "090", "135", "180"]
Gaze = Literal["frontal", "left", "right"]

# Camera angle, person, group, gender, expression, gaze.
EXAMPLE_NAME: Final = "Rafd090_01_Caucasian_female_angry_frontal.jpg"
NAME_PATTERN: Final = re.compile(
    rf"Rafd(\d{{3}})_(\d+)_([A-Za-z]+)_(female|male)_({'|'.join(EXPRESSIONS)})_({'|'.join(GAZES)})", re.IGNORECASE
)


class _Face(NamedTuple):
    """An image file and what its name says; `person` is empty if unknown."""

    file: Path
    person: str
    attributes: dict[str, Value]


class RaFD(Dataset):
    """The Radboud Faces Database: 67 people with eight expressions, from five angles and with three gaze directions.

    `root` holds the files under their original names, in any folders, or one folder per expression with files of any
    name. The default is the three camera angles of the StarGAN paper (Choi et al. 2018, section 5.1): 4,824 images.

    Attributes: `expression`; and `gaze`, `angle` and `gender` where the images differ in them.
    """

    name = "rafd"
    credit = "images of the Radboud Faces Database (Langner et al. 2010)"

    class Config(Dataset.Config):
        """Folder, selection, split and crop."""

        root: Path = Field(Path("data/rafd"), description="folder that holds the images")
        angles: tuple[Angle, ...] = Field(
            ("045", "090", "135"), min_length=1, description="camera angles to use, in degrees; 090 is frontal"
        )
        gazes: tuple[Gaze, ...] = Field(GAZES, min_length=1, description="gaze directions to use")
        split: Literal["person", "random"] = Field(
            "person",
            description="person: a tenth of the people for test and a twentieth for val, so that no face is in two "
            "splits; random: a tenth of the images for test, as in the StarGAN paper, and no val split",
        )
        crop: tuple[int, int, int] = Field(
            (340, 440, 640),
            description="square to cut out of the 681 × 1024 images: x and y of its centre, and its side, in pixels",
        )

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading any file.

        Raises:
            ValueError: The crop is not inside the images.
        """
        super().__init__(config)
        x, y, side = config.crop
        if not (0 < side <= WIDTH and 0 <= x <= WIDTH and 0 <= y <= HEIGHT):
            raise ValueError(f"crop {list(config.crop)}: is not a square in an image of {WIDTH} × {HEIGHT} pixels")
        self.crop = Crop(side / WIDTH, x / WIDTH, y / HEIGHT)

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        """`expression`, and those of `gaze`, `angle` and `gender` that have several values in this selection."""
        gazes = tuple(gaze for gaze in GAZES if gaze in self.config.gazes)
        angles = tuple(angle for angle in ANGLES if angle in self.config.angles)
        others = (
            Attribute("gaze", gazes, mirrored=(("left", "right"),)),
            Attribute("angle", angles, mirrored=MIRRORED_ANGLES),
            Attribute("gender", ("female", "male")),
        )
        return (Attribute("expression", EXPRESSIONS), *(other for other in others if len(other.values) > 1))

    def records(self, split: Split) -> Iterator[Record]:
        """Lists the records of a split, by file name; see `Dataset.records`."""
        names = {attribute.name for attribute in self.attributes}
        for face in self._faces:
            if self._split_of(face) is split:
                values = {name: value for name, value in face.attributes.items() if name in names}
                yield Record(face.file.relative_to(self.config.root).as_posix(), face.file, values)

    def _split_of(self, face: _Face) -> Split:
        if self.config.split == "random":
            return Split.from_hash(face.file.name, val=0, test=0.1)
        if not face.person:
            raise DataError(
                f"{face.file}: its name does not tell the person ({EXAMPLE_NAME} does), so split=person is not "
                "possible; use split=random"
            )
        position = self._people.index(face.person)
        test_count = max(1, round(len(self._people) / 10))
        val_count = max(1, round(len(self._people) / 20)) if len(self._people) > 2 else 0
        if position < test_count:
            return Split.TEST
        return Split.VAL if position < test_count + val_count else Split.TRAIN

    @cached_property
    def _people(self) -> list[str]:
        """All people, in the order of the hashes of their numbers."""
        return sorted({face.person for face in self._faces}, key=lambda person: blake2b(person.encode()).digest())

    @cached_property
    def _faces(self) -> list[_Face]:
        root: Path = self.config.root
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder")
        faces = []
        for file in find_images(root):
            if {"train", "test"} & {folder.lower() for folder in file.relative_to(root).parts[:-1]}:
                raise DataError(
                    f"{file}: is in a folder named as a split; use dataset 'folder' for {root}, which keeps these "
                    "splits"
                )
            face = _parse_face(file)
            if face is None:
                raise DataError(
                    f"{file}: neither its name (such as {EXAMPLE_NAME}) nor its folder "
                    f"({EXPRESSIONS[0]}, ..., {EXPRESSIONS[-1]}) tells the expression"
                )
            angle = face.attributes.get("angle", self.config.angles[0])
            gaze = face.attributes.get("gaze", self.config.gazes[0])
            if angle in self.config.angles and gaze in self.config.gazes:
                faces.append(face)
        if not faces:
            angles, gazes = ", ".join(self.config.angles), ", ".join(self.config.gazes)
            raise DataError(f"{root}: holds no images of the angles {angles} with the gazes {gazes}")
        return faces


def _parse_face(file: Path) -> _Face | None:
    """Reads a file's name, or else the name of its folder; returns None if neither tells the expression."""
    if match := NAME_PATTERN.fullmatch(file.stem):
        angle, person, _, gender, expression, gaze = (word.lower() for word in match.groups())
        values: dict[str, Value] = {"expression": expression, "gaze": gaze, "angle": angle, "gender": gender}
        return _Face(file, person, values)
    folder = file.parent.name.lower()
    return _Face(file, "", {"expression": folder}) if folder in EXPRESSIONS else None
