"""The adapter to albumentations: random changes of training pictures, seeded for each picture."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdtranslate.errors import RecipeError, nearest

BASES = frozenset({"BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D"})


class Augment:
    """Independent transforms in a row. What becomes of a picture depends on it and its seed alone."""

    def __init__(self, compose: Any, name: str = "data.augment") -> None:
        """`name`: what it is called in a message."""
        self.compose, self.name = compose, name

    @classmethod
    def build(cls, transforms: Sequence[Mapping[str, Any]], size: int) -> Augment | None:
        """Transforms by name, with their arguments, tried on a picture of `size` pixels; None where there are none.

        Raises `RecipeError` that names the transform for what albumentations does not have or does not take.
        """
        if not transforms:
            return None
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # It would ask the network for a newer version.
        import albumentations

        names = [
            name
            for name, each in vars(albumentations).items()
            if isinstance(each, type) and issubclass(each, albumentations.BasicTransform) and name not in BASES
        ]
        built, grey = [], np.full((1, size, size, 3), 128, np.uint8)
        for number, table in enumerate(transforms):
            arguments, where = dict(table), f"data.augment[{number}]"
            name = arguments.pop("name", None)
            if not isinstance(name, str):
                raise RecipeError(f"{where}: has no name; {{name='ColorJitter', p=0.5}} has one")
            if name not in names:
                raise RecipeError(f"{where}: albumentations has no transform {name!r}; {_near(name, names)}")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # It only warns of an argument that it does not know.
                    built.append(getattr(albumentations, name)(**arguments))
                    always = getattr(albumentations, name)(**{**arguments, "p": 1.0})
            except Exception as error:
                raise RecipeError(f"{where}: {name} refuses its arguments: {' '.join(str(error).split())}") from error
            cls(albumentations.Compose([always]), f"{where}: {name}")(grey, np.zeros(1, np.int64))
        return cls(albumentations.Compose(built))

    def __call__(self, pictures: NDArray[np.uint8], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures uint8 [B, S, S, 3], each changed by its seed: the same shape.

        Raises `RecipeError` where a transform changes the size or the type of a picture.
        """
        changed = np.empty_like(pictures)
        for place, (picture, seed) in enumerate(zip(pictures, seeds.tolist(), strict=True)):
            # `set_random_seed` would seed all transforms alike: those of the same p would be done all or none.
            self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
            try:
                made = self.compose(image=picture)["image"]
            except Exception as error:
                said = " ".join(str(error).split())
                raise RecipeError(f"{self.name} does not go with pictures of {len(picture)} pixels: {said}") from error
            if made.shape != picture.shape or made.dtype != np.uint8:
                raise RecipeError(
                    f"{self.name} makes {made.dtype} {list(made.shape)} of uint8 {list(picture.shape)}, and must keep "
                    "both (data.load_size and data.image_size say the size)"
                )
            changed[place] = made
        return changed


def _near(name: str, names: Sequence[str]) -> str:
    hint = nearest(name, names)
    return hint if hint.startswith("did") else "its documentation lists them"
