"""The same test pictures by every method of a suite, side by side with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mdtranslate.api import Record, Split, Value
from mdtranslate.config.schema import Data
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.source import Source, choose
from mdtranslate.data.transforms import Preparation
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.inference.grid import draw_grid
from mdtranslate.inference.translator import Translator

EDITS = 4
POOL = 8  # Pictures that are looked through, for each one that is shown.


@dataclass(frozen=True)
class Shown:
    """One edit of some test pictures, [N, S, S, 3] each."""

    edit: str
    before: NDArray[np.uint8]
    by_method: Mapping[str, NDArray[np.uint8]]
    truth: NDArray[np.uint8] | None


def translated(
    source: Source, data: Data, runs: Mapping[str, Path], edits: Sequence[str], count: int, device: torch.device
) -> tuple[list[Shown], str | None]:
    """`edits` of `count` test pictures each by the translators of `runs`; and whose pictures those are.

    They are the first ones in which the edit changes all that it names.

    `source`: the dataset, prepared as `data` says. Without `edits`, its first ones. Raises `RecipeError` for an edit
    that there is not.
    """
    records: Sequence[Record] = source.records(Split.TEST)
    records = [records[place] for place in choose(list(map(source.labelled, records)), POOL * count)]
    prepare = Preparation(source.dataset.crop, data.image_size)
    translators = {name: Translator.load(run, device) for name, run in runs.items()}
    found = []
    for edit, change in changes(source, edits):
        some = [each for each in records if not any(each.attributes.get(name) == change[name] for name in change)]
        some = (some or records)[:count]
        before = np.stack([prepare(source.dataset.load(record)) for record in some])
        made = {name: _edited(each, source, some, before, change) for name, each in translators.items()}
        found.append(Shown(edit, before, made, _truth(source, some, change, prepare)))
    return found, source.dataset.credit


def sheet(shown: Sequence[Shown], titles: Mapping[str, str], credit: str | None) -> NDArray[np.uint8]:
    """The first two pictures of every edit: a column per method, between the picture and the true one."""
    rows, heads = [], ["picture", *(titles[name] for name in shown[0].by_method)]
    known = all(each.truth is not None for each in shown)
    for each in shown:
        columns = [each.before, *each.by_method.values(), *([each.truth] if known and each.truth is not None else [])]
        rows += [np.stack([own[place] for own in columns]) for place in range(min(2, len(each.before)))]
    edits = "; ".join(each.edit for each in shown)
    footer = f"Two rows each: {edits}." + (f" {credit}" if credit else "")
    return np.asarray(draw_grid(np.stack(rows), [*heads, "true"] if known else heads, footer=footer))


def changes(source: Source, edits: Sequence[str]) -> list[tuple[str, dict[str, Value]]]:
    """What each text, such as `hair=Blond_Hair,Male=no`, changes; without any, the first edits that there are.

    Raises `RecipeError` for an edit that there is not.
    """
    known = {each.name: each for each in source.attributes}
    if not edits:
        edits = [f"{each.name}={value}" for each in source.attributes for value in each.values or ("yes", "no")][:EDITS]
    found = []
    for edit in edits:
        change: dict[str, Value] = {}
        for part in edit.split(","):
            name, _, value = part.partition("=")
            if name not in known:
                raise RecipeError(f"edits: {edit}: {source.name} has no attribute {name!r}; it has {', '.join(known)}")
            try:
                change[name] = known[name].parse(value)
            except ValueError as error:
                raise RecipeError(f"edits: {edit}: {error}") from None
        found.append((edit, change))
    return found


def _edited(
    translator: Translator,
    source: Source,
    records: Sequence[Record],
    before: NDArray[np.uint8],
    change: Mapping[str, Value],
) -> NDArray[np.uint8]:
    encoder, known = translator.encoder, list(map(source.labelled, records))
    labels = torch.stack([encoder.encode(each, source.number) for each in known])
    targets = torch.stack([encoder.encode({**each, **change}, source.number) for each in known])
    real = normalise(torch.from_numpy(before.copy()))
    return to_pixels(translator.translate(real, labels, targets))


def _truth(
    source: Source, records: Sequence[Record], change: Mapping[str, Value], prepare: Preparation
) -> NDArray[np.uint8] | None:
    """The true pictures after an edit; None where the dataset does not know them all."""
    try:
        after = [source.dataset.counterfactual(record, change) for record in records]
        return (
            np.stack([prepare(source.dataset.load(each)) for each in after if each is not None]) if all(after) else None
        )
    except MdtranslateError:
        return None
