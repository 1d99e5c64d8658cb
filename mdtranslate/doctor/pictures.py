"""What pictures tell: sizes and modes, unreadable ones, the same one twice, labels that cannot be seen in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import torch

from mdtranslate.config import Data
from mdtranslate.data.images import measure
from mdtranslate.data.sources import Progress
from mdtranslate.doctor.findings import Finding, Patient, Rank
from mdtranslate.errors import DataError
from mdtranslate.evaluation.classifier import (
    UNKNOWN,
    Examples,
    Judged,
    Training,
    accuracy,
    examples,
    small,
    train_classifier,
)
from mdtranslate.interfaces import Split

MEASURED: Final = 2_000
SHOWN: Final = 3
ENOUGH: Final = 200
"""Pictures without which a classifier tells nothing."""
BETTER: Final = 0.15
"""Share of the way from always the commonest value to always right that a classifier has to go."""
TRAINING: Final = Training(rounds=2, least=6_400, most=6_400)


def examine(patient: Patient, data: Data) -> Iterator[Finding]:
    """Findings about the pictures of one dataset."""
    yield from _unreadable(patient, data)
    yield from _sizes(patient, data.image_size)
    yield from _twice(patient)


def examine_visibility(
    patients: Sequence[Patient], data: Data, device: torch.device, progress: Progress
) -> Iterator[Finding]:
    """Whether a small classifier learns to see the labels: what it cannot see, a discriminator will hardly."""
    judged = Judged([each.source for each in patients])

    def gather(some: Sequence[Patient], split: Split) -> Examples:
        parts = [(each.source, list(each.source.records(split))) for each in some]
        return examples(judged, parts, split, data.cached_size, progress).cut(data.image_size)

    train = gather(patients, Split.TRAIN)
    if len(train.codes) < ENOUGH:
        what = f"{len(train.codes)} pictures are too few to tell whether labels can be seen in them"
        yield Finding(Rank.TROUBLE, what, f"{ENOUGH} would do; for a good model, thousands")
        return
    network, _ = train_classifier(
        train, None, judged.attributes, 0, device, progress, TRAINING, "a small classifier", small
    )
    for patient in patients:
        split = next(each for each in (Split.VAL, Split.TEST, Split.TRAIN) if patient.records[each])
        held_out = gather([patient], split)
        reached, blind = accuracy(network, held_out, judged.attributes, device), 0
        for attribute in patient.source.attributes:
            name = judged.names[patient.source.number][attribute.name]
            column = [each.name for each in judged.attributes].index(name)
            codes = [code for code in held_out.codes[:, column].tolist() if code != UNKNOWN]
            common = max(Counter(codes).values()) / len(codes) if codes else 1.0
            if common < 1 and reached[name] < common + BETTER * (1 - common):
                blind += 1
                yield Finding(
                    Rank.TROUBLE,
                    f"{patient.name}: {attribute.name} cannot be seen: a small classifier is right in "
                    f"{reached[name]:.0%} of held-out pictures, and always the commonest value in {common:.0%}",
                    "look at the contact sheet: wrong labels, a crop that cuts it off, pictures that are too small?",
                )
        if blind == len(patient.source.attributes):
            what = f"{patient.name}: none of its labels can be seen in the pictures"
            yield Finding(Rank.IN_VAIN, what, "check how labels were joined to files")


def _unreadable(patient: Patient, data: Data) -> Iterator[Finding]:
    if not (reasons := patient.left_out):
        return
    listed = "; ".join(reasons[:SHOWN]) + (f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else "")
    yield Finding(
        Rank.IN_VAIN if data.unreadable == "stop" else Rank.NOTE,
        f"{patient.name}: {len(reasons)} pictures cannot be read: {listed}",
        "data.unreadable=skip leaves them out" if data.unreadable == "stop" else "they are left out",
    )


def _sizes(patient: Patient, size: int) -> Iterator[Finding]:
    records = patient.records[Split.TRAIN]
    files = [each.image for each in records[:: max(1, len(records) // MEASURED)] if each.image is not None]
    if not files:
        return
    sides, modes = list[tuple[int, int]](), Counter[str]()
    for file in files:
        try:
            width, height, mode = measure(file)
        except DataError:
            continue  # Among the unreadable.
        sides.append((width, height))
        modes[mode] += 1
    crop = [patient.source.dataset.crop.side * min(each) for each in sides]
    shapes = Counter(sides)
    common, often = shapes.most_common(1)[0]
    yield Finding(
        Rank.NOTE,
        f"{patient.name}: {len(shapes)} sizes, mostly {common[0]} x {common[1]} ({often / len(sides):.0%}); "
        f"modes {', '.join(f'{mode} {count / len(sides):.0%}' for mode, count in modes.most_common())}",
        f"the square that is cut out has {median(crop):.0f} pixels at the median; data.image_size is {size}",
    )
    if smaller := sum(each < size for each in crop) / len(crop):
        yield Finding(
            Rank.TROUBLE if smaller > 0.5 else Rank.NOTE,
            f"{patient.name}: {smaller:.0%} of the pictures are smaller than data.image_size={size} and are enlarged",
            f"a data.image_size of {int(median(crop)) // 16 * 16} or less",
        )


def _twice(patient: Patient) -> Iterator[Finding]:
    """Equal after preparation; what was compressed anew is not noticed."""
    first: dict[bytes, tuple[Split, int]] = {}
    across, torn = list[str](), list[str]()
    for split, packed in patient.packed.items():
        for place, digest in enumerate(packed.hashes):
            home, there = first.setdefault(digest.tobytes(), (split, place))
            if (home, there) == (split, place):
                continue
            pair = f"{patient.records[home][there].key} and {patient.records[split][place].key}"
            if home is not split:
                across.append(pair)
            if patient.labels[home][there] != patient.labels[split][place]:
                torn.append(pair)
    if across:
        yield Finding(
            Rank.TROUBLE,
            f"{patient.name}: {len(across)} pictures are in two splits, such as {across[0]}",
            "what is measured on them flatters; keep each picture in one split",
        )
    if torn:
        yield Finding(
            Rank.TROUBLE,
            f"{patient.name}: {len(torn)} pictures are there twice with different labels, such as {torn[0]}",
            "keep one of each",
        )
