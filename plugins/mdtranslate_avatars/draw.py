"""Drawing: what picture a number stands for, and its pixels."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image
from python_avatars import (
    AccessoryType,
    Avatar,
    AvatarStyle,
    ClothingColor,
    ClothingGraphic,
    ClothingType,
    FacialHairType,
    HairType,
    NoseType,
)

from mdtranslate.api.dataset import Value
from mdtranslate_avatars import parts

VERSION: Final = "1"
"""Changes with everything that changes a pixel: the tables of parts, their order, the crop, the drawing."""

# The head in the library's drawing of 264 x 280: centre and side of the square that is shown.
CENTRE_X, CENTRE_Y, SIDE = 132.0, 105.0, 194.0
SHIFT, ZOOM = 6.0, 0.07

BLOCK, COLUMNS = 1024, 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture in words. Everything but `attributes` varies freely, and is chosen even where it does not show."""

    attributes: Mapping[str, Value]
    cut: HairType
    nose: NoseType
    glasses: AccessoryType
    beard: FacialHairType
    clothes: ClothingType
    clothes_color: str
    background: str
    shift_x: float
    shift_y: float
    side: float


def attributes(seed: int, index: int) -> dict[str, Value]:
    """The attributes of picture `index` of `seed`, both from 0: all five, each independent of the others."""
    words = _words(seed, index // BLOCK)[index % BLOCK]
    return {each.name: _pick(each.allowed, word) for each, word in zip(parts.ATTRIBUTES, words, strict=False)}


def portrait(seed: int, index: int) -> Portrait:
    """Picture `index` of `seed`: a pure function of the two."""
    words = iter(_words(seed, index // BLOCK)[index % BLOCK][len(parts.ATTRIBUTES) :])
    return Portrait(
        attributes=attributes(seed, index),
        cut=_pick(parts.CUTS, next(words)),
        nose=_pick(parts.NOSES, next(words)),
        glasses=_pick(parts.GLASSES, next(words)),
        beard=_pick(parts.BEARDS, next(words)),
        clothes=_pick(parts.CLOTHES, next(words)),
        clothes_color=_pick(parts.CLOTHES_COLORS, next(words)),
        background=_pick(parts.PAINTS, next(words)).format(
            _pick(parts.BACKGROUNDS, next(words)), _pick(parts.BACKGROUNDS, next(words))
        ),
        shift_x=SHIFT * _spread(next(words)),
        shift_y=SHIFT * _spread(next(words)),
        side=SIDE * (1 + ZOOM * _spread(next(words))),
    )


def svg(portrait: Portrait) -> str:
    """The drawing of `portrait`, a square. It holds no text, so it needs no font."""
    labels = portrait.attributes
    hair = parts.HAIR[str(labels["hair"])]
    expression = parts.EXPRESSIONS[str(labels["expression"])]
    # Every argument is named: what is left out, the library chooses at random or fills with what we do not want.
    avatar = Avatar(
        style=AvatarStyle.TRANSPARENT,
        background_color="none",
        top=portrait.cut,
        hat_color=ClothingColor.BLACK,
        eyebrows=expression.eyebrows,
        eyes=expression.eyes,
        nose=portrait.nose,
        mouth=expression.mouth,
        facial_hair=portrait.beard if labels["Facial_Hair"] else FacialHairType.NONE,
        skin_color=parts.SKIN[str(labels["skin"])],
        hair_color=hair,
        facial_hair_color=hair,
        accessory=portrait.glasses if labels["Eyeglasses"] else AccessoryType.NONE,
        clothing=portrait.clothes,
        clothing_color=portrait.clothes_color,
        shirt_graphic=ClothingGraphic.NONE,
        shirt_text="",
        title=None,
    ).render()
    x, y = CENTRE_X + portrait.shift_x - portrait.side / 2, CENTRE_Y + portrait.shift_y - portrait.side / 2
    side = f"{portrait.side:.3f}"
    root, rest = avatar.split(">", 1)  # the library's root element is kept: it names the namespaces that parts use
    root = re.sub(r' width=".*?" height=".*?" viewBox=".*?"', f' viewBox="{x:.3f} {y:.3f} {side} {side}"', root)
    paint = f'<rect x="{x:.3f}" y="{y:.3f}" width="{side}" height="{side}" fill="url(#bg)"/>'
    return f"{root}><defs>{portrait.background}</defs>{paint}{_unmask(rest)}"


def render(portrait: Portrait, size: int) -> NDArray[np.uint8]:
    """The pixels of `portrait`: [size, size, 3], uint8, sRGB."""
    png = resvg_py.svg_to_bytes(svg_string=svg(portrait), width=size, height=size, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB"))  # a copy: Pillow's own array is read-only


# The library colours a shape by a mask over a large rectangle. The same shape filled with that colour is the same
# picture (but for a dark fringe that it then lacks) and saves two thirds of the time that drawing takes.
_COLOURED = re.compile(
    r'<use (?:id="[^"]*" )?fill="[^"]*" xlink:href="(#[^"]*)" />\s*'
    r'<g id="[^"]*-Color" mask="[^"]*" fill="(#\w+)">\s*(?:<g [^>]*>\s*<rect [^>]*/>\s*</g>|<rect [^>]*/>)\s*</g>'
)


def _unmask(drawing: str) -> str:
    return _COLOURED.sub(r'<use fill="\2" xlink:href="\1" />', drawing)


@lru_cache(maxsize=64)
def _words(seed: int, block: int) -> list[list[int]]:
    """The random words, 64 bits each, of a block of pictures: [BLOCK][COLUMNS].

    Raw words of a named bit generator, because numpy keeps only those the same from version to version.
    """
    bits = np.random.PCG64(np.random.SeedSequence((seed, block)))
    words: list[list[int]] = np.asarray(bits.random_raw(BLOCK * COLUMNS)).reshape(BLOCK, COLUMNS).tolist()
    return words


def _pick(options: Sequence[T], word: int) -> T:
    return options[word * len(options) >> 64]


def _spread(word: int) -> float:
    """A number in [-1, 1)."""
    return word / 2**63 - 1
