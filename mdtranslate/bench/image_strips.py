"""The same test images edited by every method of a suite, beside the ground truth."""

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
from mdtranslate.data.recipe_datasets import RecipeDataset, pick_display_indices
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.errors import MdtranslateError, RecipeError
from mdtranslate.inference.grid import draw_grid
from mdtranslate.inference.translator import Translator

DEFAULT_EDITS = 4
CANDIDATES = 8  # Test images that are considered for each one that is displayed.


@dataclass(frozen=True)
class EditStrips:
    """One edit of the same test images by every method; all images are uint8 of shape `(N, S, S, 3)`.

    Attributes:
        edit: The edit, such as `hair=Blond_Hair`.
        source: The test images.
        by_method: Their translations, by method.
        truth: Ground truth of the translations, or None if the dataset does not know it.
    """

    edit: str
    source: NDArray[np.uint8]
    by_method: Mapping[str, NDArray[np.uint8]]
    truth: NDArray[np.uint8] | None


def translate_test_images(
    dataset: RecipeDataset, data: Data, runs: Mapping[str, Path], edits: Sequence[str], count: int, device: torch.device
) -> tuple[list[EditStrips], str | None]:
    """Translates test images by the translators of several runs.

    Args:
        dataset: The dataset.
        data: Data settings of the recipe; its image size is used.
        runs: Folders of the runs, by method.
        edits: The edits; without any, the first possible ones.
        count: Number of images per edit: the first ones of which the edit changes all attributes that it names.
        device: Device of the translators.

    Returns:
        The images of each edit, and the credit line of the dataset.

    Raises:
        RecipeError: An edit names an attribute or value that the dataset does not have.
    """
    records: Sequence[Record] = dataset.records(Split.TEST)
    candidates = pick_display_indices(list(map(dataset.attribute_values, records)), CANDIDATES * count)
    records = [records[index] for index in candidates]
    prepare = CropAndResize(dataset.dataset.crop, data.image_size)
    translators = {name: Translator.load(run, device) for name, run in runs.items()}
    strips = []
    for edit, change in parse_edits(dataset, edits):
        changed = [record for record in records if not any(record.attributes.get(k) == v for k, v in change.items())]
        chosen = (changed or records)[:count]
        source = np.stack([prepare(dataset.dataset.load(record)) for record in chosen])
        by_method = {
            name: _translate(translator, dataset, chosen, source, change) for name, translator in translators.items()
        }
        strips.append(EditStrips(edit, source, by_method, _load_truth(dataset, chosen, change, prepare)))
    return strips, dataset.dataset.credit


def draw_strips(strips: Sequence[EditStrips], titles: Mapping[str, str], credit: str | None) -> NDArray[np.uint8]:
    """Draws the first two images of every edit: source, a column per method, and the truth if all edits have it.

    Args:
        strips: The edits; all by the same methods.
        titles: Titles of the methods, by name.
        credit: Credit line of the dataset.

    Returns:
        The drawing, uint8 of shape `(H, W, 3)`.
    """
    has_truth = all(strip.truth is not None for strip in strips)
    rows: list[NDArray[np.uint8]] = []
    for strip in strips:
        columns = [strip.source, *strip.by_method.values()]
        if has_truth and strip.truth is not None:
            columns.append(strip.truth)
        rows += [np.stack([column[row] for column in columns]) for row in range(min(2, len(strip.source)))]
    heads = ["image", *(titles[name] for name in strips[0].by_method), *(["truth"] if has_truth else [])]
    edits = "; ".join(strip.edit for strip in strips)
    footer = f"Two rows each: {edits}." + (f" {credit}" if credit else "")
    return np.asarray(draw_grid(np.stack(rows), heads, footer=footer))


def parse_edits(dataset: RecipeDataset, edits: Sequence[str]) -> list[tuple[str, dict[str, Value]]]:
    """Parses edits such as `hair=Blond_Hair,Male=no`.

    Args:
        dataset: The dataset whose attributes are edited.
        edits: The edits; without any, the first possible ones.

    Returns:
        Each edit, and the attribute values that it sets.

    Raises:
        RecipeError: An edit names an attribute or value that the dataset does not have.
    """
    attributes = {attribute.name: attribute for attribute in dataset.attributes}
    if not edits:
        values = [
            (name, value) for name, attribute in attributes.items() for value in attribute.values or ("yes", "no")
        ]
        edits = [f"{name}={value}" for name, value in values][:DEFAULT_EDITS]
    parsed = []
    for edit in edits:
        change: dict[str, Value] = {}
        for assignment in edit.split(","):
            name, _, value = assignment.partition("=")
            if name not in attributes:
                raise RecipeError(
                    f"edits: {edit}: {dataset.name} has no attribute {name!r}; it has {', '.join(attributes)}"
                )
            try:
                change[name] = attributes[name].parse(value)
            except ValueError as error:
                raise RecipeError(f"edits: {edit}: {error}") from None
        parsed.append((edit, change))
    return parsed


def _translate(
    translator: Translator,
    dataset: RecipeDataset,
    records: Sequence[Record],
    pixels: NDArray[np.uint8],
    change: Mapping[str, Value],
) -> NDArray[np.uint8]:
    label_encoder, index = translator.label_encoder, dataset.index
    values = list(map(dataset.attribute_values, records))
    source = torch.stack([label_encoder.encode(known, index) for known in values])
    target = torch.stack([label_encoder.encode({**known, **change}, index) for known in values])
    real = normalise(torch.from_numpy(pixels.copy()))
    return to_pixels(translator.translate(real, source, target))


def _load_truth(
    dataset: RecipeDataset, records: Sequence[Record], change: Mapping[str, Value], prepare: CropAndResize
) -> NDArray[np.uint8] | None:
    """Loads the ground truth of an edit; None if the dataset does not know it for all records."""
    try:
        counterfactuals = [dataset.dataset.counterfactual(record, change) for record in records]
        known = [record for record in counterfactuals if record is not None]
        if len(known) < len(records):
            return None
        return np.stack([prepare(dataset.dataset.load(record)) for record in known])
    except MdtranslateError:
        return None
