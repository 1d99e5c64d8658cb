"""Loads the images of a run: training batches and images for sample grids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder, Note, Record, Split
from mdtranslate.config.recipe import Recipe
from mdtranslate.data.augment import Augment
from mdtranslate.data.batches import Batches
from mdtranslate.data.cache.store import CachedImages
from mdtranslate.data.file_notes import file_notes
from mdtranslate.data.mirrored_labels import refuse_mirroring
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset, data_digest, pick_display_indices
from mdtranslate.data.records import Records
from mdtranslate.data.sampling.paired import find_paired_targets
from mdtranslate.errors import DataError


class Loader:
    """Caches the images that a recipe needs, which may take long, and opens the cache.

    Args:
        recipe: The recipe.
        datasets: Its datasets.
        label_encoder: The label encoder.
        progress: Receives the progress of caching.

    Attributes:
        left_out: For each unreadable image: its dataset and why it is left out.
        data_digests: Digest of the images and labels by dataset. A run can only be resumed with equal digests.
    """

    def __init__(
        self, recipe: Recipe, datasets: Sequence[RecipeDataset], label_encoder: LabelEncoder, progress: Progress
    ) -> None:
        self.recipe, self.datasets, self.label_encoder, self.progress = recipe, datasets, label_encoder, progress
        self.left_out: list[str] = []
        self.data_digests: dict[str, str] = {}
        self._notes: list[str] = []

    def batches(self, device: torch.device, augment: Augment | None, rank_slice: slice = slice(None)) -> Batches:
        """Returns the training batches; caches their images first if necessary.

        Args:
            device: The device of the batches.
            augment: Additional augmentation.
            rank_slice: The slice of each batch that this process trains on.

        Raises:
            RecipeError: The settings do not suit the data.
            DataError: Images cannot be read, or no image has a certain attribute value.
            StorageError: The cache cannot be written.
        """
        data, label_encoder = self.recipe.data, self.label_encoder
        refuse_mirroring(data.augment, label_encoder)
        all_pixels, all_labels, records_by_dataset = [], [], []
        for dataset in self.datasets:
            listed_records = dataset.records(Split.TRAIN)
            cached = dataset.cache_images(listed_records, data.cached_size, "train", self.progress)
            self._note_left_out(dataset, cached)
            records = cached.select_readable(listed_records)
            labels = dataset.encode_labels(records, label_encoder)
            records_by_dataset.append((dataset, records))
            all_pixels.append(cached.pixels)
            all_labels.append(labels)
            refuse_unseen_values(dataset, records)
            self._add_notes(dataset, file_notes(dataset.dataset, records, cached.pixels, dataset.name))
            self.data_digests[dataset.name] = data_digest(cached, labels)
        paired = None
        if data.targets == "paired":
            paired = find_paired_targets(records_by_dataset, label_encoder, data.cached_size, self.progress)
            for dataset, cached in zip(self.datasets, paired.cached, strict=True):
                self._note_left_out(dataset, cached)
                self.data_digests[f"{dataset.name}, edited"] = data_digest(cached, paired.labels)
        seed = self.recipe.train.seed
        return Batches(all_pixels, all_labels, label_encoder, data, seed, device, augment, paired, rank_slice)

    def sample_images(self, say: Callable[[str], None]) -> tuple[NDArray[np.uint8], Tensor]:
        """Returns the images of the sample grids: the same number from each dataset, preferably of its val split.

        Args:
            say: Receives warnings about the data.

        Returns:
            Pixels, uint8 of shape `(N, S, S, 3)`, and labels, `(N, L)`.
        """
        for dataset in self.datasets:
            self._add_notes(dataset, dataset.dataset.notes())
        for note in self._notes:
            say(f"warning: {note}")
        pixels, labels, num_images = [], [], self.recipe.train.sample_images
        for number, dataset in enumerate(self.datasets):
            count = num_images // len(self.datasets) + (number < num_images % len(self.datasets))
            records, cached = dataset.preview_images(self.recipe.data.image_size, self.progress)
            self._note_left_out(dataset, cached)
            if not dataset.records_or_empty(Split.VAL):
                say(f"{dataset.name}: has no val split; samples and validation use training images")
            if indices := pick_display_indices(list(map(dataset.attribute_values, records)), count):
                pixels.append(cached.pixels[indices])
                labels.append(dataset.encode_labels([records[index] for index in indices], self.label_encoder))
        return np.concatenate(pixels), torch.cat(labels)

    def _add_notes(self, dataset: RecipeDataset, notes: Iterable[Note]) -> None:
        self._notes += [f"dataset {dataset.name}: {note.message}; {note.remedy}" for note in notes]

    def _note_left_out(self, dataset: RecipeDataset, cached: CachedImages) -> None:
        reasons = (f"{dataset.name}: {reason}" for reason in cached.left_out.values())
        self.left_out += [reason for reason in reasons if reason not in self.left_out]


def refuse_unseen_values(dataset: RecipeDataset, records: Sequence[Record]) -> None:
    """Refuses attribute values that no training image has, since nothing could be learned about them.

    Only for datasets of files: synthetic datasets have all values, but perhaps not in a small sample.

    Args:
        dataset: The dataset.
        records: Its training records.

    Raises:
        DataError: An attribute has such a value.
    """
    if all(record.image is None for record in records[:1]):
        return
    columns = Records.from_sequence(records)
    for attribute in (attribute for attribute in dataset.attributes if attribute.values):
        chunks = columns.unique_attributes([attribute.name])
        seen = {values.get(attribute.name) for chunk in chunks for values in chunk.values}
        if unseen := [value for value in attribute.values if value not in seen]:
            raise DataError(
                f"dataset {dataset.name}: no training image has {attribute.name}={unseen[0]}: leave the value out, "
                f"or {attribute.name} out of datasets.{dataset.name}.attributes"
            )
