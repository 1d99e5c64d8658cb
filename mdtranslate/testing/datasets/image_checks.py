"""What a dataset loads, and the true pictures after an edit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np

from mdtranslate.api import Dataset, Record
from mdtranslate.data.transforms import Preparation
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.datasets.dataset_case import DATASET, Given
from mdtranslate.testing.side_effects import seeded


@DATASET.premise
def loads_pictures(given: Given) -> str | None:
    """`load` gives an array [H, W, 3] of uint8.

    Whatever the file holds: grey, palettes and transparency become RGB. `mdtranslate.Dataset.load` does it.
    """
    for record in given.some:
        pixels = given.dataset.load(record)
        if not isinstance(pixels, np.ndarray):
            return f"{type(pixels).__name__} for {record.key!r}"
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            return f"{pixels.dtype} {list(pixels.shape)} for {record.key!r}"
    return None


@DATASET.check
def loads_the_same_twice(given: Given) -> str | None:
    """Loading a record again gives the same pixels.

    Pictures are packed once; what is random is drawn later, for each sample, by `data.augment`.
    """
    return _compared(given, given.dataset, "is another picture the second time")


@DATASET.check
def loads_the_same_in_another_instance(given: Given) -> str | None:
    """Another instance with the same settings loads the same pixels, without listing anything first.

    Worker processes have their own instance, and are sent records.
    """
    return _compared(given, given.again(), "is another picture in another instance")


@DATASET.check
def loads_in_any_order(given: Given) -> str | None:
    """What a record's picture is does not depend on which one was loaded before.

    Packing loads them in any order, and goes on in the middle after an interruption.
    """
    if len(given.some) < 2:
        raise DoesNotApply("there is one record")
    dataset = given.again()
    turned = [dataset.load(record).copy() for record in reversed(given.some)][::-1]
    for record, pixels in zip(given.some, turned, strict=True):
        if not np.array_equal(given.again().load(record), pixels):
            return f"{record.key!r} is another picture after others"
    return None


@DATASET.check
def loads_whatever_is_random(given: Given) -> str | None:
    """Pictures do not depend on the global random generators.

    The packed cache would hold whatever was drawn that day.
    """
    for record in given.some:
        loaded = []
        for seed in (1, 2):
            with seeded(seed):
                loaded.append(given.again().load(record).copy())
        if not np.array_equal(loaded[0], loaded[1]):
            return f"{record.key!r} is another picture by another seed"
    return None


@DATASET.check
def pictures_are_the_callers_own(given: Given) -> str | None:
    """What is done to a loaded picture does not change what is loaded next.

    A dataset that keeps pictures and hands them out has them drawn over.
    """
    for record in given.some:
        first = given.dataset.load(record)
        kept = first.copy()
        if first.flags.writeable:
            first[:] = 255 - first
        if not np.array_equal(given.dataset.load(record), kept):
            return f"{record.key!r} came back changed"
    return None


@DATASET.check
def loading_changes_no_record(given: Given) -> str | None:
    """`load` leaves the record and its attributes as they are.

    Labels are taken from them, before or after.
    """
    for record in given.some:
        before = deepcopy(record)
        given.dataset.load(record)
        if record != before:
            return f"{before!r} became {record!r}"
    return None


@DATASET.check
def loads_in_threads(given: Given) -> str | None:
    """Several threads that load at once get the same pixels as one alone.

    Pictures to translate are read by threads.
    """
    alone = [given.dataset.load(record).copy() for record in given.some]
    records = [*given.some] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda record: given.dataset.load(record).copy(), records))
    for place, pixels in enumerate(together):
        if not np.array_equal(pixels, alone[place % len(alone)]):
            return f"{records[place].key!r} is another picture"
    return None


@DATASET.check
def pictures_can_be_prepared(given: Given) -> str | None:
    """Each picture, cut by `crop`, can be scaled to the size of a run.

    It is the next thing that is done to it.
    """
    for record in given.some:
        prepared = Preparation(given.dataset.crop, 16)(given.dataset.load(record))
        if prepared.shape != (16, 16, 3):
            return f"{list(prepared.shape)}"
    return None


@DATASET.check
def counterfactuals_are_records(given: Given) -> str | None:
    """`counterfactual` gives None, or a record of which the wanted attributes are as wanted.

    Evaluation compares translations with it, and paired training learns from it.
    """
    for record, wanted, found in _counterfactuals(given):
        if not isinstance(found, Record):
            return f"{found!r} for {record.key!r}"
        for name, value in wanted.items():
            if name in found.attributes and found.attributes[name] != value:
                return f"{name}={found.attributes[name]!r} for {record.key!r}, and {value!r} was wanted"
    return None


@DATASET.check
def counterfactuals_keep_the_rest(given: Given) -> str | None:
    """The record after an edit has the same values of everything that was not edited.

    It is the same picture with one thing changed, else it is no truth to compare with.
    """
    for record, wanted, found in _counterfactuals(given):
        for name, value in record.attributes.items():
            if name not in wanted and found.attributes.get(name, value) != value:
                return f"{name} of {record.key!r} became {found.attributes[name]!r}"
    return None


@DATASET.check
def counterfactuals_can_be_loaded(given: Given) -> str | None:
    """The picture after an edit has the size of the one before, and the same pixels each time.

    The two are compared pixel by pixel.
    """
    for record, _, found in _counterfactuals(given):
        before, after = given.dataset.load(record), given.dataset.load(found)
        if before.shape != after.shape:
            return f"{list(after.shape)} for {record.key!r}, which is {list(before.shape)}"
        if not np.array_equal(after, given.again().load(found)):
            return f"{found.key!r} is another picture the second time"
    return None


@DATASET.check
def counterfactuals_have_keys_of_their_own(given: Given) -> str | None:
    """The record after an edit has another key than the picture before, unless nothing changes.

    Keys name pictures; two of one key are taken for one.
    """
    for record, wanted, found in _counterfactuals(given):
        if found.key == record.key and any(record.attributes.get(name) != value for name, value in wanted.items()):
            return f"{found.key!r} for both"
    return None


def _counterfactuals(given: Given) -> list[tuple[Record, dict[str, object], Record]]:
    """Records, an edit of each, and what the dataset gives."""
    found = []
    for record in given.some:
        for attribute in given.dataset.attributes:
            for value in attribute.allowed:
                wanted = {attribute.name: value}
                if (after := given.dataset.counterfactual(record, wanted)) is not None:
                    found.append((record, dict[str, object](wanted), after))
    if not found:
        raise DoesNotApply("it knows no true picture after an edit")
    return found[:: max(1, len(found) // 8)]


def _compared(given: Given, other: Dataset, what: str) -> str | None:
    for record in given.some:
        if not np.array_equal(given.dataset.load(record), other.load(record)):
            return f"{record.key!r} {what}"
    return None
