"""The Radboud Faces Database (Langner et al. 2010), from the files as they are distributed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from mdtranslate import Attribute, Crop, Dataset, Record, Split, Value
from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import find_pictures

EXPRESSIONS: Final = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
ANGLES: Final = ("000", "045", "090", "135", "180")
GAZES: Final = ("frontal", "left", "right")
MIRRORED: Final = (("000", "180"), ("045", "135"))  # Angles that a flip swaps.
WIDTH, HEIGHT = 681, 1024  # Of the pictures, in pixels.

Angle = Literal["000", "045", "090", "135", "180"]
Gaze = Literal["frontal", "left", "right"]

# Rafd090_01_Caucasian_female_angry_frontal.jpg: camera angle, person, group, gender, expression, gaze.
NAME: Final = re.compile(
    rf"Rafd(\d{{3}})_(\d+)_([A-Za-z]+)_(female|male)_({'|'.join(EXPRESSIONS)})_({'|'.join(GAZES)})", re.IGNORECASE
)


class _Face(NamedTuple):
    """What the name of a file tells."""

    file: Path
    person: str
    attributes: dict[str, Value]


class RaFD(Dataset):
    """67 people with eight expressions, seen from five angles with three directions of gaze.

    `root` holds the files under their own names, in folders or not, or a folder per expression with files of any name.
    The paper uses three angles (4,824 pictures, section 5.1), which is the default.
    """

    name = "rafd"
    credit = "pictures of the Radboud Faces Database (Langner et al. 2010)"

    class Config(Dataset.Config):
        root: Path = Field(Path("data/rafd"), description="folder that holds the pictures")
        angles: tuple[Angle, ...] = Field(
            ("045", "090", "135"), min_length=1, description="camera angles that are used; 090 looks at the face"
        )
        gazes: tuple[Gaze, ...] = Field(GAZES, min_length=1, description="directions of gaze that are used")
        split: Literal["person", "random"] = Field(
            "person",
            description="a tenth of the people to test on and a twentieth for val, so that no face is in two splits; "
            "or a tenth of the pictures, as the paper has it (no val split)",
        )
        crop: tuple[int, int, int] = Field(
            (340, 440, 640),
            description="the square that centres the face: its centre from the left, from above, and its side, in "
            "pixels of the 681 × 1024 pictures",
        )

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        x, y, side = config.crop
        if not (0 < side <= WIDTH and 0 <= x <= WIDTH and 0 <= y <= HEIGHT):
            raise ValueError(f"crop {list(config.crop)}: is no square in a picture of {WIDTH} × {HEIGHT}")
        self.crop = Crop(side / WIDTH, x / WIDTH, y / HEIGHT)

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        more = (
            Attribute(
                "gaze", tuple(each for each in GAZES if each in self.config.gazes), mirrored=(("left", "right"),)
            ),
            Attribute("angle", tuple(each for each in ANGLES if each in self.config.angles), mirrored=MIRRORED),
            Attribute("gender", ("female", "male")),
        )
        return (Attribute("expression", EXPRESSIONS), *(each for each in more if len(each.values) > 1))

    def records(self, split: Split) -> Iterator[Record]:
        named = {each.name for each in self.attributes}
        for face in self._faces:
            if self._home(face) is split:
                known = {name: value for name, value in face.attributes.items() if name in named}
                yield Record(face.file.relative_to(self.config.root).as_posix(), face.file, known)

    def _home(self, face: _Face) -> Split:
        if self.config.split == "random":
            return Split.drawn(face.file.name, val=0, test=0.1)
        if not face.person:
            raise DataError(
                f"{face.file}: does not name the person (Rafd090_01_Caucasian_female_angry_frontal.jpg does), so "
                "people cannot be kept apart; split=random draws pictures instead"
            )
        place = self._people.index(face.person)
        tenth = max(1, round(len(self._people) / 10))
        twentieth = max(1, round(len(self._people) / 20)) if len(self._people) > 2 else 0
        return Split.TEST if place < tenth else Split.VAL if place < tenth + twentieth else Split.TRAIN

    @cached_property
    def _people(self) -> list[str]:
        """Everybody, in an order that has nothing to do with their numbers."""
        return sorted({face.person for face in self._faces}, key=lambda person: blake2b(person.encode()).digest())

    @cached_property
    def _faces(self) -> list[_Face]:
        root: Path = self.config.root
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder")
        found = []
        for file in find_pictures(root):
            if {"train", "test"} & {part.lower() for part in file.relative_to(root).parts[:-1]}:
                raise DataError(f"{file}: lies in a split of its own; dataset 'folder' takes {root} as it is divided")
            face = _read(file)
            if face is None:
                raise DataError(
                    f"{file}: neither its name (as Rafd090_01_Caucasian_female_angry_frontal.jpg) nor its folder "
                    f"({EXPRESSIONS[0]}, ..., {EXPRESSIONS[-1]}) tells the expression"
                )
            angle = face.attributes.get("angle", self.config.angles[0])
            gaze = face.attributes.get("gaze", self.config.gazes[0])
            if angle in self.config.angles and gaze in self.config.gazes:
                found.append(face)
        if not found:
            raise DataError(f"{root}: holds no picture of the angles {', '.join(self.config.angles)}")
        return found


def _read(file: Path) -> _Face | None:
    """What a file's name, or the name of its folder, tells; None where it tells no expression."""
    if match := NAME.fullmatch(file.stem):
        angle, person, _, gender, expression, gaze = (part.lower() for part in match.groups())
        known: dict[str, Value] = {"expression": expression, "gaze": gaze, "angle": angle, "gender": gender}
        return _Face(file, person, known)
    folder = file.parent.name.lower()
    return _Face(file, "", {"expression": folder}) if folder in EXPRESSIONS else None
