"""A dataset of drawn shapes, for tests that need a few images."""

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
    """Circles and squares on a bright or dark background, at random places in random colours.

    Images are drawn when they are loaded, always the same for the same record.
    """

    name = "shapes"

    class Config(Dataset.Config):
        count: int = Field(8, ge=1, description="number of images in each split")

    attributes = (Attribute("shape", ("circle", "square")), Attribute("Bright"))

    def records(self, split: Split) -> Iterator[Record]:
        for index in range(self.config.count):
            yield self._record(f"{split}-{index}", ("circle", "square")[index % 2], index // 2 % 2 == 0)

    def load(self, record: Record) -> NDArray[np.uint8]:
        name, shape, brightness = record.key.split(".")
        rng = np.random.default_rng([*name.encode()])
        y, x = rng.integers(12, HEIGHT - 12), rng.integers(10, WIDTH - 10)
        colour, size = rng.integers(64, 192, 3), rng.integers(6, 9)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        if shape == "circle":
            inside = (rows - y) ** 2 + (columns - x) ** 2 <= size**2
        else:
            inside = (abs(rows - y) <= size) & (abs(columns - x) <= size)
        image = np.full((HEIGHT, WIDTH, 3), 224 if brightness == "bright" else 32, np.uint8)
        image[inside] = colour
        return image

    def counterfactual(self, record: Record, attributes: Mapping[str, Value]) -> Record:
        edited = {**record.attributes, **attributes}
        return self._record(record.key.partition(".")[0], str(edited["shape"]), bool(edited["Bright"]))

    def _record(self, name: str, shape: str, bright: bool) -> Record:
        key = f"{name}.{shape}.{'bright' if bright else 'dark'}"
        return Record(key, None, {"shape": shape, "Bright": bright})
