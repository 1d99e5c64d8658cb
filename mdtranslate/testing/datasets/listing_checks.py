"""How a dataset lists its records: always the same, cheaply, and in one line where there are none."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from mdtranslate.api import Split
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.datasets.dataset_case import DATASET, Given, first_difference
from mdtranslate.testing.side_effects import TELLING, counted, random_state, seeded, watched

CALLS = 300
"""Calls of functions for each record that are still cheap: 100,000 records take some seconds then."""
FIXED = 25_000
"""Calls that a listing may take whatever its length: reading a header, opening a table."""
BYTES = 4_096
"""Memory for each record that is still cheap: 100,000 records take 400 MB then."""


@DATASET.premise
def lists_the_same_twice(given: Given) -> str | None:
    """Listing a split again gives equal records in the same order.

    A batch is drawn by place from this order: with another one, a run that goes on sees other pictures.
    """
    for split in Split:
        if found := first_difference(given.splits[split], list(given.dataset.records(split)), f"{split} record"):
            return found
    return None


@DATASET.check
def lists_the_same_in_another_instance(given: Given) -> str | None:
    """Another instance with the same settings lists equal records in the same order.

    Every command makes its own: training, evaluation, worker processes.
    """
    dataset = given.again()
    for split in Split:
        if found := first_difference(given.splits[split], list(dataset.records(split)), f"{split} record"):
            return found
    return None


@DATASET.check
def lists_the_same_in_another_process(given: Given) -> str | None:
    """A new Python process lists the same keys in the same order.

    Sets are ordered otherwise in every process (PYTHONHASHSEED), and so are the batches drawn from them.
    """
    own = [[record.key for record in records] for records in given.splits.values()]
    for theirs in given.listed_anew:
        for split, mine, other in zip(Split, own, theirs.keys, strict=True):
            if found := first_difference(mine, other, f"{split} key"):
                return found
    return None


@DATASET.check
def lists_the_same_whatever_is_random(given: Given) -> str | None:
    """What is listed does not depend on the global random generators.

    A split drawn by `random` has other pictures in every process, and test pictures are trained on.
    """
    lists: list[list[str]] = []
    for seed in (1, 2):
        with seeded(seed):
            dataset = given.again()
            lists.append([record.key for split in Split for record in dataset.records(split)])
    return first_difference(lists[0], lists[1], "key")


@DATASET.check
def listing_touches_no_random_state(given: Given) -> str | None:
    """Listing leaves the global random generators as they were.

    Whoever trains seeds them; a dataset that seeds or draws from them changes what comes after.
    """
    with seeded(TELLING):
        before = random_state()
        for split in Split:
            list(given.again().records(split))
        return None if random_state() == before else "random, numpy.random or torch's generator moved"


@DATASET.check
def can_be_listed_in_part(given: Given) -> str | None:
    """A listing that is left after its first record can be begun anew.

    Who looks at one picture does not list all of them.
    """
    dataset = given.again()
    for split in Split:
        list(islice(iter(dataset.records(split)), 1))
        if found := first_difference(given.splits[split], list(dataset.records(split)), f"{split} record"):
            return found
    return None


@DATASET.check
def two_listings_at_once_do_not_mix(given: Given) -> str | None:
    """Two listings that are read in turns give what one alone gives.

    Evaluation lists test pictures while others are listed.
    """
    dataset = given.again()
    listings = [iter(dataset.records(Split.TRAIN)), iter(dataset.records(Split.TRAIN))]
    pairs = list(zip(*listings, strict=False))
    for place, (one, other) in enumerate(pairs):
        if not one == other == given.splits[Split.TRAIN][place]:
            return f"train record {place} is {one!r} and {other!r}"
    return None if len(pairs) == len(given.splits[Split.TRAIN]) else f"{len(pairs)} records"


@DATASET.check
def listing_reads_no_picture(given: Given) -> str | None:
    """Listing and `attributes` open no picture's file.

    Opening 200,000 files takes minutes, at every start of every command.
    """
    pictures = {Path(os.path.abspath(record.image)) for record in given.records if record.image}  # noqa: PTH100
    if not pictures:
        raise DoesNotApply("its pictures are no files")
    try:
        read = {Path(each) for each in given.listed_anew[0].read}
    except DoesNotApply:  # Here, then, where it may have kept what it read before.
        with watched() as seen:
            dataset = given.again()
            _ = dataset.attributes
            for split in Split:
                list(dataset.records(split))
        read = {*seen.read}
    opened = sorted(read & pictures)
    return f"{len(opened)} opened, the first {opened[0]}" if opened else None


@DATASET.check
def listing_is_cheap(given: Given) -> str | None:
    """Listing takes few calls of functions for each record, so that 100,000 records take seconds.

    Every command lists its dataset when it starts.
    """
    list(given.again().records(Split.TRAIN))  # What is imported on the way is not the listing's.
    with counted() as calls:
        dataset = given.again()
        count = sum(1 for split in Split for _ in dataset.records(split))
    allowed = FIXED + CALLS * count
    return None if calls[0] <= allowed else f"{calls[0]:,} calls for {count:,} records, and {allowed:,} are cheap"


@DATASET.check
def listing_is_small(given: Given) -> str | None:
    """Records, and what the dataset keeps beside them, take little memory.

    A million pictures is a usual size.
    """
    list(given.again().records(Split.TRAIN))  # What is imported on the way is not the records'.
    tracemalloc.start()
    try:
        dataset = given.again()
        kept = [list(dataset.records(split)) for split in Split]
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    count = sum(map(len, kept))
    allowed = 1_000_000 + BYTES * count
    return None if used <= allowed else f"{used:,} bytes for {count:,} records, and {allowed:,} are small"


@DATASET.check
def a_missing_folder_is_one_line(given: Given) -> str | None:
    """Where a path of the settings is not there, `DataError` or `RecipeError` names it in one line.

    It is the first mistake that every user makes.
    """
    return _refusal(given, Path("/no/such/folder"), "/no/such/folder")


@DATASET.check
def an_empty_folder_is_one_line(given: Given) -> str | None:
    """Where a path of the settings is an empty folder, there are no records, or `DataError` names it in one line.

    It is the second: a folder one level too high or too low.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _refusal(given, Path(folder), folder, empty=True)


def _refusal(given: Given, path: Path, names: str, empty: bool = False) -> str | None:
    try:
        dataset = given.elsewhere(path)
        _ = list(dataset.attributes)
        count = sum(1 for split in Split for _ in dataset.records(split))
    except ValidationError:  # Of its settings, such as pydantic's `DirectoryPath`: recipes name the key.
        return None
    except (DataError, RecipeError) as error:
        text = str(error)
        return None if names in text and "\n" not in text else f"a message that does not name it in one line: {text!r}"
    return None if empty and not count else f"{count} records and no error"
