"""Portraits by index, as a pure function of seed and index, and how they are rendered."""

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

from mdtranslate import Value
from mdtranslate_avatars import parts

VERSION: Final = "1"
"""Change it whenever pixels change: with the tables of parts, their order, the crop, or the rendering."""

# Centre and side of the square around the head in the library's drawing of 264 x 280 units, and how much they vary.
CENTRE_X, CENTRE_Y, SIDE = 132.0, 105.0, 194.0
SHIFT, ZOOM = 6.0, 0.07

# Random words are drawn for blocks of this many portraits, with this many words per portrait.
BLOCK_SIZE, WORDS_PER_PORTRAIT = 1024, 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Portrait:
    """Everything that determines a portrait. All but `attributes` vary freely, even where they are not visible.

    Attributes:
        attributes: The labelled attributes.
        cut: Haircut.
        nose: Nose.
        glasses: Kind of glasses, visible with `Eyeglasses`.
        beard: Kind of beard, visible with `Facial_Hair`.
        clothes: Clothes.
        clothes_color: Their colour.
        background: SVG paint of the background.
        shift_x: Horizontal shift of the crop in units of the drawing.
        shift_y: Vertical shift of the crop.
        side: Side of the crop.
    """

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


def sample_attributes(seed: int, index: int) -> dict[str, Value]:
    """Returns the attributes of a portrait, each independent of the others.

    Args:
        seed: Random seed of the dataset, 0 or more.
        index: Index of the portrait, 0 or more.
    """
    words = _random_words(seed, index // BLOCK_SIZE)[index % BLOCK_SIZE]
    pairs = zip(parts.ATTRIBUTES, words, strict=False)
    return {attribute.name: _pick(attribute.allowed_values, word) for attribute, word in pairs}


def sample_portrait(seed: int, index: int) -> Portrait:
    """Returns a portrait, a pure function of seed and index; see `sample_attributes`."""
    words = iter(_random_words(seed, index // BLOCK_SIZE)[index % BLOCK_SIZE][len(parts.ATTRIBUTES) :])
    return Portrait(
        attributes=sample_attributes(seed, index),
        cut=_pick(parts.CUTS, next(words)),
        nose=_pick(parts.NOSES, next(words)),
        glasses=_pick(parts.GLASSES, next(words)),
        beard=_pick(parts.BEARDS, next(words)),
        clothes=_pick(parts.CLOTHES, next(words)),
        clothes_color=_pick(parts.CLOTHES_COLORS, next(words)),
        background=_pick(parts.PAINTS, next(words)).format(
            _pick(parts.BACKGROUNDS, next(words)), _pick(parts.BACKGROUNDS, next(words))
        ),
        shift_x=SHIFT * _symmetric(next(words)),
        shift_y=SHIFT * _symmetric(next(words)),
        side=SIDE * (1 + ZOOM * _symmetric(next(words))),
    )


def to_svg(portrait: Portrait) -> str:
    """Returns a portrait as a square SVG image. It holds no text, so rendering needs no fonts."""
    attributes = portrait.attributes
    hair = parts.HAIR[str(attributes["hair"])]
    expression = parts.EXPRESSIONS[str(attributes["expression"])]
    # All arguments are given, because the library draws others at random or fills in unwanted defaults.
    avatar = Avatar(
        style=AvatarStyle.TRANSPARENT,
        background_color="none",
        top=portrait.cut,
        hat_color=ClothingColor.BLACK,
        eyebrows=expression.eyebrows,
        eyes=expression.eyes,
        nose=portrait.nose,
        mouth=expression.mouth,
        facial_hair=portrait.beard if attributes["Facial_Hair"] else FacialHairType.NONE,
        skin_color=parts.SKIN[str(attributes["skin"])],
        hair_color=hair,
        facial_hair_color=hair,
        accessory=portrait.glasses if attributes["Eyeglasses"] else AccessoryType.NONE,
        clothing=portrait.clothes,
        clothing_color=portrait.clothes_color,
        shirt_graphic=ClothingGraphic.NONE,
        shirt_text="",
        title=None,
    ).render()
    x, y = CENTRE_X + portrait.shift_x - portrait.side / 2, CENTRE_Y + portrait.shift_y - portrait.side / 2
    side = f"{portrait.side:.3f}"
    root, content = avatar.split(">", 1)  # Keep the root element, which declares namespaces.
    root = re.sub(r' width=".*?" height=".*?" viewBox=".*?"', f' viewBox="{x:.3f} {y:.3f} {side} {side}"', root)
    paint = f'<rect x="{x:.3f}" y="{y:.3f}" width="{side}" height="{side}" fill="url(#bg)"/>'
    return f"{root}><defs>{portrait.background}</defs>{paint}{_replace_masks(content)}"


def render(portrait: Portrait, size: int) -> NDArray[np.uint8]:
    """Renders a portrait to an image of shape `(size, size, 3)`, uint8, sRGB."""
    png = resvg_py.svg_to_bytes(svg_string=to_svg(portrait), width=size, height=size, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB"))  # A copy, because Pillow's array is read-only.


# The library colours a shape by masking a large rectangle. Filling the shape with the colour gives the same image,
# without a dark fringe, and saves two thirds of the rendering time.
_MASKED_SHAPE = re.compile(
    r'<use (?:id="[^"]*" )?fill="[^"]*" xlink:href="(#[^"]*)" />\s*'
    r'<g id="[^"]*-Color" mask="[^"]*" fill="(#\w+)">\s*(?:<g [^>]*>\s*<rect [^>]*/>\s*</g>|<rect [^>]*/>)\s*</g>'
)


def _replace_masks(content: str) -> str:
    return _MASKED_SHAPE.sub(r'<use fill="\2" xlink:href="\1" />', content)


@lru_cache(maxsize=64)
def _random_words(seed: int, block: int) -> list[list[int]]:
    """Returns 64-bit random words for a block of portraits, `[BLOCK_SIZE][WORDS_PER_PORTRAIT]`.

    They are raw words of a named bit generator, the only random numbers that NumPy keeps stable between versions.
    """
    bits = np.random.PCG64(np.random.SeedSequence((seed, block)))
    words: list[list[int]] = (
        np.asarray(bits.random_raw(BLOCK_SIZE * WORDS_PER_PORTRAIT)).reshape(BLOCK_SIZE, -1).tolist()
    )
    return words


def _pick(options: Sequence[T], word: int) -> T:
    """Returns one of the options, chosen by a 64-bit random word."""
    return options[word * len(options) >> 64]


def _symmetric(word: int) -> float:
    """Converts a 64-bit random word to a number in [-1, 1)."""
    return word / 2**63 - 1
