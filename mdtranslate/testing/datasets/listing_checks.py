"""Checks of how a dataset lists its records: deterministically, cheaply, and with clear errors."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from mdtranslate.api import Split
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.datasets.dataset_case import DATASET, DatasetCase, first_difference
from mdtranslate.testing.side_effects import (
    UNUSUAL_SEED,
    counted_calls,
    random_state,
    recorded_side_effects,
    seeded,
)

CALLS_PER_RECORD = 300
"""Allowed function calls per record: 100,000 records then take a few seconds."""
FIXED_CALLS = 25_000
"""Allowed function calls independent of the number of records, such as for opening a table."""
BYTES_PER_RECORD = 4_096
"""Allowed memory per record: 100,000 records then take 400 MB."""
FIXED_BYTES = 1_000_000
"""Allowed memory independent of the number of records."""


@DATASET.prerequisite
def listing_is_deterministic(case: DatasetCase) -> str | None:
    """Listing a split again yields equal records in the same order.

    Batches are drawn by position in this order: with another order, a resumed run would see other images.
    """
    for split in Split:
        if difference := first_difference(case.splits[split], list(case.dataset.records(split)), f"{split} record"):
            return difference
    return None


@DATASET.check
def listing_is_equal_in_new_instance(case: DatasetCase) -> str | None:
    """Another instance with the same settings lists equal records in the same order.

    Training, evaluation and worker processes each build their own instance.
    """
    dataset = case.new_instance()
    for split in Split:
        if difference := first_difference(case.splits[split], list(dataset.records(split)), f"{split} record"):
            return difference
    return None


@DATASET.check
def listing_is_equal_in_new_process(case: DatasetCase) -> str | None:
    """A new Python process lists the same keys in the same order.

    The order of a set differs between processes (PYTHONHASHSEED), and batches would differ with it.
    """
    expected = [[record.key for record in records] for records in case.splits.values()]
    for listing in case.subprocess_listings:
        for split, expected_keys, keys in zip(Split, expected, listing.keys, strict=True):
            if difference := first_difference(expected_keys, keys, f"{split} key"):
                return difference
    return None


@DATASET.check
def listing_ignores_random_state(case: DatasetCase) -> str | None:
    """The listing does not depend on the global random generators.

    If `random` draws the splits, they differ between processes, and test images are trained on.
    """
    keys: list[list[str]] = []
    for seed in (1, 2):
        with seeded(seed):
            dataset = case.new_instance()
            keys.append([record.key for split in Split for record in dataset.records(split)])
    return first_difference(keys[0], keys[1], "key")


@DATASET.check
def listing_preserves_random_state(case: DatasetCase) -> str | None:
    """Listing does not change the state of the global random generators.

    A run seeds them; a dataset that seeds them or draws from them changes all random numbers after it.
    """
    with seeded(UNUSUAL_SEED):
        before = random_state()
        for split in Split:
            list(case.new_instance().records(split))
        return None if random_state() == before else "the state of random, numpy.random or torch changed"


@DATASET.check
def listing_can_be_interrupted(case: DatasetCase) -> str | None:
    """After a listing that was stopped at its first record, the next listing is complete.

    Commands that need one image do not list all of them.
    """
    dataset = case.new_instance()
    for split in Split:
        list(islice(iter(dataset.records(split)), 1))
        if difference := first_difference(case.splits[split], list(dataset.records(split)), f"{split} record"):
            return difference
    return None


@DATASET.check
def concurrent_listings_are_independent(case: DatasetCase) -> str | None:
    """Two listings that are read alternately both yield what a single one yields.

    An evaluation lists test images while other listings are open.
    """
    dataset = case.new_instance()
    listings = [iter(dataset.records(Split.TRAIN)), iter(dataset.records(Split.TRAIN))]
    pairs = list(zip(*listings, strict=False))
    for index, (first, second) in enumerate(pairs):
        if not first == second == case.splits[Split.TRAIN][index]:
            return f"train record {index} is {first!r} and {second!r}"
    return None if len(pairs) == len(case.splits[Split.TRAIN]) else f"{len(pairs)} records"


@DATASET.check
def listing_opens_no_images(case: DatasetCase) -> str | None:
    """Listing records, and `attributes`, open no image file.

    Opening 200,000 files takes minutes whenever a command starts.
    """
    images = {Path(os.path.abspath(record.image)) for record in case.records if record.image}  # noqa: PTH100
    if not images:
        raise NotApplicable("its images are not files")
    try:
        read = {Path(file) for file in case.subprocess_listings[0].read}
    except NotApplicable:  # Then in this process, in which the module may have cached what it read before.
        with recorded_side_effects() as effects:
            dataset = case.new_instance()
            _ = dataset.attributes
            for split in Split:
                list(dataset.records(split))
        read = {*effects.read}
    opened = sorted(read & images)
    return f"{len(opened)} were opened, such as {opened[0]}" if opened else None


@DATASET.check
def listing_is_fast(case: DatasetCase) -> str | None:
    """Listing takes few function calls per record, so that 100,000 records take seconds.

    Every command lists its dataset when it starts.
    """
    list(case.new_instance().records(Split.TRAIN))  # Imports what it needs, which does not count.
    with counted_calls() as calls:
        dataset = case.new_instance()
        count = sum(1 for split in Split for _ in dataset.records(split))
    allowed = FIXED_CALLS + CALLS_PER_RECORD * count
    return None if calls[0] <= allowed else f"{calls[0]:,} calls for {count:,} records; {allowed:,} are allowed"


@DATASET.check
def listing_uses_little_memory(case: DatasetCase) -> str | None:
    """Records, and what the dataset stores with them, use little memory.

    Datasets of a million images are common.
    """
    list(case.new_instance().records(Split.TRAIN))  # Imports what it needs, which does not count.
    tracemalloc.start()
    try:
        dataset = case.new_instance()
        records = [list(dataset.records(split)) for split in Split]
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    count = sum(map(len, records))
    allowed = FIXED_BYTES + BYTES_PER_RECORD * count
    return None if used <= allowed else f"{used:,} bytes for {count:,} records; {allowed:,} are allowed"


@DATASET.check
def missing_folder_is_reported(case: DatasetCase) -> str | None:
    """If a path in the settings does not exist, `DataError` or `RecipeError` names it in one line.

    It is the most common mistake.
    """
    return _check_error(case, Path("/no/such/folder"), "/no/such/folder")


@DATASET.check
def empty_folder_is_reported(case: DatasetCase) -> str | None:
    """If a path in the settings is an empty folder, there are no records, or `DataError` names it in one line.

    Users often name a folder one level too high or too low.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _check_error(case, Path(folder), folder, is_empty=True)


def _check_error(case: DatasetCase, path: Path, text: str, is_empty: bool = False) -> str | None:
    """Lists the dataset at `path`, which fails unless it is an empty folder; describes an error without `text`."""
    try:
        dataset = case.at_path(path)
        _ = list(dataset.attributes)
        count = sum(1 for split in Split for _ in dataset.records(split))
    except ValidationError:  # From pydantic's `DirectoryPath`, for example: recipes report the key.
        return None
    except (DataError, RecipeError) as error:
        message = str(error)
        return None if text in message and "\n" not in message else f"a message without the path: {message!r}"
    return None if is_empty and not count else f"{count} records and no error"
