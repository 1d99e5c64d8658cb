"""What networks are shown of a picture, ready before its turn comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mdtranslate.data.images import decode, to_rgb
from mdtranslate.data.prepare import Preparation
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.interfaces import Crop

Pixels = NDArray[np.uint8]
Size = Literal["native"] | None
T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """What networks are shown of a picture, all uint8.

    `squares`: by dataset, what is cut out of it as in training, [S, S, 3]. `whole`: the picture at its own size,
    [H, W, 3], where that is what is translated.
    """

    squares: Mapping[str, Pixels]
    whole: Pixels | None = None

    def shown(self, dataset: str) -> Pixels:
        """What is translated, of a picture that is like those of `dataset`."""
        return self.squares[dataset] if self.whole is None else self.whole


Picture = str | Path | Image.Image | Pixels | View


def view(image: Picture, crops: Mapping[str, Crop], image_size: int, size: Size) -> View:
    """The view of a picture: `crops` by dataset, `image_size` in pixels. One that is a view already stays as it is.

    Raises `DataError` for a picture that cannot be read, `RecipeError` for a `size` that is none.
    """
    if size not in (None, "native"):
        raise RecipeError(f"size={size!r}: is 'native', or left out for the size of training")
    if isinstance(image, View):
        if image.squares.keys() != crops.keys():
            raise RecipeError(f"a view for {', '.join(image.squares)}, and this translator has {', '.join(crops)}")
        return image
    pixels = _pixels(image)
    cut = {crop: Preparation(crop, image_size)(pixels) for crop in set(crops.values())}
    return View({name: cut[crop] for name, crop in crops.items()}, None if size is None else pixels)


def grouped(named: Iterable[tuple[T, View]], most: int) -> Iterator[dict[T, View]]:
    """Views by their names, in groups of one at least, and of at most `most` pixels.

    Those are of the whole pictures, or of the squares by which labels are inferred, whichever are more.
    """
    group: dict[T, View] = {}
    pixels = 0
    for name, each in named:
        shown = (next(iter(each.squares.values())), *(() if each.whole is None else (each.whole,)))
        own = max(height * width for height, width, _ in (picture.shape for picture in shown))
        if group and pixels + own > most:
            yield group
            group, pixels = {}, 0
        group[name] = each
        pixels += own
    if group:
        yield group


def _pixels(image: str | Path | Image.Image | Pixels) -> Pixels:
    if isinstance(image, str | Path):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"a {type(image).__name__} is no picture; a file, a Pillow image or uint8 [H, W, 3] is, or a list"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"an array of {image.dtype} {list(image.shape)} is no picture; uint8 [H, W, 3] is")
    return image
