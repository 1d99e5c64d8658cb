"""The datasets of a recipe: their records, labels and cached images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mdtranslate.api import Attribute, Dataset, LabelEncoder, Record, Split, Value
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.registry import registry
from mdtranslate.data.cache.store import CachedImages, cache_images, is_cached
from mdtranslate.data.cache.writer import MAX_UNREADABLE_SHARE
from mdtranslate.data.records import InvalidRecord, Records
from mdtranslate.errors import DataError, MdtranslateError, PluginError, RecipeError, nearest

Progress = Callable[[str, int, int], None]
"""Receives what is cached (such as `faces train`), the number of cached images and the number of all images."""

PREVIEW_IMAGES = 64
"""Number of training images that stand in for a missing validation split."""


@dataclass(frozen=True)
class RecipeDataset:
    """One dataset of a recipe.

    Attributes:
        name: Its name in the recipe.
        index: Its index among the recipe's datasets.
        dataset: The dataset.
        attributes: Its attributes that the run uses.
        workers: Number of processes that fill the cache, as `data.workers`.
        max_unreadable: Share of the images of a split that may be unreadable and are then left out.
    """

    name: str
    index: int
    dataset: Dataset
    attributes: tuple[Attribute, ...]
    workers: int | None = None
    max_unreadable: float = 0.0
    # Runs ask for a split several times, and listing a million records takes seconds.
    _records: dict[Split, Records] = field(default_factory=dict, init=False, repr=False, compare=False)

    def records(self, split: Split) -> Records:
        """Returns the records of a split.

        Raises:
            DataError: There are none; otherwise as `records_or_empty`.
            PluginError: As `records_or_empty`.
        """
        if not (records := self.records_or_empty(split)):
            raise DataError(f"dataset {self.name} has no images in its {split} split")
        return records

    def validation_records(self) -> Records:
        """Returns the records of the val split, or of the train split if there is no val split.

        Never those of the test split: choices that depend on it would bias its results.
        """
        return self.records_or_empty(Split.VAL) or self.records(Split.TRAIN)

    def records_or_empty(self, split: Split) -> Records:
        """Returns the records of a split, which may be empty.

        Raises:
            PluginError: The dataset failed, or lists something that is not a valid record.
            DataError: Two records have the same key, or a file of the dataset is missing or invalid.
        """
        if split not in self._records:
            try:
                records = Records(self.dataset.records(split))
            except InvalidRecord as error:
                raise PluginError(f"dataset {self.dataset.name!r} lists {error}") from None
            except MdtranslateError:
                raise
            except Exception as error:  # Plugin code may raise anything.
                raise _dataset_error(self.name, self.dataset, error) from error
            if (key := records.duplicate_key) is not None:
                raise DataError(
                    f"dataset {self.name}: key {key!r} occurs twice in its {split} split; keys must be unique"
                )
            declared = [attribute.name for attribute in self.dataset.attributes]
            if undeclared := sorted(records.attribute_names - {*declared}):
                problem = f"{undeclared[0]!r}, which it does not declare; {nearest(undeclared[0], declared)}"
                raise PluginError(f"dataset {self.dataset.name!r} lists images with attribute {problem}")
            self._records[split] = records
        return self._records[split]

    def attribute_values(self, record: Record) -> dict[str, Value]:
        """Returns the known values of a record for the attributes that the run uses."""
        names = (attribute.name for attribute in self.attributes)
        return {name: record.attributes[name] for name in names if name in record.attributes}

    def encode_labels(self, records: Sequence[Record], label_encoder: LabelEncoder) -> Tensor:
        """Returns the labels of records, of shape `(N, L)`.

        Raises:
            DataError: A record has a value that its attribute does not have.
        """
        return self.encode_records(records, self.attributes, lambda values: label_encoder.encode(values, self.index))

    def encode_records(
        self, records: Sequence[Record], attributes: Sequence[Attribute], encode: Callable[[dict[str, Value]], Tensor]
    ) -> Tensor:
        """Encodes the attributes of records; records of equal attributes are encoded once.

        Args:
            records: The records.
            attributes: The attributes to encode.
            encode: Maps known attribute values to a row of shape `(L,)`.

        Returns:
            The rows, of shape `(N, L)`.

        Raises:
            DataError: `encode` raised `ValueError`.
        """
        columns, done = Records.from_sequence(records), 0
        rows = encode({}).repeat(len(columns), 1)  # Filled in place, since a million rows should exist only once.
        for values, first_index, inverse in columns.unique_attributes([attribute.name for attribute in attributes]):
            unique_rows = []
            for known, first in zip(values, first_index, strict=True):
                try:
                    unique_rows.append(encode(known))
                except ValueError as error:
                    raise DataError(f"dataset {self.name}, image {columns[first].key}: {error}") from None
            rows[done : done + len(inverse)] = torch.stack(unique_rows)[torch.from_numpy(inverse)]
            done += len(inverse)
        return rows

    def preview_images(self, size: int, progress: Progress) -> tuple[Sequence[Record], CachedImages]:
        """Returns images for samples and validation: the val split, or the first training images if there is none.

        Args:
            size: Side of the images in pixels.
            progress: Receives the progress of caching.

        Returns:
            The records of the readable images, and the images.

        Raises:
            DataError: Some images cannot be read.
            PluginError: The dataset fails in any other way.
            StorageError: The cache cannot be written.
        """
        records: Sequence[Record] = self.records_or_empty(Split.VAL) or self.records(Split.TRAIN)[:PREVIEW_IMAGES]
        cached = self.cache_images(records, size, "val", progress)
        return cached.select_readable(records), cached

    def is_cached(self, records: Sequence[Record], size: int) -> bool:
        """Returns whether the images of records are cached at a size in pixels."""
        return is_cached(self.dataset, records, size, self.max_unreadable)

    def cache_images(self, records: Sequence[Record], size: int, purpose: str, progress: Progress) -> CachedImages:
        """Returns the images of records from the cache, which is filled first if necessary.

        Args:
            records: The records.
            size: Side of the images in pixels.
            purpose: What they are for, such as `train`; for display only.
            progress: Receives the progress of caching.

        Raises:
            DataError: Some images cannot be read.
            StorageError: The cache cannot be written.
        """
        return cache_images(
            self.dataset,
            records,
            size,
            instance=self.name,
            purpose=purpose,
            workers=self.workers,
            max_unreadable=self.max_unreadable,
            progress=lambda done, total: progress(f"{self.name} {purpose}", done, total),
        )


def pick_display_indices(labels: Sequence[Mapping[str, Value]], count: int) -> list[int]:
    """Picks images to display.

    Args:
        labels: Attribute values of all images.
        count: Number of images to pick.

    Returns:
        Indices of the first images or, if those all have the same labels (as in a folder per domain), of images that
        are spread evenly.
    """
    first = list(range(min(count, len(labels))))
    if any(labels[index] != labels[0] for index in first):
        return first
    return [index * len(labels) // max(len(first), 1) for index in first]


def build_datasets(recipe: Recipe) -> list[RecipeDataset]:
    """Builds the datasets of a recipe.

    Raises:
        RecipeError: The recipe names an attribute that a dataset does not have.
        DataError: An attribute has a name that the command line cannot express.
        PluginError: A dataset failed, or declares its attributes incorrectly.
    """
    max_unreadable = MAX_UNREADABLE_SHARE if recipe.data.unreadable == "skip" else 0.0
    datasets = []
    for index, (name, choice) in enumerate(recipe.datasets.items()):
        dataset = choice.build()
        attributes = _select_attributes(name, dataset, _declared_attributes(name, dataset))
        datasets.append(RecipeDataset(name, index, dataset, attributes, recipe.data.workers, max_unreadable))
    return datasets


def _declared_attributes(name: str, dataset: Dataset) -> dict[str, Attribute]:
    """Returns the attributes that a dataset declares, by name."""
    try:
        declared: Any = dataset.attributes
    except MdtranslateError:
        raise
    except Exception as error:  # It may be a property that reads files.
        raise _dataset_error(name, dataset, error) from error
    if not isinstance(declared, Sequence) or not all(isinstance(attribute, Attribute) for attribute in declared):
        raise PluginError(
            f"dataset {dataset.name!r}: attributes is {declared!r}; expected a tuple of Attribute, such as "
            '(Attribute("Young"),), with its comma'
        )
    attributes = {attribute.name: attribute for attribute in declared}
    if len(attributes) < len(declared):
        raise PluginError(f"dataset {dataset.name!r} declares an attribute twice")
    if not attributes:
        raise PluginError(f"dataset {dataset.name!r} declares no attributes, so there is nothing to translate")
    return attributes


def _select_attributes(name: str, dataset: Dataset, declared: Mapping[str, Attribute]) -> tuple[Attribute, ...]:
    """Returns the attributes that the setting `attributes` names; all if it is not set."""
    key, selected = f"datasets.{name}.attributes", dataset.config.attributes
    for attribute_name in selected or ():
        if attribute_name not in declared:
            raise RecipeError(f"{key}: no attribute {attribute_name!r}; {nearest(attribute_name, declared)}")
        if selected.count(attribute_name) > 1:
            raise RecipeError(f"{key}: {attribute_name!r} is listed twice")
    attributes = tuple(declared.values()) if selected is None else tuple(declared[each] for each in selected)
    if not attributes:
        raise RecipeError(f"{key}: is empty; name at least one of {', '.join(declared)}")
    for attribute in attributes:
        # The command line takes NAME=VALUE,NAME=VALUE.
        if {*"=,"} & {*attribute.name} or attribute.name != attribute.name.strip():
            raise DataError(
                f"dataset {name}: attribute {attribute.name!r} cannot be written on the command line: names must not "
                f"contain = or , nor start or end with blanks; rename it, or leave it out of {key}"
            )
    return attributes


def _dataset_error(name: str, dataset: Dataset, error: Exception) -> MdtranslateError:
    """Returns the error to raise if code of a dataset raised `error`."""
    if isinstance(error, OSError) and error.filename is not None:
        return DataError(f"dataset {name}: {error}")
    owner = registry().owner("dataset", dataset.name)
    return PluginError(f"dataset {name}, of {owner}, failed: {registry().describe_error(error)}")


def attributes_by_dataset(datasets: Sequence[RecipeDataset]) -> Mapping[str, tuple[Attribute, ...]]:
    """Returns the attributes of each dataset that the run uses, in the form that label encoders take."""
    return {dataset.name: dataset.attributes for dataset in datasets}


def data_digest(cached: CachedImages, labels: Tensor) -> str:
    """Returns a digest of images and their labels, in hex."""
    digest = hashlib.blake2b(cached.digest.encode(), digest_size=16)
    digest.update(labels.numpy().data)
    return digest.hexdigest()
