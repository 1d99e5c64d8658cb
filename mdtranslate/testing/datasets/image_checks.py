"""Checks of the images that a dataset loads, and of its counterfactuals (ground truth of edits)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np

from mdtranslate.api import Dataset, Record
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.datasets.dataset_case import DATASET, DatasetCase
from mdtranslate.testing.side_effects import seeded

MAX_COUNTERFACTUALS = 8
"""Number of counterfactuals that are checked, roughly."""


@DATASET.prerequisite
def loads_rgb_images(case: DatasetCase) -> str | None:
    """`load` returns an array of shape (H, W, 3) and dtype uint8.

    Grey, palette and transparent images must be converted to RGB, as `mdtranslate.Dataset.load` does.
    """
    for record in case.samples:
        image = case.dataset.load(record)
        if not isinstance(image, np.ndarray):
            return f"{type(image).__name__} for {record.key!r}"
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            return f"{image.dtype} {list(image.shape)} for {record.key!r}"
    return None


@DATASET.check
def loading_is_deterministic(case: DatasetCase) -> str | None:
    """Loading a record again returns the same pixels.

    Images are cached once; random augmentation happens later, for each sample, by `data.augment`.
    """
    return _compare(case, case.dataset, "the second time")


@DATASET.check
def loading_is_equal_in_new_instance(case: DatasetCase) -> str | None:
    """Another instance with the same settings loads the same pixels, even before it has listed anything.

    Worker processes build their own instance and receive records.
    """
    return _compare(case, case.new_instance(), "in another instance")


@DATASET.check
def loading_ignores_order(case: DatasetCase) -> str | None:
    """The image of a record does not depend on which records were loaded before.

    The cache is filled in any order, and continued after an interruption.
    """
    if len(case.samples) < 2:
        raise NotApplicable("there is one record")
    dataset = case.new_instance()
    images = [dataset.load(record).copy() for record in reversed(case.samples)][::-1]
    for record, image in zip(case.samples, images, strict=True):
        if not np.array_equal(case.new_instance().load(record), image):
            return f"{record.key!r} is different after other records"
    return None


@DATASET.check
def loading_ignores_random_state(case: DatasetCase) -> str | None:
    """Images do not depend on the global random generators.

    The cache would store whatever was drawn when it was filled.
    """
    for record in case.samples:
        images = []
        for seed in (1, 2):
            with seeded(seed):
                images.append(case.new_instance().load(record).copy())
        if not np.array_equal(images[0], images[1]):
            return f"{record.key!r} is different with another seed"
    return None


@DATASET.check
def images_are_not_shared(case: DatasetCase) -> str | None:
    """Changing a loaded image does not change what is loaded next.

    A dataset that keeps images and returns them again would have them overwritten.
    """
    for record in case.samples:
        image = case.dataset.load(record)
        copy = image.copy()
        if image.flags.writeable:
            image[:] = 255 - image
        if not np.array_equal(case.dataset.load(record), copy):
            return f"{record.key!r} was loaded with the changes"
    return None


@DATASET.check
def loading_does_not_modify_records(case: DatasetCase) -> str | None:
    """`load` does not modify the record or its attributes.

    Labels are computed from the same records, possibly later, and would be wrong.
    """
    for record in case.samples:
        before = deepcopy(record)
        case.dataset.load(record)
        if record != before:
            return f"{before!r} became {record!r}"
    return None


@DATASET.check
def loading_is_thread_safe(case: DatasetCase) -> str | None:
    """Several threads that load at the same time get the same pixels as a single one.

    Images to translate are read by threads.
    """
    expected = [case.dataset.load(record).copy() for record in case.samples]
    records = [*case.samples] * 4
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda record: case.dataset.load(record).copy(), records))
    for index, image in enumerate(images):
        if not np.array_equal(image, expected[index % len(expected)]):
            return f"{records[index].key!r} is different"
    return None


@DATASET.check
def images_can_be_resized(case: DatasetCase) -> str | None:
    """Each image can be cut by `crop` and resized to the size of a run.

    This happens to every image after it is loaded.
    """
    for record in case.samples:
        image = CropAndResize(case.dataset.crop, 16)(case.dataset.load(record))
        if image.shape != (16, 16, 3):
            return f"{list(image.shape)}"
    return None


@DATASET.check
def counterfactuals_are_records(case: DatasetCase) -> str | None:
    """`counterfactual` returns None, or a record that has the requested values.

    Evaluation compares translations with its image, and paired training learns from it.
    """
    for record, requested, edited in _counterfactuals(case):
        if not isinstance(edited, Record):
            return f"{edited!r} for {record.key!r}"
        for name, value in requested.items():
            if name in edited.attributes and edited.attributes[name] != value:
                return f"{name}={edited.attributes[name]!r} for {record.key!r}, but {value!r} was requested"
    return None


@DATASET.check
def counterfactuals_keep_other_attributes(case: DatasetCase) -> str | None:
    """The record after an edit has the same value of every attribute that was not edited.

    Ground truth is the same image with nothing but the edit changed.
    """
    for record, requested, edited in _counterfactuals(case):
        for name, value in record.attributes.items():
            if name not in requested and edited.attributes.get(name, value) != value:
                return f"{name} of {record.key!r} became {edited.attributes[name]!r}"
    return None


@DATASET.check
def counterfactuals_can_be_loaded(case: DatasetCase) -> str | None:
    """The image after an edit has the size of the image before, and the same pixels whenever it is loaded.

    The two are compared pixel by pixel.
    """
    for record, _, edited in _counterfactuals(case):
        before, after = case.dataset.load(record), case.dataset.load(edited)
        if before.shape != after.shape:
            return f"{list(after.shape)} for {record.key!r}, which is {list(before.shape)}"
        if not np.array_equal(after, case.new_instance().load(edited)):
            return f"{edited.key!r} is different the second time"
    return None


@DATASET.check
def counterfactuals_have_distinct_keys(case: DatasetCase) -> str | None:
    """The record after an edit has another key than the record before, unless the edit changes nothing.

    A key identifies an image; two images with the same key are taken for one.
    """
    for record, requested, edited in _counterfactuals(case):
        if edited.key == record.key and any(record.attributes.get(name) != value for name, value in requested.items()):
            return f"{edited.key!r} for both"
    return None


def _counterfactuals(case: DatasetCase) -> list[tuple[Record, dict[str, object], Record]]:
    """Returns records, an edit of each, and what `counterfactual` returns for it."""
    triples = []
    for record in case.samples:
        for attribute in case.dataset.attributes:
            for value in attribute.allowed_values:
                edit = {attribute.name: value}
                if (edited := case.dataset.counterfactual(record, edit)) is not None:
                    triples.append((record, dict[str, object](edit), edited))
    if not triples:
        raise NotApplicable("it has no counterfactuals")
    return triples[:: max(1, len(triples) // MAX_COUNTERFACTUALS)]


def _compare(case: DatasetCase, other: Dataset, circumstance: str) -> str | None:
    for record in case.samples:
        if not np.array_equal(case.dataset.load(record), other.load(record)):
            return f"{record.key!r} is different {circumstance}"
    return None
