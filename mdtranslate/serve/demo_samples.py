"""Test images of a run that the demo offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from mdtranslate.api import Record, Split
from mdtranslate.api.attribute import format_value
from mdtranslate.config.manifest import is_shared
from mdtranslate.config.run_folder import RunFolder, is_run
from mdtranslate.config.shipped_models import shipped_name
from mdtranslate.data.recipe_datasets import RecipeDataset, build_datasets, pick_display_indices
from mdtranslate.errors import DataError, MdtranslateError, first_line
from mdtranslate.inference.translator import Translator

MAX_SAMPLES: Final = 8
"""Number of samples of all datasets together, but at least two of each dataset."""

MAX_ATTEMPTS: Final = 16
"""Number of consecutive records that are tried for a sample, since some images cannot be read."""

MAX_SIDE: Final = 1024
"""Longer side of a sample in pixels: the page uploads it again, and uploads are limited."""


@dataclass(frozen=True)
class Sample:
    """A test image.

    Attributes:
        key: Its name within the dataset.
        dataset: The dataset's name in the recipe.
        png: The image as a PNG file.
        known: Known attributes as text, by the names of `Translator.edits`.
    """

    key: str
    dataset: str
    png: bytes
    known: dict[str, str]


def load_samples(translator: Translator, run: Path) -> tuple[list[Sample], list[str]]:
    """Loads test images of the datasets of a run.

    Args:
        translator: The translator of the run.
        run: Folder of the run or of the translator.

    Returns:
        The samples, and a line for each dataset without samples, which says why.
    """
    if not is_run(run):
        return [], [f"{run}: no test images, since this folder holds a translator without its run"]
    # The recipe may be a stranger's: the paths in it must not be read unasked. Plugins are trusted.
    if is_shared(run) and shipped_name(run) is None:
        return [], [f"{run}: no test images, since the datasets of a shared model are not read"]
    samples: list[Sample] = []
    problems: list[str] = []
    try:
        datasets = build_datasets(RunFolder(run).saved_recipe().recipe)
    except Exception as error:  # Plugins may raise anything; the demo works without samples.
        return [], [f"No test images: {_message(error)}"]
    for dataset in datasets:
        try:
            samples += _load_dataset_samples(dataset, translator, max(2, MAX_SAMPLES // len(datasets)))
        except Exception as error:
            problems.append(f"No test images of {dataset.name}: {_message(error)}")
    return samples, problems


def _load_dataset_samples(dataset: RecipeDataset, translator: Translator, count: int) -> list[Sample]:
    records: Sequence[Record] = dataset.records_or_empty(Split.TEST)
    if not records:
        raise DataError("its test split is empty")
    samples: list[Sample] = []
    tried: set[int] = set()
    first_error: Exception | None = None
    for start in pick_display_indices([dataset.attribute_values(record) for record in records], count):
        for index in range(start, min(start + MAX_ATTEMPTS, len(records))):
            if index in tried:
                continue
            tried.add(index)
            try:
                samples.append(_load_sample(dataset, translator, records[index]))
                break
            except Exception as error:
                first_error = first_error or error
    if first_error is not None and not samples:
        raise first_error
    return samples


def _load_sample(dataset: RecipeDataset, translator: Translator, record: Record) -> Sample:
    image = Image.fromarray(dataset.dataset.load(record))
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = BytesIO()
    image.save(file, "PNG")
    label_encoder, parser = translator.label_encoder, translator.edit_parser
    index = parser.dataset_index(dataset.name)
    known = label_encoder.decode(label_encoder.encode(dataset.attribute_values(record), index))
    texts = {parser.qualified_name(index, name): format_value(value) for name, value in known.items()}
    return Sample(record.key, dataset.name, file.getvalue(), texts)


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, MdtranslateError) else first_line(error)
