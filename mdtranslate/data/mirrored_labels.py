"""Labels of images that are mirrored: a flip swaps left and right, also where an attribute says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import Attribute, LabelEncoder, Value
from mdtranslate.errors import RecipeError

MIRRORING = frozenset({"D4", "Flip", "HorizontalFlip", "SquareSymmetry", "Transpose"})
"""Transforms of albumentations that can mirror an image."""


def refuse_mirroring(transforms: Sequence[Mapping[str, Any]], encoder: LabelEncoder) -> None:
    """Raises `RecipeError` for transforms that mirror images whose labels a flip would have to swap."""
    mirrored = [each.name for own in encoder.attributes for each in own if each.mirrored]
    for number, table in enumerate(transforms):
        if mirrored and table.get("name") in MIRRORING:
            raise RecipeError(
                f"data.augment[{number}]: {table['name']} mirrors images but not their labels, and a flip swaps "
                f"values of {mirrored[0]}; data.flip=true swaps both"
            )


class MirroredLabels:
    """The label of an image's mirror image, for any label of an encoder."""

    def __init__(self, encoder: LabelEncoder) -> None:
        self.encoder = encoder
        self._attributes = [{each.name: each for each in own} for own in encoder.attributes]
        self._known: dict[bytes, Tensor | None] = {}

    @classmethod
    def of(cls, encoder: LabelEncoder) -> MirroredLabels | None:
        """None where no attribute has values that a flip swaps."""
        any_mirrored = any(each.mirrored for own in encoder.attributes for each in own)
        return cls(encoder) if any_mirrored else None

    def __call__(self, labels: Sequence[Tensor], flip: NDArray[np.bool_]) -> tuple[list[Tensor], NDArray[np.bool_]]:
        """Labels [N, L] each with the rows of `flip` mirrored, and which rows that are.

        A row stays as it is where the mirror image would have a value that the dataset lacks in any of `labels`.
        """
        labels, flip = [each.clone() for each in labels], flip.copy()
        for row in np.flatnonzero(flip).tolist():
            mirrored = [other for each in labels if (other := self._of(each[row])) is not None]
            if len(mirrored) < len(labels):
                flip[row] = False
                continue
            for each, other in zip(labels, mirrored, strict=True):
                each[row] = other
        return labels, flip

    def _of(self, label: Tensor) -> Tensor | None:
        key = label.numpy().tobytes()
        if key not in self._known:
            self._known[key] = self._mirrored(label)
        return self._known[key]

    def _mirrored(self, label: Tensor) -> Tensor | None:
        number = int(self.encoder.dataset(label[None])[0])
        known: dict[str, Value] = {}
        for name, value in self.encoder.decode(label).items():
            attribute = self._attributes[number][name]
            known[name] = attribute.mirror(value)
            if known[name] not in attribute.allowed:
                return None
        return self.encoder.encode(known, number)


def mirrored_codes(attributes: Sequence[Attribute], codes: Tensor) -> tuple[Tensor, NDArray[np.bool_]]:
    """Positions in `Attribute.allowed`, int64 [N, A], of mirror images; and which rows have all of them.

    Negative codes, of what is unknown, stay.
    """
    columns, possible = [], torch.ones(len(codes), dtype=torch.bool)
    for attribute, column in zip(attributes, codes.unbind(1), strict=True):
        allowed = list(attribute.allowed)
        partners = [attribute.mirror(value) for value in allowed]
        table = torch.tensor([allowed.index(each) if each in allowed else -1 for each in partners])
        swapped = torch.where(column < 0, column, table[column.clamp(min=0)])
        possible &= (column < 0) | (swapped >= 0)
        columns.append(swapped)
    return torch.stack(columns, dim=1), possible.numpy()
