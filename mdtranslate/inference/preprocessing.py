"""Image preprocessing for inference: reads an image, crops and resizes it as in training."""

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
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.utils.grey_range import Range
from mdtranslate.utils.image_io import read_image, to_rgb

Pixels = NDArray[np.uint8]
"""An RGB image: uint8 of shape `(H, W, 3)`."""

OutputSize = Literal["native"] | None
"""Size of translations: `native` keeps the size of the image, None is the size of the training images."""

T = TypeVar("T")


@dataclass(frozen=True)
class PreparedImage:
    """An image as the networks see it, cropped and resized; it can replace the image in calls of `Translator`.

    Attributes:
        squares: The crop of each dataset as in training, uint8 `(S, S, 3)`, by dataset name.
        full_size: The uncropped image, uint8 `(H, W, 3)`, by dataset name, if it is translated at its own size; None
            otherwise. Datasets differ in the grey levels that they map to black and white.
    """

    squares: Mapping[str, Pixels]
    full_size: Mapping[str, Pixels] | None = None

    def generator_input(self, dataset: str) -> Pixels:
        """Returns what the generator translates, uint8 `(H, W, 3)`, if the image is prepared as one of `dataset`."""
        return (self.squares if self.full_size is None else self.full_size)[dataset]


ImageSource = str | Path | BytesIO | Image.Image | Pixels | PreparedImage
"""An image: a file, the content of a file, a Pillow image, uint8 `(H, W, 3)`, or a prepared image."""


def prepare_image(
    image: ImageSource, crops: Mapping[str, Crop], ranges: Mapping[str, Range], image_size: int, size: OutputSize
) -> PreparedImage:
    """Reads an image, and crops and resizes it as in training.

    Args:
        image: The image; a prepared image is returned unchanged.
        crops: The crop of each dataset, by name.
        ranges: The grey levels that are black and white in the files of a dataset, by name, where it defines them.
        image_size: Height and width of training images, S, in pixels.
        size: Whether to keep the uncropped image at its own size, too.

    Raises:
        DataError: The image cannot be read.
        RecipeError: `size` is invalid, or a prepared image is for other datasets.
    """
    if size not in (None, "native"):
        raise RecipeError(f"size={size!r}: must be 'native', or None for the size of the training images")
    if isinstance(image, PreparedImage):
        if image.squares.keys() != crops.keys():
            datasets = ", ".join(image.squares)
            raise RecipeError(f"the image was prepared for {datasets}; this translator needs {', '.join(crops)}")
        return image
    range_by_dataset = {name: ranges.get(name) for name in crops}
    pixels = {value_range: _read_pixels(image, value_range) for value_range in set(range_by_dataset.values())}
    # Datasets often share crop and range: each combination is resized once.
    resized = {
        (crop, value_range): CropAndResize(crop, image_size)(pixels[value_range])
        for crop, value_range in set(zip(crops.values(), range_by_dataset.values(), strict=True))
    }
    squares = {name: resized[crop, range_by_dataset[name]] for name, crop in crops.items()}
    if size is None:
        return PreparedImage(squares)
    return PreparedImage(squares, {name: pixels[value_range] for name, value_range in range_by_dataset.items()})


def chunk_by_pixels(images: Iterable[tuple[T, PreparedImage]], max_pixels: int) -> Iterator[dict[T, PreparedImage]]:
    """Splits a stream of images into groups that fit into memory.

    Args:
        images: Pairs of a key and a prepared image.
        max_pixels: Largest number of pixels of a group. The larger of the training crop and the full-size image counts.

    Yields:
        Groups of at least one image, by key.
    """
    group: dict[T, PreparedImage] = {}
    group_pixels = 0
    for key, image in images:
        versions = [next(iter(by_dataset.values())) for by_dataset in (image.squares, image.full_size) if by_dataset]
        pixels = max(version.shape[0] * version.shape[1] for version in versions)
        if group and group_pixels + pixels > max_pixels:
            yield group
            group, group_pixels = {}, 0
        group[key] = image
        group_pixels += pixels
    if group:
        yield group


def _read_pixels(image: str | Path | BytesIO | Image.Image | Pixels, value_range: Range | None) -> Pixels:
    if isinstance(image, str | Path):
        return read_image(Path(image), value_range=value_range)
    if isinstance(image, BytesIO):
        image.seek(0)
        return read_image(image, value_range=value_range)
    if isinstance(image, Image.Image):
        return to_rgb(image, value_range)
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"{type(image).__name__} is not an image; expected a file, a Pillow image, a uint8 array of shape "
            "(H, W, 3), or a list of these"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            f"an array of {image.dtype} and shape {list(image.shape)} is not an image; expected uint8 (H, W, 3)"
        )
    return image
