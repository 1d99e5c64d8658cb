"""What an evaluation tries of one dataset: its test pictures, every edit of one attribute, and the truth after it.

In a run over several datasets the edits are also those of the *other* datasets' attributes: a face of CelebA made happy
as RaFD knows it. Those are transferred: the picture is taken for one of the other dataset, of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import Record, Split, Value
from mdtranslate.api.dataset import spell
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.data.cache.store import Packed
from mdtranslate.data.source import Progress, Source
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.evaluation.attribute_classifier import Judged
from mdtranslate.inference.translator import Translator

BATCH = 64


@dataclass(frozen=True)
class Edit:
    """A change of one attribute, or of several at once."""

    source: Source
    """The dataset that labels the attributes."""
    parts: tuple[tuple[str, str, Value], ...]
    """Of each attribute: its name there, its name with the judge, and the value that it gets."""

    def __str__(self) -> str:
        return ",".join(f"{judged}={spell(value)}" for _, judged, value in self.parts)

    @property
    def judged(self) -> str:
        """What is changed: `hair`, or `hair+Eyeglasses`."""
        return "+".join(judged for _, judged, _ in self.parts)

    @property
    def change(self) -> dict[str, Value]:
        """As metrics are told it."""
        return {judged: value for _, judged, value in self.parts}

    def at_home(self) -> dict[str, Value]:
        """As the dataset calls it."""
        return {name: value for name, _, value in self.parts}


@dataclass(frozen=True, eq=False)
class Tested:
    """The test pictures of a dataset, what is known of them, their edits, and the true pictures after those."""

    source: Source
    packed: Packed
    known: Sequence[Mapping[str, Value]]
    """Everything the dataset knows of each picture, by the judge's names."""
    labels: Mapping[int, Tensor]
    """By the number of the dataset whose edits are made: labels there, the unknown inferred, [N, L]."""
    edits: dict[Edit, list[int]]
    """The pictures of each edit: those that are not known to have its value."""
    truths: NDArray[np.uint8]
    truth: Mapping[tuple[Edit, int], int]
    """Where in `truths` the true picture of an edit and a picture is."""

    def targets(self, translator: Translator, edit: Edit, index: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Labels of pictures before and after an edit, [B, L] each."""
        encoder, number = translator.encoder, edit.source.number
        before = self.labels[number][index]
        wanted = [{**encoder.decode(each), **edit.at_home()} for each in before]
        return before, torch.stack([encoder.encode(each, number) for each in wanted])

    def batches(self) -> Iterator[tuple[Edit, list[int]]]:
        """Pictures of one edit; of all or of none in a batch the truth is known."""
        for edit, chosen in self.edits.items():
            for known in (True, False):
                some = [n for n in chosen if ((edit, n) in self.truth) == known]
                for index in chunks(some):
                    yield edit, index


@torch.inference_mode()
def prepare(
    source: Source,
    sources: Sequence[Source],
    judged: Judged,
    size: int,
    translator: Translator,
    device: torch.device,
    progress: Progress,
    together: int = 1,
) -> Tested:
    """The test pictures of `source`, one of the run's `sources`, at `size` pixels, ready to be edited.

    Edits are of one attribute, of every dataset, and of up to `together` attributes of its own at once.

    Raises `DataError` for a test split without pictures, or of which nothing could be edited.
    """
    records: Sequence[Record] = source.records(Split.TEST)
    packed = source.pack(records, size, "test", progress)
    records = packed.of(records)
    known = [judged.known(record, source) for record in records]

    labels: dict[int, Tensor] = {}
    edits: dict[Edit, list[int]] = {}
    for other in (source, *(each for each in sources if each is not source)):
        own = other is source
        there = source.labels(records, translator.encoder) if own else _nothing(translator, other, len(records))
        try:
            labels[other.number] = _inferred(translator, packed, there, device, own)
        except RecipeError:  # No network tells what a picture has. Its own dataset may know it all.
            if own:
                raise
            continue
        for edit in _edits(other, judged, {each.judged for each in edits}, together if own else 1):
            edits[edit] = [n for n, has in enumerate(known) if _changes(has, edit, own)]
    edits = {edit: chosen for edit, chosen in edits.items() if chosen}
    if not any(edit.source is source for edit in edits):
        raise DataError(f"dataset {source.name}: no test picture has a known attribute that could be edited")

    pairs: list[tuple[Edit, int]] = []
    others: list[Record] = []
    for edit, chosen in edits.items():
        wanted = {judged.own(name, source): value for name, value in edit.change.items()}
        if None in wanted:
            continue
        for n in chosen:
            if (after := source.dataset.counterfactual(records[n], wanted)) is not None:  # type: ignore[arg-type]
                pairs.append((edit, n))
                others.append(after)
    truths = source.pack(others, size, "test, edited", progress)
    truth = {pair: place for place, pair in enumerate(truths.of(pairs))}
    return Tested(source, packed, known, labels, edits, truths.pixels, truth)


def chunks(index: list[int]) -> Iterator[list[int]]:
    """Batches of an evaluation."""
    for start in range(0, len(index), BATCH):
        yield index[start : start + BATCH]


def shown(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pictures as networks see them."""
    return normalise(to_device(pixels, device))


def _edits(source: Source, judged: Judged, taken: set[str], together: int) -> Iterator[Edit]:
    """Every edit of a dataset's attributes; not of those in `taken`, which another dataset labels too."""
    parts = [
        [(each.name, name, value) for value in each.allowed if value is not None]
        for each in source.attributes
        if (name := judged.names[source.number][each.name]) not in taken
    ]
    for count in range(1, together + 1):
        for some in combinations(parts, count):
            yield from (Edit(source, chosen) for chosen in product(*some))


def _changes(known: Mapping[str, Value], edit: Edit, own: bool) -> bool:
    """Whether an edit changes all that it names. What is unknown of a picture only its own dataset could be asked."""
    return all(known[name] != value if name in known else not own for name, value in edit.change.items())


def _nothing(translator: Translator, source: Source, count: int) -> Tensor:
    return translator.encoder.encode({}, source.number).repeat(count, 1)


def _inferred(translator: Translator, packed: Packed, labels: Tensor, device: torch.device, own: bool) -> Tensor:
    """Labels with what is unknown inferred. What stays unknown is edited in pictures of other datasets alone."""
    labels, changing = labels.clone(), () if own else None
    for index in chunks(list(range(len(labels)))):
        labels[index] = translator.infer(shown(packed.pixels[index], device), labels[index], changing).cpu()
    return labels
