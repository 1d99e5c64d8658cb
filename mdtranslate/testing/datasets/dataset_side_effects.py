"""Checks of a dataset's behaviour: in the cache, in processes, with damaged files, and its side effects."""

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

from mdtranslate.api import Dataset, Record, Split
from mdtranslate.data.cache.store import CachedImages, cache_images, cache_root
from mdtranslate.data.cache.workers import CHUNK_RECORDS, is_registered
from mdtranslate.errors import DataError
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.datasets.dataset_case import (
    DATASET,
    TIMEOUT_S,
    DatasetCase,
    DatasetSpec,
    build_dataset,
    temporary_cache,
)
from mdtranslate.testing.side_effects import UNUSUAL_SEED, random_state, recorded_side_effects, seeded


def _cache(dataset: Dataset, records: Sequence[Record], **options: Any) -> CachedImages:
    return cache_images(dataset, records, 16, instance="check", purpose="check", **options)


@DATASET.check
def caching_is_equal_with_any_workers(case: DatasetCase) -> str | None:
    """The cache has the same content whether it is filled with no, one or two worker processes.

    `data.workers` must only change the speed.
    """
    if not is_registered(case.dataset):
        raise NotApplicable("no plugin registers it, so worker processes cannot find it")
    records = [*case.samples] * (2 * CHUNK_RECORDS // len(case.samples) + 1)  # Enough for more than one worker.
    digests = {}
    for workers in (0, 1, 2):
        with temporary_cache():
            digests[workers] = _cache(case.new_instance(), records, workers=workers).digest
    different = [workers for workers in digests if digests[workers] != digests[0]]
    return f"with {different[0]} the images differ from those with none" if different else None


@DATASET.check
def loads_in_spawned_processes(case: DatasetCase) -> str | None:
    """A spawned process, which receives only settings and records, loads the same pixels.

    Worker processes that fill the cache are started this way on every platform.
    """
    return _compare_in_processes(case, "spawn", 2)


@DATASET.check
def loads_in_forked_process(case: DatasetCase) -> str | None:
    """A process that was forked from this one loads the same pixels.

    It shares open files and connections that the instance or the module keeps.
    """
    if "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        raise NotApplicable("this platform does not fork processes")
    return _compare_in_processes(case, "fork", 1)


@DATASET.check
def empty_list_can_be_cached(case: DatasetCase) -> str | None:
    """Caching an empty list of records gives no images.

    A split may be empty.
    """
    with temporary_cache():
        images = _cache(case.dataset, [])
        return None if images.pixels.shape == (0, 16, 16, 3) else str(images.pixels.shape)


@DATASET.check
def single_record_can_be_cached(case: DatasetCase) -> str | None:
    """Caching a list of one record gives one image.

    Users try things out with one image.
    """
    with temporary_cache():
        images = _cache(case.dataset, case.samples[:1])
        return None if images.pixels.shape == (1, 16, 16, 3) else str(images.pixels.shape)


@DATASET.check
def corrupt_image_is_reported(case: DatasetCase) -> str | None:
    """`load` of a file that is not an image raises `DataError` with one line that names the file.

    Of 200,000 files some are always damaged, and users have to find them.
    """
    return _check_error(case, lambda path: path.write_bytes(b"this is not an image"))


@DATASET.check
def truncated_image_is_reported(case: DatasetCase) -> str | None:
    """`load` of the first half of a file raises `DataError` with one line that names the file.

    Interrupted downloads leave such files; decoders that fill the rest with grey hide them.
    """
    content = case.sample_files[0].read_bytes()
    return _check_error(case, lambda path: path.write_bytes(content[: len(content) // 2]))


@DATASET.check
def empty_image_is_reported(case: DatasetCase) -> str | None:
    """`load` of an empty file raises `DataError` with one line that names the file.

    A full disk leaves such files.
    """
    return _check_error(case, lambda path: path.write_bytes(b""))


@DATASET.check
def missing_image_is_reported(case: DatasetCase) -> str | None:
    """`load` of a file that does not exist raises `DataError` with one line that names the file.

    Files may be removed after they were listed.
    """
    return _check_error(case, lambda path: path.unlink(missing_ok=True))


@DATASET.check
def unreadable_image_stops_caching(case: DatasetCase) -> str | None:
    """With `data.unreadable=stop`, an image that cannot be read stops the run with its file name.

    It is the default: training on fewer images than intended must not happen unnoticed.
    """
    with tempfile.TemporaryDirectory() as folder, temporary_cache():
        records = _with_damaged_record(case, Path(folder))
        try:
            _cache(case.dataset, records)
        except DataError as error:
            return None if "damaged" in str(error) else f"{error}"
    return "no error"


@DATASET.check
def unreadable_image_can_be_skipped(case: DatasetCase) -> str | None:
    """With `data.unreadable=skip`, an image that cannot be read is skipped, and all others are cached.

    This works for `DataError` and errors of image decoders only; any other error stops the run.
    """
    with tempfile.TemporaryDirectory() as folder, temporary_cache():
        records = _with_damaged_record(case, Path(folder))
        images = _cache(case.dataset, records, max_unreadable=1.0)
    if list(images.left_out) != [0]:
        return f"skipped: {dict(images.left_out)}"
    return None if len(images.pixels) == len(records) - 1 else f"{len(images.pixels)} images of {len(records)} records"


@DATASET.check
def loading_preserves_random_state(case: DatasetCase) -> str | None:
    """Loading does not change the state of the global random generators.

    A run seeds them; a dataset that seeds them or draws from them changes all random numbers after it.
    """
    records = case.samples
    with seeded(UNUSUAL_SEED):
        before = random_state()
        dataset = case.new_instance()
        for record in records:
            dataset.load(record)
        return None if random_state() == before else "the state of random, numpy.random or torch changed"


@DATASET.check
def makes_no_network_requests(case: DatasetCase) -> str | None:
    """Neither listing nor loading uses the network.

    Compute clusters are often offline, and remote files may change. Users start downloads themselves.
    """
    with recorded_side_effects() as effects:
        _list_and_load(case.new_instance(), case.samples)
    return f"{effects.network[0]} was requested" if effects.network else None


@DATASET.check
def writes_no_files(case: DatasetCase) -> str | None:
    """Neither listing nor loading creates, changes or removes files outside of mdtranslate's cache.

    The folder of a dataset is often read-only, and shared.
    """
    with recorded_side_effects() as effects:
        _list_and_load(case.new_instance(), case.samples)
    outside = [path for path in effects.written if not path.is_relative_to(cache_root().parent)]
    return f"{outside[0]} was written" if outside else None


@DATASET.check
def closes_its_files(case: DatasetCase) -> str | None:
    """Loading leaves no more files open than before.

    Systems allow about a thousand open files, after which loading fails.
    """
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        raise NotApplicable("this platform does not list open files")
    dataset = case.new_instance()
    _list_and_load(dataset, case.samples)  # Files that are opened once may stay open.
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        for record in case.samples:
            dataset.load(record)
    additional = len(list(descriptors.iterdir())) - before
    return f"{additional} more after loading {3 * len(case.samples)} images" if additional > 0 else None


@DATASET.check
def prints_nothing(case: DatasetCase) -> str | None:
    """Neither listing nor loading writes to standard output.

    Commands write their results there, for other programs to read.
    """
    output = io.StringIO()
    with redirect_stdout(output):
        _list_and_load(case.new_instance(), case.samples)
    return repr(output.getvalue()[:100]) if output.getvalue() else None


@DATASET.check
def preserves_process_state(case: DatasetCase) -> str | None:
    """Neither listing nor loading changes the working directory or the environment variables.

    Relative paths and the settings of other code depend on them.
    """
    records = case.samples
    _list_and_load(case.new_instance(), records)  # Modules that are imported on first use may change them.
    with recorded_side_effects() as effects:
        _list_and_load(case.new_instance(), records)
    return effects.process[0] if effects.process else None


def _list_and_load(dataset: Dataset, records: Sequence[Record]) -> None:
    for split in Split:
        list(dataset.records(split))
    for record in records:
        dataset.load(record)


def _check_error(case: DatasetCase, damage: Callable[[Path], object]) -> str | None:
    """Loads a record whose file is damaged; describes what is wrong with the error."""
    original = case.sample_files[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"damaged{original.suffix}"
        damage(path)
        record = replace(next(record for record in case.samples if record.image == original), image=path)
        try:
            image = case.dataset.load(record)
        except DataError as error:
            message = str(error)
            return None if str(path) in message and "\n" not in message else f"a message without the file: {message!r}"
    return f"no error; {type(image).__name__} was returned"


def _with_damaged_record(case: DatasetCase, folder: Path) -> list[Record]:
    """Returns a record with a damaged file, followed by some records of the dataset."""
    path = folder / f"damaged{case.sample_files[0].suffix}"
    path.write_bytes(b"this is not an image")
    return [Record("damaged", path, dict(case.samples[0].attributes)), *case.samples]


def _compare_in_processes(case: DatasetCase, start_method: str, count: int) -> str | None:
    spec = case.spec
    records = [replace(record, attributes=dict(record.attributes)) for record in case.samples]
    expected = [_digest(case.dataset, record) for record in records]
    other_children = {*multiprocessing.active_children()}
    with ProcessPoolExecutor(count, multiprocessing.get_context(start_method)) as pool:
        for future in [pool.submit(_load_digests, spec, records) for _ in range(count)]:
            try:
                digests = future.result(TIMEOUT_S)
            except TimeoutError:
                for child in {*multiprocessing.active_children()} - other_children:
                    child.kill()  # Otherwise the pool waits for it, too.
                return f"a process did not load {len(records)} images within {TIMEOUT_S} seconds"
            for record, expected_digest, digest in zip(records, expected, digests, strict=True):
                if expected_digest != digest:
                    return f"{record.key!r} is different"
    return None


def _load_digests(spec: DatasetSpec, records: Sequence[Record]) -> list[str]:
    """Loads records; it runs in a subprocess."""
    dataset = build_dataset(spec)
    return [_digest(dataset, record) for record in records]


def _digest(dataset: Dataset, record: Record) -> str:
    return blake2b(dataset.load(record).tobytes(), digest_size=16).hexdigest()
