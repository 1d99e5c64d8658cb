"""The labelled attributes of portraits, and the parts of python-avatars that are used.

The tables are allow-lists. They leave out the library's hats, uniforms, printed shirts, sunglasses and other parts that
hide hair or eyes or say something about a person, and haircuts that show little hair or have a fixed colour. Changing a
table, or its order, changes the image of a key; then change `draw.VERSION`, too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from python_avatars import (
    AccessoryType,
    ClothingType,
    EyebrowType,
    EyeType,
    FacialHairType,
    HairType,
    MouthType,
    NoseType,
)

from mdtranslate import Attribute

# Not the library's colours: its hair and skin share shades, and hair of the colour of skin cannot be seen.
HAIR: Final = {"Black_Hair": "#15110F", "Blond_Hair": "#EBC650", "Brown_Hair": "#834017"}
SKIN: Final = {
    "Pale_Skin": "#FFE1C6",
    "Light_Skin": "#F2C49B",
    "Tan_Skin": "#D99A63",
    "Brown_Skin": "#B07040",
    "Dark_Skin": "#65453A",
}


class Expression(NamedTuple):
    """The parts that make an expression.

    Attributes:
        eyebrows: Eyebrows.
        eyes: Eyes.
        mouth: Mouth.
    """

    eyebrows: EyebrowType
    eyes: EyeType
    mouth: MouthType


# The "natural" eyebrows are thick; thin ones vanish at 64 pixels.
EXPRESSIONS: Final = {
    "angry": Expression(EyebrowType.ANGRY_NATURAL, EyeType.SQUINT, MouthType.GRIMACE),
    "contemptuous": Expression(EyebrowType.UP_DOWN_NATURAL, EyeType.SIDE, MouthType.TWINKLE),
    "disgusted": Expression(EyebrowType.ANGRY_NATURAL, EyeType.HAPPY, MouthType.CONCERNED),
    "fearful": Expression(EyebrowType.SAD_CONCERNED_NATURAL, EyeType.SURPRISED, MouthType.SCREAM_OPEN),
    "happy": Expression(EyebrowType.DEFAULT_NATURAL, EyeType.HAPPY, MouthType.BIG_SMILE),
    "neutral": Expression(EyebrowType.DEFAULT_NATURAL, EyeType.DEFAULT, MouthType.SERIOUS),
    "sad": Expression(EyebrowType.SAD_CONCERNED_NATURAL, EyeType.CLOSED, MouthType.SAD),
    "surprised": Expression(EyebrowType.RAISED_EXCITED_NATURAL, EyeType.SURPRISED, MouthType.DEFAULT),
}

ATTRIBUTES: Final = (
    Attribute("hair", tuple(HAIR)),
    Attribute("Eyeglasses"),
    Attribute("Facial_Hair"),
    Attribute("skin", tuple(SKIN)),
    Attribute("expression", tuple(EXPRESSIONS)),
)

CUTS: Final = (
    HairType.BOB,
    HairType.BUN,
    HairType.CAESAR,
    HairType.CAESAR_SIDE_PART,
    HairType.CURLY,
    HairType.FRO,
    HairType.LONG_NOT_TOO_LONG,
    HairType.SHAGGY_MULLET,
    HairType.SHORT_CURLY,
    HairType.SHORT_DREADS_1,
    HairType.SHORT_DREADS_2,
    HairType.SHORT_FLAT,
    HairType.SHORT_ROUND,
    HairType.SHORT_WAVED,
    HairType.STRAIGHT_1,
    HairType.STRAIGHT_STRAND,
    HairType.BUZZCUT,
    HairType.PIXIE,
    HairType.POMPADOUR,
    HairType.QUIFF,
)
NOSES: Final = (NoseType.DEFAULT, NoseType.SMALL, NoseType.WIDE)
GLASSES: Final = (AccessoryType.PRESCRIPTION_1, AccessoryType.PRESCRIPTION_2, AccessoryType.ROUND)
BEARDS: Final = (
    FacialHairType.BEARD_LIGHT,
    FacialHairType.BEARD_MAGESTIC,
    FacialHairType.BEARD_MEDIUM,
    FacialHairType.MOUSTACHE_FANCY,
    FacialHairType.MOUSTACHE_MAGNUM,
    FacialHairType.WICK_BEARD,
)
CLOTHES: Final = (
    ClothingType.BLAZER_SHIRT,
    ClothingType.BLAZER_SWEATER,
    ClothingType.COLLAR_SWEATER,
    ClothingType.HOODIE,
    ClothingType.OVERALL,
    ClothingType.SHIRT_CREW_NECK,
    ClothingType.SHIRT_SCOOP_NECK,
    ClothingType.SHIRT_V_NECK,
)
CLOTHES_COLORS: Final = (
    "#262E33", "#65C9FF", "#5199E4", "#25557C", "#E6E6E6", "#929598", "#3C4F5C", "#B1E2FF",
    "#A7FFC4", "#FFDEB5", "#FF488E", "#FF5C5C", "#FFFFFF", "#2E8B57", "#7B4FA3", "#C0392B",
)  # fmt: skip

# Unlike all hair and skin colours, so that the outline of the head is visible.
BACKGROUNDS: Final = (
    "#65C9FF", "#3B7DB8", "#1F4E79", "#8FD3C8", "#2F9E8F", "#1E6B5C", "#A8D672", "#5E9E3A",
    "#B9A3E3", "#7A5CC0", "#4A3B8C", "#F2A0C0", "#D1518A", "#E9EEF2", "#B4BEC8", "#6B7886",
)  # fmt: skip
_STOPS = '<stop stop-color="{0}"/><stop offset="1" stop-color="{1}"/>'
# SVG paints of the background for two colours {0} and {1}: plain, three linear gradients and a radial one.
PAINTS: Final = (
    '<linearGradient id="bg"><stop stop-color="{0}"/></linearGradient>',
    f'<linearGradient id="bg" x2="0" y2="1">{_STOPS}</linearGradient>',
    f'<linearGradient id="bg" x2="1" y2="1">{_STOPS}</linearGradient>',
    f'<linearGradient id="bg" x2="1">{_STOPS}</linearGradient>',
    f'<radialGradient id="bg" r="0.7">{_STOPS}</radialGradient>',
)
