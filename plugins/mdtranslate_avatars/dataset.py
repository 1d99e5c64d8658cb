"""The dataset `avatars`: rendered portraits with exact labels and counterfactuals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mdtranslate import Dataset, Record, Split, Value, format_value
from mdtranslate_avatars import draw, parts
from mdtranslate_avatars.styles import STYLES

# Index of the first portrait of each split; no split can hold 10**8, so splits never overlap.
_FIRST_INDEX: Final = {split: position * 10**8 for position, split in enumerate(Split)}
_ATTRIBUTES: Final = {attribute.name: attribute for attribute in parts.ATTRIBUTES}


class Avatars(Dataset):
    """Rendered portraits with exact labels; no files are needed.

    The attributes hair, Eyeglasses, Facial_Hair, skin and expression are labelled and independent of each other.
    Haircut, clothes, background, kind of glasses and beard, position and size vary freely. Every portrait exists with
    any other values of its attributes and all else unchanged, so edits have ground truth.

    Records have keys such as `test/000003`, which always give the same portrait for the same settings, however many
    portraits there are.
    """

    name = "avatars"
    attributes = parts.ATTRIBUTES
    credit = "Avatars by Pablo Stanley (avataaars.com), drawn with python-avatars"

    class Config(Dataset.Config):
        """Number, size and style of the portraits."""

        seed: int = Field(0, ge=0, lt=2**63, description="random seed of the portraits")
        train: int = Field(4000, ge=1, le=10_000_000, description="number of training portraits")
        val: int = Field(256, ge=1, le=10_000_000, description="number of validation portraits")
        test: int = Field(512, ge=1, le=10_000_000, description="number of test portraits")
        size: int = Field(128, ge=32, le=1024, description="height and width of the portraits in pixels")
        style: Literal["plain", "film"] = Field(
            "plain",
            description="plain: as rendered; film: with a tint, film grain and a fixed background, as if taken by "
            "another camera",
        )

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without rendering anything."""
        super().__init__(config)
        library, renderer = (version(package) for package in ("python-avatars", "resvg-py"))
        self.version = f"{draw.VERSION}-{library}-{renderer}-seed{config.seed}-size{config.size}-{config.style}"

    def records(self, split: Split) -> Iterator[Record]:
        """Lists the portraits of a split; see `Dataset.records`."""
        split = Split(split)
        for number in range(getattr(self.config, split.value)):
            attributes = draw.sample_attributes(self.config.seed, _FIRST_INDEX[split] + number)
            yield Record(f"{split.value}/{number:06d}", None, attributes)

    def load(self, record: Record) -> NDArray[np.uint8]:
        """Renders the portrait that a record's key names, with the record's attributes.

        Returns:
            The image of shape `(size, size, 3)`, uint8, sRGB.

        Raises:
            ValueError: The key is not one of this dataset, or portraits do not have such an attribute or value.
        """
        index = _portrait_index(record.key)
        portrait = draw.sample_portrait(self.config.seed, index)
        portrait = replace(portrait, attributes={**portrait.attributes, **_check_attributes(record.attributes)})
        style = STYLES.get(self.config.style)
        if style is None:
            return draw.render(portrait, self.config.size)
        pixels = draw.render(style.replace_background(portrait), self.config.size)
        return style.process(pixels, self.config.seed, index)

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record:
        """Returns the record of the same portrait with `attributes` changed.

        Raises:
            ValueError: Portraits do not have such an attribute or value.
        """
        original = draw.sample_attributes(self.config.seed, _portrait_index(record.key))
        values = {**original, **_check_attributes(record.attributes), **_check_attributes(attributes)}
        changes = "&".join(f"{name}={format_value(value)}" for name, value in values.items() if value != original[name])
        key = record.key.partition("?")[0]
        return Record(f"{key}?{changes}" if changes else key, None, values)


def _portrait_index(key: str) -> int:
    """Returns the index of the portrait with a key such as `test/000003` or `test/000003?hair=Blond_Hair`."""
    match = re.fullmatch(r"(train|val|test)/(\d{6,8})(\?.*)?", key, re.ASCII)
    if match is None:
        raise ValueError(f"{key!r} is not the key of an avatar; keys look like 'test/000003'")
    return _FIRST_INDEX[Split(match[1])] + int(match[2])


def _check_attributes(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    """Returns the attributes; raises `ValueError` if portraits do not have one of them, or its value."""
    for name, value in attributes.items():
        if name not in _ATTRIBUTES:
            raise ValueError(f"avatars have no attribute {name!r}; they have {', '.join(_ATTRIBUTES)}")
        _ATTRIBUTES[name].index(value)
    return attributes
