"""One entry of the cache while it is written: what is there already, what is missing, what cannot be read.

An entry that was interrupted is gone on with. Its hashes are its journal: a picture is there if it is as its hash says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdtranslate.data.cache.workers import CHUNK, HASH, Target, fill
from mdtranslate.data.transforms import Preparation
from mdtranslate.errors import DataError

if TYPE_CHECKING:
    from mdtranslate.api import Dataset, Record

FORMAT = 2
"""Goes up whenever decoding, preparing or the files change: older caches are then left alone."""

MOST_UNREADABLE = 0.05
"""Share of the pictures that may be left out of a run."""

INSTEAD = "data.unreadable=skip leaves out such pictures"


def write(
    part: Path,
    dataset: Dataset,
    records: Sequence[Record],
    size: int,
    workers: int | None,
    most: float,
    progress: Callable[[int, int], None] | None,
) -> dict[int, str]:
    """Writes the pictures of `records` that are not there yet, and their hashes; gives the unreadable and why."""
    (part / "left_out.json").unlink(missing_ok=True)  # Of one that was interrupted after it closed its ranks.
    count, unreadable, pixels = len(records), dict[int, str](), part / "pixels.npy"
    target = Target(pixels, _array(pixels, (count, size, size, 3)), Preparation(dataset.crop, size))
    journal = part / "hashes.npy"
    start = _array(journal, (count, HASH))
    todo = _missing(target, journal, start, count)
    with journal.open("r+b") as file, closing(fill(dataset, records, todo, target, workers)) as parts:
        done = count - sum(min(CHUNK, count - first) for first in todo)
        for each in parts:
            file.seek(start + each.first * HASH)
            file.write(each.hashes)
            file.flush()
            unreadable |= each.unreadable
            check_left_out(unreadable, count, most)
            done += len(each.hashes) // HASH
            if progress:
                progress(done, count)
    return unreadable


def check_left_out(unreadable: Mapping[int, str], count: int, most: float) -> None:
    """Raises `DataError` for more unreadable pictures than this share of `count`."""
    if not unreadable or len(unreadable) <= most * count:
        return
    first = next(iter(unreadable.values()))
    if not most:
        raise DataError(f"{first}; {INSTEAD}")
    raise DataError(
        f"{len(unreadable)} of {count} pictures cannot be read, and more than {most:.0%} are too many to go on; "
        f"the first: {first}"
    )


def begun(part: Path) -> bool:
    """Whether there is anything to go on with."""
    try:
        return bool(np.load(part / "hashes.npy").any())
    except (OSError, ValueError):
        return False


def _array(path: Path, shape: tuple[int, ...]) -> int:
    """The offset of the first byte of an array of bytes; all zero, without taking room, where it is not there yet."""
    header = _header(shape)
    with path.open("r+b" if path.exists() else "w+b") as file:
        if file.read(len(header)) != header:
            file.truncate(0)
            file.seek(0)
            file.write(header)
        file.truncate(len(header) + prod(shape))
    return len(header)


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _missing(target: Target, journal: Path, start: int, count: int) -> list[int]:
    """Firsts of the chunks that are not wholly there, each picture as its hash says: a crash may lose what it wrote."""
    hashes, stride = journal.read_bytes()[start:], target.prepare.size**2 * 3
    todo = []
    with target.file.open("rb") as file:
        for first in range(0, count, CHUNK):
            for place in range(first, min(first + CHUNK, count)):
                expected = hashes[place * HASH : (place + 1) * HASH]
                if not any(expected):
                    break
                file.seek(target.offset + place * stride)
                if blake2b(file.read(stride), digest_size=HASH).digest() != expected:
                    break
            else:
                continue
            todo.append(first)
    return todo


def close_ranks(part: Path, left_out: Mapping[int, str], count: int) -> None:
    """Takes the places of unreadable pictures out, and lists those in `left_out.json`.

    Each picture moves down within its file, which takes no further room. After a crash on the way the hashes tell which
    ones have moved, and `write` makes those again.
    """
    kept = [place for place in range(count) if place not in left_out]
    hashes = np.load(part / "hashes.npy")
    shape = np.load(part / "pixels.npy", mmap_mode="r").shape[1:]
    start, stride = len(_header((count, *shape))), prod(shape)
    with (part / "pixels.npy").open("r+b") as file:
        for place, before in enumerate(kept):
            file.seek(start + before * stride)
            picture = file.read(stride)
            file.seek(start + place * stride)
            file.write(picture)
        file.truncate(start + len(kept) * stride)
        file.seek(0)
        file.write(_header((len(kept), *shape)))  # numpy makes it as long: it leaves room for another first number.
    np.save(part / "hashes.npy", hashes[kept])
    listed = {str(place): left_out[place] for place in sorted(left_out)}
    (part / "left_out.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def listed(entry: Path) -> str | None:
    """The hash of the list of what was left out, on which hangs whose picture each place holds; None without one."""
    file = entry / "left_out.json"
    return blake2b(file.read_bytes(), digest_size=HASH).hexdigest() if file.exists() else None


def describe(part: Path, dataset: Dataset, instance: str, what: str, count: int, size: int) -> None:
    """Writes meta.json."""
    meta = {
        "format": FORMAT,
        "dataset": dataset.name,
        "version": dataset.version,
        "crop": asdict(dataset.crop),
        "instance": instance,
        "what": what,
        "count": count,
        "size": size,
        "bytes": count * (size * size * 3 + HASH),
        "left_out": listed(part),
        "created": datetime.now(UTC).isoformat(),
    }
    (part / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
