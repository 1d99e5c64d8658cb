"""How a dataset behaves: in the cache, in worker processes, towards damaged files and the rest of the machine."""

from __future__ import annotations

import io
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mdtranslate.api import Record, Split
from mdtranslate.data.cache.store import pack
from mdtranslate.data.cache.workers import CHUNK, registered
from mdtranslate.errors import DataError
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.datasets.dataset_case import DATASET, SECONDS, Address, Given, made, own_cache
from mdtranslate.testing.side_effects import TELLING, random_state, seeded, watched


@DATASET.check
def packs_the_same_with_any_workers(given: Given) -> str | None:
    """The packed cache holds the same with no worker process, with one and with two.

    `data.workers` is a matter of speed.
    """
    if not registered(given.dataset):
        raise DoesNotApply("no plugin registers it, so that workers do not find it")
    records = [*given.some] * (2 * CHUNK // len(given.some) + 1)  # More than one worker is given at a time.
    digests = {}
    for workers in (0, 1, 2):
        with own_cache():
            digests[workers] = pack(given.again(), records, 16, instance="check", what="check", workers=workers).digest
    different = [workers for workers in digests if digests[workers] != digests[0]]
    return f"with {different[0]} it holds other pictures than with none" if different else None


@DATASET.check
def loads_in_spawned_processes(given: Given) -> str | None:
    """A process that starts from nothing, given settings and records alone, loads the same pixels.

    Packing on all cores works that way on every platform.
    """
    return _in_processes(given, "spawn", 2)


@DATASET.check
def loads_in_a_forked_process(given: Given) -> str | None:
    """A process forked off this one loads the same pixels.

    Open files and connections that are kept in the instance or the module are then shared by two.
    """
    if "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        raise DoesNotApply("processes are not forked on this platform")
    return _in_processes(given, "fork", 1)


@DATASET.check
def nothing_can_be_packed(given: Given) -> str | None:
    """A list of no records is packed to no pictures.

    A split may be empty.
    """
    with own_cache():
        packed = pack(given.dataset, [], 16, instance="check", what="check")
        return None if packed.pixels.shape == (0, 16, 16, 3) else str(packed.pixels.shape)


@DATASET.check
def one_record_can_be_packed(given: Given) -> str | None:
    """A list of one record is packed to one picture.

    Who tries something tries it with one.
    """
    with own_cache():
        packed = pack(given.dataset, given.some[:1], 16, instance="check", what="check")
        return None if packed.pixels.shape == (1, 16, 16, 3) else str(packed.pixels.shape)


@DATASET.check
def a_damaged_picture_is_named(given: Given) -> str | None:
    """`load` of a damaged file raises `DataError`, one line that names the file.

    Of 200,000 files some are always damaged, and somebody has to find which.
    """
    return _refused(given, lambda path: path.write_bytes(b"this is no picture"))


@DATASET.check
def a_picture_cut_short_is_named(given: Given) -> str | None:
    """`load` of a file of which the second half is missing raises `DataError`, one line that names the file.

    Interrupted downloads look like that; a decoder that fills up with grey hides it.
    """
    content = given.files[0].read_bytes()
    return _refused(given, lambda path: path.write_bytes(content[: len(content) // 2]))


@DATASET.check
def an_empty_picture_is_named(given: Given) -> str | None:
    """`load` of an empty file raises `DataError`, one line that names the file.

    A full disk leaves such files behind.
    """
    return _refused(given, lambda path: path.write_bytes(b""))


@DATASET.check
def a_missing_picture_is_named(given: Given) -> str | None:
    """`load` of a file that is gone raises `DataError`, one line that names the file.

    Lists are older than folders.
    """
    return _refused(given, lambda path: path.unlink(missing_ok=True))


@DATASET.check
def damaged_pictures_stop_where_that_is_asked(given: Given) -> str | None:
    """With `data.unreadable=stop`, a damaged picture stops the packing and is named.

    It is the default: nobody trains on less than was meant without knowing.
    """
    with tempfile.TemporaryDirectory() as folder, own_cache():
        records = _with_damage(given, Path(folder))
        try:
            pack(given.dataset, records, 16, instance="check", what="check")
        except DataError as error:
            return None if "damaged" in str(error) else f"{error}"
    return "it was packed"


@DATASET.check
def damaged_pictures_are_left_out_where_that_is_asked(given: Given) -> str | None:
    """With `data.unreadable=skip`, a damaged picture is left out by name, and the others are packed.

    Other errors than `DataError` and those of a picture's decoder stop the run whatever was asked.
    """
    with tempfile.TemporaryDirectory() as folder, own_cache():
        records = _with_damage(given, Path(folder))
        packed = pack(given.dataset, records, 16, instance="check", what="check", most=1.0)
    if list(packed.left_out) != [0]:
        return f"left out: {dict(packed.left_out)}"
    return None if len(packed.pixels) == len(records) - 1 else f"{len(packed.pixels)} pictures of {len(records)}"


@DATASET.check
def loading_touches_no_random_state(given: Given) -> str | None:
    """Loading leaves the global random generators as they were.

    Whoever trains seeds them; a dataset that seeds or draws from them changes what comes after.
    """
    some = given.some
    with seeded(TELLING):
        before = random_state()
        dataset = given.again()
        for record in some:
            dataset.load(record)
        return None if random_state() == before else "random, numpy.random or torch's generator moved"


@DATASET.check
def asks_no_network(given: Given) -> str | None:
    """Neither listing nor loading asks the network.

    Clusters have none, and what came from elsewhere may have changed since. Downloads are the user's to start.
    """
    with watched() as seen:
        _everything(given.again(), given.some)
    return f"asked for {seen.network[0]}" if seen.network else None


@DATASET.check
def writes_no_file(given: Given) -> str | None:
    """Neither listing nor loading makes, changes or removes a file outside of mdtranslate's cache.

    The folder of a dataset is often read-only, and shared.
    """
    from mdtranslate.data.cache.store import cache_root

    with watched() as seen:
        _everything(given.again(), given.some)
    outside = [path for path in seen.written if not path.is_relative_to(cache_root().parent)]
    return f"wrote {outside[0]}" if outside else None


@DATASET.check
def keeps_no_file_open(given: Given) -> str | None:
    """After pictures are loaded no more files are open than before.

    A system allows a thousand or so; the thousandth picture fails.
    """
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        raise DoesNotApply("this platform does not list open files")
    dataset = given.again()
    _everything(dataset, given.some)  # What is opened once may stay.
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        for record in given.some:
            dataset.load(record)
    more = len(list(descriptors.iterdir())) - before
    return f"{more} more after {3 * len(given.some)} pictures" if more > 0 else None


@DATASET.check
def prints_nothing(given: Given) -> str | None:
    """Neither listing nor loading writes to standard output.

    Results go there, and other programs read them.
    """
    printed = io.StringIO()
    with redirect_stdout(printed):
        _everything(given.again(), given.some)
    return repr(printed.getvalue()[:100]) if printed.getvalue() else None


@DATASET.check
def leaves_the_process_as_it_is(given: Given) -> str | None:
    """Neither listing nor loading changes the working directory or the environment.

    Paths of others are relative to the one, and settings of others are in the other.
    """
    some = given.some
    _everything(given.again(), some)  # What is imported on the way may.
    with watched() as seen:
        _everything(given.again(), some)
    return seen.process[0] if seen.process else None


def _everything(dataset: Any, some: Sequence[Record]) -> None:
    for split in Split:
        list(dataset.records(split))
    for record in some:
        dataset.load(record)


def _refused(given: Given, damage: Callable[[Path], object]) -> str | None:
    """Loads a record whose file is damaged: what is wrong with how that is said."""
    original = given.files[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"damaged{original.suffix}"
        damage(path)
        record = replace(next(each for each in given.some if each.image == original), image=path)
        try:
            pixels = given.dataset.load(record)
        except DataError as error:
            text = str(error)
            return None if str(path) in text and "\n" not in text else f"a message that does not name it: {text!r}"
    return f"{type(pixels).__name__}, as if it were a picture"


def _with_damage(given: Given, folder: Path) -> list[Record]:
    """Some records, of which the first is damaged."""
    path = folder / f"damaged{given.files[0].suffix}"
    path.write_bytes(b"this is no picture")
    return [Record("damaged", path, dict(given.some[0].attributes)), *given.some]


def _in_processes(given: Given, method: str, count: int) -> str | None:
    address = given.address
    records = [replace(record, attributes=dict(record.attributes)) for record in given.some]
    expected = [_digest(given.dataset, record) for record in records]
    others = {*multiprocessing.active_children()}
    with ProcessPoolExecutor(count, multiprocessing.get_context(method)) as pool:
        for future in [pool.submit(_digests, address, records) for _ in range(count)]:
            try:
                found = future.result(SECONDS)
            except TimeoutError:
                for each in {*multiprocessing.active_children()} - others:
                    each.kill()  # Else the pool waits for it, too.
                return f"a process had not loaded {len(records)} pictures after {SECONDS} seconds"
            for record, own, theirs in zip(records, expected, found, strict=True):
                if own != theirs:
                    return f"{record.key!r} is another picture"
    return None


def _digests(address: Address, records: Sequence[Record]) -> list[str]:
    """In a process of its own."""
    dataset = made(address)
    return [_digest(dataset, record) for record in records]


def _digest(dataset: Any, record: Record) -> str:
    return blake2b(dataset.load(record).tobytes(), digest_size=16).hexdigest()
