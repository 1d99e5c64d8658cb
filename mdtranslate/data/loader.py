"""The pictures of a run: the batches that it trains on, and those that it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder, Record, Split
from mdtranslate.config.schema import Recipe
from mdtranslate.data.augment import Augment
from mdtranslate.data.batches import Batches
from mdtranslate.data.cache.store import Packed
from mdtranslate.data.file_notes import file_notes
from mdtranslate.data.mirrored_labels import refuse_mirroring
from mdtranslate.data.records import Records
from mdtranslate.data.sampling.paired import find_truths
from mdtranslate.data.source import Progress, Source, choose, fingerprint
from mdtranslate.errors import DataError


class Feed:
    """Brings what a recipe names into the cache, which may take long, and opens it."""

    def __init__(self, recipe: Recipe, sources: Sequence[Source], encoder: LabelEncoder, progress: Progress) -> None:
        self.recipe, self.sources, self.encoder, self.progress = recipe, sources, encoder, progress
        self.left_out: list[str] = []
        """Pictures that cannot be read, and why."""
        self.identity: dict[str, str] = {}
        """What each dataset is: a run that goes on must find the same."""
        self._notes: list[str] = []

    def batches(self, device: torch.device, augment: Augment | None, part: slice = slice(None)) -> Batches:
        """The training batches, or `part` of each: pictures from the cache, packed first where they are not yet."""
        data, encoder = self.recipe.data, self.encoder
        refuse_mirroring(data.augment, encoder)
        pixels, labels, parts = [], [], []
        for source in self.sources:
            records = source.records(Split.TRAIN)
            packed = source.pack(records, data.cached_size, "train", self.progress)
            self._note_left_out(source, packed)
            parts.append((source, packed.of(records)))
            own = source.labels(packed.of(records), encoder)
            pixels.append(packed.pixels)
            labels.append(own)
            refuse_unseen(source, packed.of(records))
            notes = file_notes(source.dataset, packed.of(records), packed.pixels, source.name)
            self._notes += [f"dataset {source.name}: {note.what}; {note.cure}" for note in notes]
            self.identity[source.name] = fingerprint(packed, own)
        truths = None
        if data.targets == "paired":
            truths = find_truths(parts, encoder, data.cached_size, self.progress)
            for source, packed in zip(self.sources, truths.packed, strict=True):
                self._note_left_out(source, packed)
                self.identity[f"{source.name}, edited"] = fingerprint(packed, truths.labels)
        return Batches(pixels, labels, encoder, data, self.recipe.train.seed, device, augment, truths, part)

    def samples(self, say: Callable[[str], None]) -> tuple[NDArray[np.uint8], Tensor]:
        """The pictures of the sample grids, [N, S, S, 3], and their labels [N, L].

        The first of each dataset that it does not train on, shared out evenly.
        """
        for source in self.sources:
            notes = source.dataset.notes()
            self._notes += [f"dataset {source.name}: {note.what}; {note.cure}" for note in notes]
        for note in self._notes:
            say(f"warning: {note}")
        pixels, labels, rows, data = [], [], self.recipe.train.sample_pictures, self.recipe.data
        for number, source in enumerate(self.sources):
            share = rows // len(self.sources) + (number < rows % len(self.sources))
            records, packed = source.shown(data.image_size, self.progress)
            self._note_left_out(source, packed)
            if not source.listed(Split.VAL):
                say(f"{source.name}: has no val split; samples and looks show pictures that it trains on")
            if places := choose(list(map(source.labelled, records)), share):
                pixels.append(packed.pixels[places])
                labels.append(source.labels([records[place] for place in places], self.encoder))
        return np.concatenate(pixels), torch.cat(labels)

    def _note_left_out(self, source: Source, packed: Packed) -> None:
        reasons = (f"{source.name}: {reason}" for reason in packed.left_out.values())
        self.left_out += [each for each in reasons if each not in self.left_out]


def refuse_unseen(source: Source, records: Sequence[Record]) -> None:
    """Raises `DataError` for a value that no image to train on has: nothing could be learned about it.

    Of datasets of files; what is drawn has all values, if not in a few images.
    """
    named, kept = [each for each in source.attributes if each.values], Records.of(records)
    if all(record.image is None for record in records[:1]):
        return
    for attribute in named:
        kinds = (known for known, _, _ in kept.alike([attribute.name]))
        seen = {each.get(attribute.name) for chunk in kinds for each in chunk}
        if lacking := [value for value in attribute.values if value not in seen]:
            raise DataError(
                f"dataset {source.name}: no image to train on has {attribute.name}={lacking[0]}: leave the value out, "
                f"or {attribute.name} out of datasets.{source.name}.attributes"
            )
