"""What an evaluation tests on one dataset: its test images, the edits that are applied to them, and ground truth.

In a run on several datasets the edits are also those of the *other* datasets' attributes, such as CelebA faces made
happy as RaFD labels it. For these transferred edits an image is treated as one of the other dataset, with unknown
labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import Record, Split, Value, format_value
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.data.cache.store import CachedImages
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes
from mdtranslate.inference.translator import Translator

BATCH_SIZE: Final = 64


class AttributeChange(NamedTuple):
    """A new value of one attribute.

    Attributes:
        name: The attribute's name in its dataset.
        classified_name: Its name in `ClassifiedAttributes`.
        value: The value that it gets.
    """

    name: str
    classified_name: str
    value: Value


@dataclass(frozen=True)
class Edit:
    """An edit of one attribute, or a joint edit of several; written `hair=Blond_Hair` or `hair=Blond_Hair,Male=yes`.

    Attributes:
        dataset: The dataset that labels the attributes.
        changes: The changed attributes.
    """

    dataset: RecipeDataset
    changes: tuple[AttributeChange, ...]

    def __str__(self) -> str:
        return ",".join(f"{change.classified_name}={format_value(change.value)}" for change in self.changes)

    @property
    def scope(self) -> str:
        """The edited attributes, by classified names: `hair`, or `hair+Eyeglasses`."""
        return "+".join(change.classified_name for change in self.changes)

    @property
    def classified_values(self) -> dict[str, Value]:
        """The new values by classified names, as metrics get them."""
        return {change.classified_name: change.value for change in self.changes}

    @property
    def dataset_values(self) -> dict[str, Value]:
        """The new values by the dataset's names, as label encoders get them."""
        return {change.name: change.value for change in self.changes}


