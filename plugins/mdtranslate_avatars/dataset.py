"""The dataset `avatars`: labelled portraits without a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mdtranslate.api.dataset import Dataset, Record, Split, Value, spell
from mdtranslate_avatars import draw, parts
from mdtranslate_avatars.styles import LOOKS

# Where each split's pictures begin. No split can hold 10**8, so no picture is in two of them.
_FIRST: Final = {split: number * 10**8 for number, split in enumerate(Split)}
_ATTRIBUTES: Final = {attribute.name: attribute for attribute in parts.ATTRIBUTES}


class Avatars(Dataset):
    """Drawn portraits with exact labels.

    Hair, glasses, facial hair, skin and expression are labelled and independent of each other; cut, clothes,
    background, the kind of glasses and beard, position and size vary freely. Every attribute of a portrait can be
    changed while all else stays, so a translation can be compared with the picture that it should be.
    """

    name = "avatars"
    attributes = parts.ATTRIBUTES
    credit = "Avatars by Pablo Stanley (avataaars.com), drawn with python-avatars"

    class Config(Dataset.Config):
        """How many portraits, how large, and which."""

        seed: int = Field(0, ge=0, lt=2**63, description="chooses the portraits: another seed, other people")
        train: int = Field(4000, ge=1, le=10_000_000, description="number of portraits to train on")
        val: int = Field(256, ge=1, le=10_000_000, description="number of portraits for choosing between runs")
        test: int = Field(512, ge=1, le=10_000_000, description="number of portraits for the final evaluation")
        size: int = Field(128, ge=32, le=1024, description="side in pixels at which the portraits are drawn")
        look: Literal["plain", "film"] = Field(
            "plain", description="as they are drawn, or tinted, grained and before one ground, as another camera has it"
        )

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        art, rasteriser = (version(package) for package in ("python-avatars", "resvg-py"))
        self.version = f"{draw.VERSION}-{art}-{rasteriser}-seed{config.seed}-size{config.size}-{config.look}"

    def records(self, split: Split) -> Iterator[Record]:
        """The portraits of `split`. A portrait's key and picture do not depend on how many there are."""
        split = Split(split)
        for number in range(getattr(self.config, split.value)):
            yield Record(f"{split.value}/{number:06d}", None, draw.attributes(self.config.seed, _FIRST[split] + number))

    def load(self, record: Record) -> NDArray[np.uint8]:
        """The portrait that `record.key` names, with `record.attributes`: [size, size, 3], uint8.

        Raises `ValueError` for a key that is not ours, and for attributes that a portrait cannot have.
        """
        index = _index(record.key)
        portrait = draw.portrait(self.config.seed, index)
        portrait = replace(portrait, attributes={**portrait.attributes, **_checked(record.attributes)})
        look = LOOKS.get(self.config.look)
        if look is None:
            return draw.render(portrait, self.config.size)
        return look.develop(draw.render(look.dress(portrait), self.config.size), self.config.seed, index)

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record:
        """The same portrait with `attributes`: nothing else of it differs.

        Raises `ValueError` for an attribute or a value that portraits do not have.
        """
        own = draw.attributes(self.config.seed, _index(record.key))
        wanted = {**own, **_checked(record.attributes), **_checked(attributes)}
        changes = "&".join(f"{name}={spell(value)}" for name, value in wanted.items() if value != own[name])
        key = record.key.partition("?")[0]
        return Record(f"{key}?{changes}" if changes else key, None, wanted)


def _index(key: str) -> int:
    """The number that `draw` knows the portrait of `key` by: "test/000003" or "test/000003?hair=Blond_Hair"."""
    found = re.fullmatch(r"(train|val|test)/(\d{6,8})(\?.*)?", key, re.ASCII)
    if found is None:
        raise ValueError(f"{key!r} names no avatar; a key is like 'test/000003'")
    return _FIRST[Split(found[1])] + int(found[2])


def _checked(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    for name, value in attributes.items():
        if name not in _ATTRIBUTES:
            raise ValueError(f"avatars have no attribute {name!r}; they have {', '.join(_ATTRIBUTES)}")
        _ATTRIBUTES[name].code(value)
    return attributes
