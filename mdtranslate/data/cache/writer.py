"""Writes an entry of the cache; an interrupted entry is continued.

The hashes are the journal of an entry: an image is complete if it has the hash that is stored for it.
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

from mdtranslate.data.cache.workers import CHUNK_RECORDS, HASH_BYTES, OutputFile, write_images
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.errors import DataError

if TYPE_CHECKING:
    from mdtranslate.api import Dataset, Record

FORMAT = 3
"""Increased whenever decoding, preprocessing or the files change; older entries are then ignored."""

MAX_UNREADABLE_SHARE = 0.05
"""Share of the images that may be unreadable with `data.unreadable=skip`."""

SKIP_HINT = "data.unreadable=skip leaves out such images"


def write_entry(
    folder: Path,
    dataset: Dataset,
    records: Sequence[Record],
    size: int,
    workers: int | None,
    max_unreadable: float,
    progress: Callable[[int, int], None] | None,
) -> dict[int, str]:
    """Writes the missing images of an entry and their hashes.

    Args:
        folder: Folder of the entry.
        dataset: The dataset.
        records: Its records.
        size: Side of the images in pixels.
        workers: As for `write_images`.
        max_unreadable: Share of the images that may be unreadable.
        progress: Receives the number of complete images and of all images.

    Returns:
        Indices of unreadable images, and why they cannot be read.

    Raises:
        DataError: Too many images are unreadable.
    """
    (folder / "left_out.json").unlink(missing_ok=True)  # Left by an interruption after `compact`.
    count, unreadable, pixels = len(records), dict[int, str](), folder / "pixels.npy"
    output = OutputFile(pixels, _allocate(pixels, (count, size, size, 3)), CropAndResize(dataset.crop, size))
    journal = folder / "hashes.npy"
    journal_offset = _allocate(journal, (count, HASH_BYTES))
    chunk_starts = _incomplete_chunks(output, journal, journal_offset, count)
    with (
        journal.open("r+b") as file,
        closing(write_images(dataset, records, chunk_starts, output, workers)) as results,
    ):
        done = count - sum(min(CHUNK_RECORDS, count - start) for start in chunk_starts)
        for result in results:
            file.seek(journal_offset + result.start * HASH_BYTES)
            file.write(result.hashes)
            file.flush()
            unreadable |= result.unreadable
            check_unreadable(unreadable, count, max_unreadable)
            done += len(result.hashes) // HASH_BYTES
            if progress:
                progress(done, count)
    return unreadable


def check_unreadable(unreadable: Mapping[int, str], count: int, max_unreadable: float) -> None:
    """Checks the number of unreadable images.

    Args:
        unreadable: Indices of unreadable images, and why they cannot be read.
        count: Number of all images.
        max_unreadable: Share of the images that may be unreadable.

    Raises:
        DataError: There are more.
    """
    if not unreadable or len(unreadable) <= max_unreadable * count:
        return
    first = next(iter(unreadable.values()))
    if not max_unreadable:
        raise DataError(f"{first}; {SKIP_HINT}")
    raise DataError(
        f"{len(unreadable)} of {count} images cannot be read, more than the limit of {max_unreadable:.0%}; "
        f"the first: {first}"
    )


def has_progress(folder: Path) -> bool:
    """Returns whether an unfinished entry holds any images."""
    try:
        return bool(np.load(folder / "hashes.npy").any())
    except (OSError, ValueError):
        return False


def _allocate(path: Path, shape: tuple[int, ...]) -> int:
    """Creates a sparse .npy file of zero bytes, unless it exists; returns the position of its first item."""
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


def _incomplete_chunks(output: OutputFile, journal: Path, journal_offset: int, count: int) -> list[int]:
    """Returns the starts of chunks with an image that does not match its hash: a crash may lose written images."""
    hashes, stride = journal.read_bytes()[journal_offset:], output.transform.size**2 * 3
    chunk_starts = []
    with output.path.open("rb") as file:
        for start in range(0, count, CHUNK_RECORDS):
            for index in range(start, min(start + CHUNK_RECORDS, count)):
                expected = hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
                if not any(expected):
                    break
                file.seek(output.offset + index * stride)
                if blake2b(file.read(stride), digest_size=HASH_BYTES).digest() != expected:
                    break
            else:
                continue
            chunk_starts.append(start)
    return chunk_starts


def compact(folder: Path, left_out: Mapping[int, str], count: int) -> None:
    """Removes the slots of unreadable images in place, and lists them in `left_out.json`.

    After a crash on the way, the hashes tell which images have moved, and `write_entry` writes those again.

    Args:
        folder: Folder of the entry.
        left_out: Indices of unreadable images, and why they cannot be read.
        count: Number of all images.
    """
    kept = [index for index in range(count) if index not in left_out]
    hashes = np.load(folder / "hashes.npy")
    shape = np.load(folder / "pixels.npy", mmap_mode="r").shape[1:]
    offset, stride = len(_header((count, *shape))), prod(shape)
    with (folder / "pixels.npy").open("r+b") as file:
        for new_index, old_index in enumerate(kept):
            file.seek(offset + old_index * stride)
            image_bytes = file.read(stride)
            file.seek(offset + new_index * stride)
            file.write(image_bytes)
        file.truncate(offset + len(kept) * stride)
        file.seek(0)
        file.write(_header((len(kept), *shape)))  # Of the same length: numpy pads it for a growing first dimension.
    np.save(folder / "hashes.npy", hashes[kept])
    listing = {str(index): left_out[index] for index in sorted(left_out)}
    (folder / "left_out.json").write_text(json.dumps(listing, indent=2) + "\n", encoding="utf-8")


def left_out_digest(folder: Path) -> str | None:
    """Returns the digest of `left_out.json`, which decides which image is whose; None if there is no such file."""
    file = folder / "left_out.json"
    return blake2b(file.read_bytes(), digest_size=HASH_BYTES).hexdigest() if file.exists() else None


def write_metadata(folder: Path, dataset: Dataset, instance: str, purpose: str, count: int, size: int) -> None:
    """Writes `meta.json`.

    Args:
        folder: Folder of the entry.
        dataset: The dataset.
        instance: Its name in the recipe.
        purpose: What the images are for, such as `train`.
        count: Number of readable images.
        size: Side of the images in pixels.
    """
    metadata = {
        "format": FORMAT,
        "dataset": dataset.name,
        "version": dataset.version,
        "crop": asdict(dataset.crop),
        "instance": instance,
        "purpose": purpose,
        "count": count,
        "size": size,
        "bytes": count * (size * size * 3 + HASH_BYTES),
        "left_out_digest": left_out_digest(folder),
        "created": datetime.now(UTC).isoformat(),
    }
    (folder / "meta.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
