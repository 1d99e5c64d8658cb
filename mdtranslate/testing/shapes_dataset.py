"""A dataset of drawn shapes, for tests that need some pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mdtranslate.api import Attribute, Dataset, Record, Split, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEIGHT, WIDTH = 40, 32


class Shapes(Dataset):
    """Circles and squares, bright or dark, each at a place and in a colour of its own, drawn when they are loaded."""

    name = "shapes"

    class Config(Dataset.Config):
        count: int = Field(8, ge=1, description="pictures in each split")

    attributes = (Attribute("shape", ("circle", "square")), Attribute("Bright"))

    def records(self, split: Split) -> Iterator[Record]:
        for number in range(self.config.count):
            yield self._record(f"{split}-{number}", ("circle", "square")[number % 2], number // 2 % 2 == 0)

    def load(self, record: Record) -> NDArray[np.uint8]:
        name, shape, bright = record.key.split(".")
        draw = np.random.default_rng([*name.encode()])
        y, x = draw.integers(12, HEIGHT - 12), draw.integers(10, WIDTH - 10)
        colour, size = draw.integers(64, 192, 3), draw.integers(6, 9)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        if shape == "circle":
            inside = (rows - y) ** 2 + (columns - x) ** 2 <= size**2
        else:
            inside = (abs(rows - y) <= size) & (abs(columns - x) <= size)
        picture = np.full((HEIGHT, WIDTH, 3), 224 if bright == "bright" else 32, np.uint8)
        picture[inside] = colour
        return picture

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record:
        after = {**record.attributes, **attributes}
        return self._record(record.key.partition(".")[0], str(after["shape"]), bool(after["Bright"]))

    def _record(self, name: str, shape: str, bright: bool) -> Record:
        key = f"{name}.{shape}.{'bright' if bright else 'dark'}"
        return Record(key, None, {"shape": shape, "Bright": bright})