@dataclass(frozen=True, eq=False)
class TestSet:
    """The test images of a dataset, what is known about them, their edits, and the ground truth of these.

    Attributes:
        dataset: The dataset.
        images: Its test images that can be read, N of them.
        known: What the dataset knows about each image, by classified names.
        labels: By index of the dataset whose attributes are edited: labels of that dataset, `(N, L)`, in which unknown
            attributes are inferred.
        edits: The indices of the images that each edit is applied to: those that are not known to have its values.
        truths: Images that are the ground truth of edits, uint8 of shape `(M, S, S, 3)`.
        truth_index: By edit and index of an image: the index of the ground truth in `truths`, if there is one.
    """

    dataset: RecipeDataset
    images: CachedImages
    known: Sequence[Mapping[str, Value]]
    labels: Mapping[int, Tensor]
    edits: dict[Edit, list[int]]
    truths: NDArray[np.uint8]
    truth_index: Mapping[tuple[Edit, int], int]

    def source_and_target(self, translator: Translator, edit: Edit, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Returns the source and target labels of an edit, `(B, L)` each, for the images at `indices`."""
        label_encoder, dataset_index = translator.label_encoder, edit.dataset.index
        source = self.labels[dataset_index][indices]
        values = [{**label_encoder.decode(label), **edit.dataset_values} for label in source]
        return source, torch.stack([label_encoder.encode(target, dataset_index) for target in values])

    def batches(self) -> Iterator[tuple[Edit, list[int]]]:
        """Yields edits and image indices. The ground truth is known of all images of a batch, or of none."""
        for edit, indices in self.edits.items():
            for has_truth in (True, False):
                selected = [index for index in indices if ((edit, index) in self.truth_index) == has_truth]
                for batch in split_batches(selected):
                    yield edit, batch


@torch.inference_mode()
def prepare_test_set(
    dataset: RecipeDataset,
    datasets: Sequence[RecipeDataset],
    classified: ClassifiedAttributes,
    size: int,
    translator: Translator,
    device: torch.device,
    progress: Progress,
    max_attributes: int = 1,
) -> TestSet:
    """Loads the test images of a dataset, and lists the edits that are applied to them.

    Args:
        dataset: The dataset to test.
        datasets: All datasets of the run. The attributes of the others are edited one at a time.
        classified: Names of all attributes.
        size: Height and width of the images in pixels.
        translator: Encodes labels, and infers unknown ones.
        device: Where to infer them.
        progress: Receives the progress of caching.
        max_attributes: Number of the dataset's own attributes that one edit changes at most.

    Raises:
        mdtranslate.errors.DataError: The test split has no images, or none of them can be edited.
    """
    records: Sequence[Record] = dataset.records(Split.TEST)
    images = dataset.cache_images(records, size, "test", progress)
    records = images.select_readable(records)
    known = [classified.values_of(record, dataset) for record in records]

    labels: dict[int, Tensor] = {}
    edits: dict[Edit, list[int]] = {}
    for owner in (dataset, *(other for other in datasets if other is not dataset)):
        is_same = owner is dataset
        if is_same:
            partial_labels = dataset.encode_labels(records, translator.label_encoder)
        else:
            partial_labels = translator.label_encoder.encode({}, owner.index).repeat(len(records), 1)
        try:
            labels[owner.index] = _infer_labels(translator, images, partial_labels, device, is_same)
        except RecipeError:  # The run has no network that infers labels; those of its own dataset may be complete.
            if is_same:
                raise
            continue
        known_scopes = {edit.scope for edit in edits}
        for edit in _list_edits(owner, classified, known_scopes, max_attributes if is_same else 1):
            edits[edit] = [index for index, values in enumerate(known) if _is_changed(values, edit, is_same)]
    edits = {edit: indices for edit, indices in edits.items() if indices}
    if not any(edit.dataset is dataset for edit in edits):
        raise DataError(f"dataset {dataset.name}: no test image has a known attribute that could be edited")

    pairs: list[tuple[Edit, int]] = []
    truth_records: list[Record] = []
    for edit, indices in edits.items():
        values: dict[str, Value] = {}
        for classified_name, value in edit.classified_values.items():
            if (name := classified.dataset_name(classified_name, dataset)) is not None:
                values[name] = value
        if len(values) < len(edit.changes):  # The dataset does not know all of these attributes.
            continue
        for index in indices:
            if (truth := dataset.dataset.counterfactual(records[index], values)) is not None:
                pairs.append((edit, index))
                truth_records.append(truth)
    truths = dataset.cache_images(truth_records, size, "test, edited", progress)
    truth_index = {pair: position for position, pair in enumerate(truths.select_readable(pairs))}
    return TestSet(dataset, images, known, labels, edits, truths.pixels, truth_index)


def split_batches(indices: list[int]) -> Iterator[list[int]]:
    """Yields consecutive batches of at most 64 image indices."""
    for start in range(0, len(indices), BATCH_SIZE):
        yield indices[start : start + BATCH_SIZE]


def to_network_input(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Converts uint8 images `(B, S, S, 3)` to float32 `(B, 3, S, S)` in [-1, 1] on a device."""
    return normalise(to_device(pixels, device))


def _list_edits(
    dataset: RecipeDataset, classified: ClassifiedAttributes, known_scopes: set[str], max_attributes: int
) -> Iterator[Edit]:
    """Yields all edits of a dataset's attributes, without the attributes whose edits are listed already."""
    changes = [
        [AttributeChange(attribute.name, name, value) for value in attribute.allowed_values if value is not None]
        for attribute in dataset.attributes
        if (name := classified.names[dataset.index][attribute.name]) not in known_scopes
    ]
    for count in range(1, max_attributes + 1):
        for attributes in combinations(changes, count):
            yield from (Edit(dataset, combination) for combination in product(*attributes))


def _is_changed(known: Mapping[str, Value], edit: Edit, is_same_dataset: bool) -> bool:
    """Whether an edit changes every attribute that it names.

    An unknown attribute counts as changed if another dataset labels it, because its own dataset never could tell.
    """
    return all(
        known[name] != value if name in known else not is_same_dataset for name, value in edit.classified_values.items()
    )


def _infer_labels(
    translator: Translator, images: CachedImages, labels: Tensor, device: torch.device, is_same_dataset: bool
) -> Tensor:
    """Infers unknown attributes of labels, as far as the translator needs them.

    In images of the attributes' own dataset an unknown attribute is not edited, so one that is only needed to edit it
    stays unknown.
    """
    labels, changing = labels.clone(), () if is_same_dataset else None
    for indices in split_batches(list(range(len(labels)))):
        real = to_network_input(images.pixels[indices], device)
        labels[indices] = translator.infer(real, labels[indices], changing).cpu()
    return labels
