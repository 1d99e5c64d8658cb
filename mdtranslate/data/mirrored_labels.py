"""Labels of mirrored images: a flip swaps left and right, and with them values of attributes such as gaze."""

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
"""albumentations transforms that can mirror an image."""


def refuse_mirroring(transforms: Sequence[Mapping[str, Any]], label_encoder: LabelEncoder) -> None:
    """Refuses transforms that mirror images if a flip would have to change labels.

    Args:
        transforms: The setting `data.augment`.
        label_encoder: The label encoder.

    Raises:
        RecipeError: There is such a transform, and an attribute with mirrored values.
    """
    names = [item.name for attributes in label_encoder.attributes for item in attributes if item.mirrored]
    for index, transform in enumerate(transforms):
        if names and transform.get("name") in MIRRORING:
            raise RecipeError(
                f"data.augment[{index}]: {transform['name']} mirrors images but not their labels, and a flip swaps "
                f"values of {names[0]}; use data.flip=true, which mirrors both"
            )


class MirroredLabels:
    """Converts labels of images to labels of their mirror images.

    Args:
        label_encoder: The label encoder.
    """

    def __init__(self, label_encoder: LabelEncoder) -> None:
        self.label_encoder = label_encoder
        self._attributes = [
            {attribute.name: attribute for attribute in attributes} for attributes in label_encoder.attributes
        ]
        self._cache: dict[bytes, Tensor | None] = {}

    @classmethod
    def build(cls, label_encoder: LabelEncoder) -> MirroredLabels | None:
        """Returns None if no attribute has values that a flip swaps."""
        is_needed = any(item.mirrored for attributes in label_encoder.attributes for item in attributes)
        return cls(label_encoder) if is_needed else None

    def __call__(self, labels: Sequence[Tensor], flip: NDArray[np.bool_]) -> tuple[list[Tensor], NDArray[np.bool_]]:
        """Mirrors labels.

        A row is left unchanged if, in any of `labels`, its mirror image would have a value that the dataset lacks.

        Args:
            labels: Several labels of the same images, `(N, L)` each.
            flip: Which images shall be mirrored, `(N,)`.

        Returns:
            The labels with mirrored rows, and which rows were mirrored.
        """
        labels, flip = [label.clone() for label in labels], flip.copy()
        for row in np.flatnonzero(flip).tolist():
            mirrored_rows = [mirrored for label in labels if (mirrored := self._mirror(label[row])) is not None]
            if len(mirrored_rows) < len(labels):
                flip[row] = False
                continue
            for label, mirrored in zip(labels, mirrored_rows, strict=True):
                label[row] = mirrored
        return labels, flip

    def _mirror(self, label: Tensor) -> Tensor | None:
        key = label.numpy().tobytes()
        if key not in self._cache:
            self._cache[key] = self._compute_mirrored(label)
        return self._cache[key]

    def _compute_mirrored(self, label: Tensor) -> Tensor | None:
        dataset = int(self.label_encoder.dataset_index(label[None])[0])
        mirrored: dict[str, Value] = {}
        for name, value in self.label_encoder.decode(label).items():
            attribute = self._attributes[dataset][name]
            mirrored[name] = attribute.mirrored_value(value)
            if mirrored[name] not in attribute.allowed_values:
                return None
        return self.label_encoder.encode(mirrored, dataset)


def mirrored_codes(attributes: Sequence[Attribute], codes: Tensor) -> tuple[Tensor, NDArray[np.bool_]]:
    """Converts attribute codes of images to those of their mirror images.

    Args:
        attributes: The attributes.
        codes: Positions of values in `Attribute.allowed_values`, int64 of shape `(N, A)`; negative codes (of unknown
            attributes) are kept.

    Returns:
        The mirrored codes, and which rows have a mirrored value for every attribute, `(N,)`.
    """
    columns, has_mirror = [], torch.ones(len(codes), dtype=torch.bool)
    for attribute, column in zip(attributes, codes.unbind(1), strict=True):
        allowed = list(attribute.allowed_values)
        partners = [attribute.mirrored_value(value) for value in allowed]
        table = torch.tensor([allowed.index(partner) if partner in allowed else -1 for partner in partners])
        mirrored = torch.where(column < 0, column, table[column.clamp(min=0)])
        has_mirror &= (column < 0) | (mirrored >= 0)
        columns.append(mirrored)
    return torch.stack(columns, dim=1), has_mirror.numpy()
