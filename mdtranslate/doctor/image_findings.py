"""Findings about images: unreadable files, sizes and modes, duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import Final

from mdtranslate.api import Record, Split
from mdtranslate.config.schema import Data
from mdtranslate.data.cache.writer import MAX_UNREADABLE_SHARE
from mdtranslate.data.file_notes import file_notes
from mdtranslate.data.missing_files import describe_missing
from mdtranslate.doctor.findings import Finding, InspectedDataset, Rank
from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import read_image_size

MAX_FILES: Final = 2_000  # Files whose headers are read.
MAX_LISTED: Final = 3  # Unreadable files that a message names.


def inspect_images(inspected: InspectedDataset, data: Data) -> Iterator[Finding]:
    """Yields findings about the images of one dataset.

    Args:
        inspected: The dataset.
        data: The recipe's table `data`.
    """
    yield from _unreadable(inspected, data)
    yield from _sizes(inspected, data.cached_size)
    records, pixels = inspected.records[Split.TRAIN], inspected.images[Split.TRAIN].pixels
    for note in file_notes(inspected.dataset.dataset, records, pixels, inspected.name, MAX_FILES):
        yield Finding(note.kind, Rank.WARNING, f"{inspected.name}: {note.message}", note.remedy, note.files)
    yield from _duplicates(inspected)


def inspect_shared_images(datasets: Sequence[InspectedDataset]) -> Iterator[Finding]:
    """Yields findings about images that two datasets share.

    Images are compared after cropping and scaling, so only datasets with the same crop can share any.
    """
    for first, second in combinations(datasets, 2):
        positions = {
            digest.tobytes(): (split, position)
            for split, images in first.images.items()
            for position, digest in enumerate(images.hashes)
        }
        pairs = [
            (*positions[digest.tobytes()], split, position)
            for split, images in second.images.items()
            for position, digest in enumerate(images.hashes)
            if digest.tobytes() in positions
        ]
        if not pairs:
            continue
        first_split, first_position, second_split, second_position = pairs[0]
        across_splits = sum(split is not other_split for split, _, other_split, _ in pairs)
        yield Finding(
            "shared-images",
            Rank.WARNING if across_splits else Rank.INFO,
            f"{first.name} and {second.name} share {len(pairs)} images, {across_splits} of them in different splits, "
            f"such as {first.records[first_split][first_position].key} and "
            f"{second.records[second_split][second_position].key}",
            "figures on them are too good; keep each image in one split" if across_splits else "nothing to do",
        )


def _unreadable(inspected: InspectedDataset, data: Data) -> Iterator[Finding]:
    for split, images in inspected.images.items():
        if not (reasons := list(images.left_out.values())):
            continue
        share = len(reasons) / (len(reasons) + len(inspected.records[split]))
        listed = "; ".join(reasons[:MAX_LISTED])
        if len(reasons) > MAX_LISTED:
            listed += f"; and {len(reasons) - MAX_LISTED} more"
        records = inspected.dataset.records_or_empty(split)
        files = tuple(str(records[position].image or records[position].key) for position in images.left_out)
        listed += describe_missing([str(record.image) for record in records if record.image is not None], "; ")
        # A run reads no test images, only its evaluation does.
        severe = Rank.WARNING if split is Split.TEST else Rank.ERROR
        rank, remedy = Rank.INFO, "they are left out"
        if data.unreadable == "stop":
            rank, remedy = severe, "data.unreadable=skip leaves them out"
        if share > MAX_UNREADABLE_SHARE:
            rank, remedy = severe, f"repair or remove them: a run stops at more than {MAX_UNREADABLE_SHARE:.0%}"
        message = f"{inspected.name}: {len(reasons)} images of {split} ({share:.1%}) cannot be read: {listed}"
        yield Finding("unreadable", rank, message, remedy, files)


def _sizes(inspected: InspectedDataset, size: int) -> Iterator[Finding]:
    records = inspected.records[Split.TRAIN]
    files = [record.image for record in records[:: max(1, len(records) // MAX_FILES)] if record.image is not None]
    sides, modes = list[tuple[int, int]](), Counter[str]()
    for file in files:
        try:
            width, height, mode = read_image_size(file)
        except DataError:  # The dataset reads it in its own way, or it is reported as unreadable.
            continue
        sides.append((width, height))
        modes[mode] += 1
    if not sides:
        return
    crops = [inspected.dataset.dataset.crop.side * min(side) for side in sides]
    shapes = Counter(sides)
    (width, height), count = shapes.most_common(1)[0]
    listed = ", ".join(f"{mode} {number / len(sides):.0%}" for mode, number in modes.most_common())
    yield Finding(
        "sizes",
        Rank.INFO,
        f"{inspected.name}: {len(shapes)} size{'s' * (len(shapes) > 1)}, mostly {width} x {height} "
        f"({count / len(sides):.0%}); modes {listed}",
        f"the square that is cut out has {median(crops):.0f} pixels at the median; images are scaled to {size}",
    )
    if smaller := sum(crop < size for crop in crops) / len(crops):
        are_most = smaller > 0.5
        yield Finding(
            "small-images",
            Rank.WARNING if are_most else Rank.INFO,
            f"{inspected.name}: {smaller:.0%} of the images are smaller than {size} pixels and are enlarged",
            f"set data.image_size to {max(8, int(median(crops)) // 8 * 8)} or less" if are_most else "leave them out",
        )


def _duplicates(inspected: InspectedDataset) -> Iterator[Finding]:
    """Yields findings about images that are equal after cropping and scaling; recompressed ones are not noticed."""
    first_positions: dict[bytes, tuple[Split, int]] = {}
    across_splits, contradicting = list[tuple[Record, Record]](), list[tuple[Record, Record]]()
    for split, images in inspected.images.items():
        for position, digest in enumerate(images.hashes):
            first_split, first_position = first_positions.setdefault(digest.tobytes(), (split, position))
            if (first_split, first_position) == (split, position):
                continue
            pair = inspected.records[first_split][first_position], inspected.records[split][position]
            if first_split is not split:
                across_splits.append(pair)
            if inspected.labels[first_split][first_position] != inspected.labels[split][position]:
                contradicting.append(pair)
    for pairs, kind, problem, remedy in (
        (
            across_splits,
            "image-in-two-splits",
            "images are in two splits",
            "figures on them are too good; keep each image in one split",
        ),
        (contradicting, "contradicting-labels", "images occur twice with different labels", "keep one of each"),
    ):
        if pairs:
            first, second = pairs[0]
            message = f"{inspected.name}: {len(pairs)} {problem}, such as {first.key} and {second.key}"
            files = tuple(dict.fromkeys(str(record.image or record.key) for pair in pairs for record in pair))
            yield Finding(kind, Rank.WARNING, message, remedy, files)
