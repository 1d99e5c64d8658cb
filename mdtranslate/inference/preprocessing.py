"""What networks are shown of a picture, ready before its turn comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mdtranslate.api import Crop
from mdtranslate.data.transforms import Preparation
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.utils.grey_range import Range
from mdtranslate.utils.image_io import decode, to_rgb

Pixels = NDArray[np.uint8]
Size = Literal["native"] | None
T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """What networks are shown of a picture, all uint8.

    `squares`: by dataset, what is cut out of it as in training, [S, S, 3]. `whole`: the picture at its own size,
    [H, W, 3], by dataset, where that is what is translated.
    """

    squares: Mapping[str, Pixels]
    whole: Mapping[str, Pixels] | None = None

    def shown(self, dataset: str) -> Pixels:
        """What is translated, of a picture that is like those of `dataset`."""
        return (self.squares if self.whole is None else self.whole)[dataset]


Picture = str | Path | BytesIO | Image.Image | Pixels | View


def view(image: Picture, crops: Mapping[str, Crop], ranges: Mapping[str, Range], image_size: int, size: Size) -> View:
    """The view of a picture: `crops` and `ranges` by dataset, `image_size` in pixels. A view stays as it is.

    Raises `DataError` for a picture that cannot be read, `RecipeError` for a `size` that is none.
    """
    if size not in (None, "native"):
        raise RecipeError(f"size={size!r}: is 'native', or left out for the size of training")
    if isinstance(image, View):
        if image.squares.keys() != crops.keys():
            raise RecipeError(f"a view for {', '.join(image.squares)}, and this translator has {', '.join(crops)}")
        return image
    own = {name: ranges.get(name) for name in crops}
    read = {each: _pixels(image, each) for each in set(own.values())}
    cut = {
        key: Preparation(key[0], image_size)(read[key[1]])
        for key in set(zip(crops.values(), own.values(), strict=True))
    }
    squares = {name: cut[crop, own[name]] for name, crop in crops.items()}
    return View(squares, None if size is None else {name: read[each] for name, each in own.items()})


def grouped(named: Iterable[tuple[T, View]], most: int) -> Iterator[dict[T, View]]:
    """Views by their names, in groups of one at least, and of at most `most` pixels.

    Those are of the whole pictures, or of the squares by which labels are inferred, whichever are more.
    """
    group: dict[T, View] = {}
    pixels = 0
    for name, each in named:
        shown = [next(iter(some.values())) for some in (each.squares, each.whole) if some is not None]
        own = max(height * width for height, width, _ in (picture.shape for picture in shown))
        if group and pixels + own > most:
            yield group
            group, pixels = {}, 0
        group[name] = each
        pixels += own
    if group:
        yield group


def _pixels(image: str | Path | BytesIO | Image.Image | Pixels, value_range: Range | None) -> Pixels:
    if isinstance(image, str | Path):
        return decode(Path(image), value_range=value_range)
    if isinstance(image, BytesIO):
        image.seek(0)
        return decode(image, value_range=value_range)
    if isinstance(image, Image.Image):
        return to_rgb(image, value_range)
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"a {type(image).__name__} is no picture; a file, a Pillow image or uint8 [H, W, 3] is, or a list"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"an array of {image.dtype} {list(image.shape)} is no picture; uint8 [H, W, 3] is")
    return image
