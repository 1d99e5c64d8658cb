"""What pictures tell: sizes and modes, unreadable ones, the same one twice, labels that cannot be seen in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import Final

import torch

from mdtranslate.api import Record, Split
from mdtranslate.config.schema import Data
from mdtranslate.data.cache.writer import MOST_UNREADABLE
from mdtranslate.data.file_notes import file_notes
from mdtranslate.data.missing_files import describe_missing
from mdtranslate.data.source import Progress
from mdtranslate.doctor.findings import Finding, Patient, Rank
from mdtranslate.errors import DataError
from mdtranslate.evaluation.attribute_classifier import (
    UNKNOWN,
    Judged,
    accuracy,
    examples,
    train_small,
)
from mdtranslate.utils.image_io import measure

MEASURED: Final = 2_000
SHOWN: Final = 3
ENOUGH: Final = 50
"""Pictures to train on, and pictures held out, without which a classifier tells nothing."""
BETTER: Final = 0.15
"""Share of the way from always the commonest value to always right that a classifier has to go."""
BATCHES: Final = 400


def examine(patient: Patient, data: Data) -> Iterator[Finding]:
    """Findings about the pictures of one dataset."""
    yield from _unreadable(patient, data)
    yield from _sizes(patient, data.cached_size)
    train = patient.packed[Split.TRAIN].pixels
    for note in file_notes(patient.source.dataset, patient.records[Split.TRAIN], train, patient.name, MEASURED):
        yield Finding(note.kind, Rank.TROUBLE, f"{patient.name}: {note.what}", note.cure, note.files)
    yield from _twice(patient)


def examine_shared(patients: Sequence[Patient]) -> Iterator[Finding]:
    """Findings about pictures that several datasets have; equal after preparation, so only where they are cut alike."""
    for one, other in combinations(patients, 2):
        homes = {
            digest.tobytes(): (split, place)
            for split, packed in one.packed.items()
            for place, digest in enumerate(packed.hashes)
        }
        pairs = [
            (*homes[digest.tobytes()], split, place)
            for split, packed in other.packed.items()
            for place, digest in enumerate(packed.hashes)
            if digest.tobytes() in homes
        ]
        if not pairs:
            continue
        home, there, split, place = pairs[0]
        torn = sum(mine is not theirs for mine, _, theirs, _ in pairs)
        yield Finding(
            "shared-images",
            Rank.TROUBLE if torn else Rank.NOTE,
            f"{one.name} and {other.name} have {len(pairs)} pictures in common, {torn} of them in different splits, "
            f"such as {one.records[home][there].key} and {other.records[split][place].key}",
            "what is measured on them flatters; keep each picture in one split" if torn else "nothing to do",
        )


def examine_visibility(
    patients: Sequence[Patient], data: Data, device: torch.device, progress: Progress
) -> Iterator[Finding]:
    """Whether a small classifier learns to see the labels: what it cannot see, a discriminator will hardly."""
    sources = [each.source for each in patients]
    splits = list(map(_telling, patients))
    judged = Judged(sources)
    network = train_small(sources, data, device, progress, BATCHES) if any(splits) else None
    for patient, split in zip(patients, splits, strict=True):
        if split is None or network is None:
            what = f"{patient.name}: too few pictures to train on and to hold out to tell whether labels can be seen"
            yield Finding(
                "too-few-images", Rank.NOTE, what, f"{ENOUGH} in the train and in the val or test split would do"
            )
            continue
        held_out = examples(judged, [(patient.source, patient.source.listed(split))], split, data.image_size, progress)
        reached, seen = accuracy(network, held_out, judged.attributes, device), list[bool]()
        shares = list[str]()
        for attribute in patient.source.attributes:
            name = judged.names[patient.source.number][attribute.name]
            column = [each.name for each in judged.attributes].index(name)
            codes = [code for code in held_out.codes[:, column].tolist() if code != UNKNOWN]
            common = max(Counter(codes).values()) / len(codes) if codes else 1.0
            if common == 1:
                continue  # Said among the labels.
            if len(codes) >= ENOUGH:
                shares.append(f"{attribute.name} {reached[name]:.0%} ({common:.0%})")
            seen.append(len(codes) < ENOUGH or reached[name] >= common + BETTER * (1 - common))
            if seen[-1]:
                continue
            yield Finding(
                "label-not-visible",
                Rank.TROUBLE,
                f"{patient.name}: {attribute.name} cannot be seen: a small classifier is right in {reached[name]:.0%} "
                f"of the {split} split, and always the commonest value in {common:.0%}",
                "look at the contact sheet: wrong labels, a crop that cuts it off, pictures that are too small"
                + (", or left and right in it, for which data.flip=false is right" if data.flip else ""),
            )
        if shares:
            yield Finding(
                "label-visibility",
                Rank.NOTE,
                f"{patient.name}: a small classifier is right in {', '.join(shares)} of the {split} split; in "
                "brackets, the share of the commonest value",
                "what is seen so far is what an edit can be learned from",
            )
        if seen and not any(seen):
            what = f"{patient.name}: none of its labels can be seen in the pictures"
            yield Finding("labels-not-visible", Rank.IN_VAIN, what, "check how labels were joined to files")


def _telling(patient: Patient) -> Split | None:
    """The split that tells whether labels can be seen; None where there are too few pictures."""
    if len(patient.records[Split.TRAIN]) < ENOUGH:
        return None
    return next((each for each in (Split.VAL, Split.TEST) if len(patient.records[each]) >= ENOUGH), None)


def _unreadable(patient: Patient, data: Data) -> Iterator[Finding]:
    for split, packed in patient.packed.items():
        if not (reasons := list(packed.left_out.values())):
            continue
        share = len(reasons) / (len(reasons) + len(patient.records[split]))
        listed = "; ".join(reasons[:SHOWN]) + (f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else "")
        own = patient.source.listed(split)
        files = tuple(str(own[place].image or own[place].key) for place in packed.left_out)
        listed += describe_missing([str(each.image) for each in own if each.image is not None], "; ")
        rank, cure = Rank.NOTE, "they are left out"
        if data.unreadable == "stop":
            # A run looks at no test picture; its evaluation does.
            rank = Rank.TROUBLE if split is Split.TEST else Rank.IN_VAIN
            cure = "data.unreadable=skip leaves them out"
        if share > MOST_UNREADABLE:
            rank = Rank.TROUBLE if split is Split.TEST else Rank.IN_VAIN
            cure = f"mend or remove them: a run stops at more than {MOST_UNREADABLE:.0%}"
        what = f"{patient.name}: {len(reasons)} pictures of {split} ({share:.1%}) cannot be read: {listed}"
        yield Finding("unreadable", rank, what, cure, files)


def _sizes(patient: Patient, size: int) -> Iterator[Finding]:
    records = patient.records[Split.TRAIN]
    # What cannot be measured is read by the dataset itself, or is among the unreadable.
    files = [each.image for each in records[:: max(1, len(records) // MEASURED)] if each.image is not None]
    if not files:
        return
    sides, modes = list[tuple[int, int]](), Counter[str]()
    for file in files:
        try:
            width, height, mode = measure(file)
        except DataError:
            continue
        sides.append((width, height))
        modes[mode] += 1
    if not sides:
        return
    crop = [patient.source.dataset.crop.side * min(each) for each in sides]
    shapes = Counter(sides)
    common, often = shapes.most_common(1)[0]
    yield Finding(
        "sizes",
        Rank.NOTE,
        f"{patient.name}: {len(shapes)} size{'s' * (len(shapes) > 1)}, mostly {common[0]} x {common[1]} "
        f"({often / len(sides):.0%}); modes "
        f"{', '.join(f'{mode} {count / len(sides):.0%}' for mode, count in modes.most_common())}",
        f"the square that is cut out has {median(crop):.0f} pixels at the median; pictures are scaled to {size}",
    )
    if smaller := sum(each < size for each in crop) / len(crop):
        yield Finding(
            "small-images",
            Rank.TROUBLE if smaller > 0.5 else Rank.NOTE,
            f"{patient.name}: {smaller:.0%} of the pictures are smaller than {size} pixels and are enlarged",
            f"a data.image_size of {max(8, int(median(crop)) // 8 * 8)} or less" if smaller > 0.5 else "leave them out",
        )


def _twice(patient: Patient) -> Iterator[Finding]:
    """Equal after preparation; what was compressed anew is not noticed."""
    first: dict[bytes, tuple[Split, int]] = {}
    across, torn = list[tuple[Record, Record]](), list[tuple[Record, Record]]()
    for split, packed in patient.packed.items():
        for place, digest in enumerate(packed.hashes):
            home, there = first.setdefault(digest.tobytes(), (split, place))
            if (home, there) == (split, place):
                continue
            pair = patient.records[home][there], patient.records[split][place]
            if home is not split:
                across.append(pair)
            if patient.labels[home][there] != patient.labels[split][place]:
                torn.append(pair)
    for pairs, kind, what, cure in (
        (
            across,
            "image-in-two-splits",
            "pictures are in two splits",
            "what is measured on them flatters; keep each picture in one split",
        ),
        (torn, "contradicting-labels", "pictures are there twice with different labels", "keep one of each"),
    ):
        if pairs:
            one, other = pairs[0]
            said = f"{patient.name}: {len(pairs)} {what}, such as {one.key} and {other.key}"
            files = tuple(dict.fromkeys(str(each.image or each.key) for pair in pairs for each in pair))
            yield Finding(kind, Rank.TROUBLE, said, cure, files)
