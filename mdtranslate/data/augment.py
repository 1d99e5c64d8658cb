"""Augmentation of training images by albumentations, seeded per image."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdtranslate.errors import RecipeError, nearest

BASE_CLASSES = frozenset({"BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D"})
"""Transform classes of albumentations that cannot be used themselves."""


class Augment:
    """A sequence of independent transforms; the result for an image depends on the image and its seed alone.

    Args:
        compose: The transforms, as `albumentations.Compose`.
        name: How messages call them.
    """

    def __init__(self, compose: Any, name: str = "data.augment") -> None:
        self.compose, self.name = compose, name

    @classmethod
    def build(cls, transforms: Sequence[Mapping[str, Any]], size: int) -> Augment | None:
        """Builds transforms and tries each on an image.

        Args:
            transforms: The setting `data.augment`: for each transform its name and arguments.
            size: Side of the images in pixels.

        Returns:
            The augmentation, or None if there are no transforms.

        Raises:
            RecipeError: albumentations has no such transform, or it refuses the arguments; the message names it.
        """
        if not transforms:
            return None
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # It would check for a newer version online.
        import albumentations

        names = [
            name
            for name, item in vars(albumentations).items()
            if isinstance(item, type) and issubclass(item, albumentations.BasicTransform) and name not in BASE_CLASSES
        ]
        built, grey_image = [], np.full((1, size, size, 3), 128, np.uint8)
        for index, transform in enumerate(transforms):
            arguments, key = dict(transform), f"data.augment[{index}]"
            name = arguments.pop("name", None)
            if not isinstance(name, str):
                raise RecipeError(f"{key}: has no name; write it like {{name='ColorJitter', p=0.5}}")
            if name not in names:
                raise RecipeError(f"{key}: albumentations has no transform {name!r}; {_suggestion(name, names)}")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # albumentations only warns about unknown arguments.
                    built.append(getattr(albumentations, name)(**arguments))
                    always_applied = getattr(albumentations, name)(**{**arguments, "p": 1.0})
            except Exception as error:
                raise RecipeError(f"{key}: {name} refuses its arguments: {' '.join(str(error).split())}") from error
            cls(albumentations.Compose([always_applied]), f"{key}: {name}")(grey_image, np.zeros(1, np.int64))
        return cls(albumentations.Compose(built))

    def __call__(self, pixels: NDArray[np.uint8], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Augments images.

        Args:
            pixels: Images, uint8 of shape `(B, S, S, 3)`.
            seeds: Seed of each image, `(B,)`.

        Returns:
            Augmented copies of the same shape.

        Raises:
            RecipeError: A transform failed, or changed the size or type of an image.
        """
        augmented = np.empty_like(pixels)
        for row, (image, seed) in enumerate(zip(pixels, seeds.tolist(), strict=True)):
            # `set_random_seed` would give all transforms the same seed: those of equal p would apply together.
            self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
            try:
                result = self.compose(image=image)["image"]
            except Exception as error:
                reason = " ".join(str(error).split())
                raise RecipeError(f"{self.name} fails on images of {len(image)} pixels: {reason}") from error
            if result.shape != image.shape or result.dtype != np.uint8:
                raise RecipeError(
                    f"{self.name} turns uint8 {list(image.shape)} into {result.dtype} {list(result.shape)}, but must "
                    "keep shape and type (data.load_size and data.image_size set the size)"
                )
            augmented[row] = result
        return augmented


def _suggestion(name: str, names: Sequence[str]) -> str:
    suggestion = nearest(name, names)
    return suggestion if suggestion.startswith("did") else "its documentation lists them"
