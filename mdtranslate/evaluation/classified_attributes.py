"""The attributes that an evaluation classifies, and real images with their values as class indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mdtranslate.api import Attribute, Record, Value
from mdtranslate.data.concat import ConcatImages
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset

UNKNOWN = -1


class ClassifiedAttributes:
    """All attributes that the datasets of a run know, whether or not the run labels them.

    Datasets share an attribute if its name and values are the same in both. Where the values differ, the name is
    qualified with that of the dataset: `first.hair`. These names are called classified names.

    Attributes:
        names: By index of a dataset: the classified name of each of its attributes.
        attributes: All of them, under their classified names.
    """

    def __init__(self, datasets: Sequence[RecipeDataset]) -> None:
        """Collects the attributes of all datasets of a run."""
        meanings: dict[str, set[Attribute]] = {}
        for dataset in datasets:
            for attribute in dataset.dataset.attributes:
                meanings.setdefault(attribute.name, set()).add(attribute)
        self.names: dict[int, dict[str, str]] = {}
        by_name: dict[str, Attribute] = {}
        for dataset in datasets:
            names = self.names[dataset.index] = {}
            for attribute in dataset.dataset.attributes:
                is_shared = len(meanings[attribute.name]) == 1
                name = attribute.name if is_shared else f"{dataset.name}.{attribute.name}"
                names[attribute.name] = name
                by_name[name] = replace(attribute, name=name)
        self.attributes = tuple(by_name.values())

    def values_of(self, record: Record, dataset: RecipeDataset) -> dict[str, Value]:
        """Returns everything that is known about an image of a dataset, by classified names."""
        return {self.names[dataset.index][name]: value for name, value in record.attributes.items()}

    def dataset_name(self, classified_name: str, dataset: RecipeDataset) -> str | None:
        """Returns a dataset's name of an attribute, or None if the dataset does not know it."""
        return next((name for name, other in self.names[dataset.index].items() if other == classified_name), None)

    def class_indices(self, records: Sequence[Record], dataset: RecipeDataset) -> Tensor:
        """Encodes the attributes of records.

        Args:
            records: Records of one dataset.
            dataset: That dataset.

        Returns:
            Positions in `Attribute.allowed_values`, int64 of shape `(N, A)`; -1 where the value is unknown.

        Raises:
            mdtranslate.errors.DataError: A record has a value that its attribute cannot have.
        """
        names = self.names[dataset.index]

        def encode(values: Mapping[str, Value]) -> Tensor:
            by_name = {names[name]: value for name, value in values.items()}
            return torch.tensor([_class_index(attribute, by_name) for attribute in self.attributes], dtype=torch.int64)

        return dataset.encode_records(records, dataset.dataset.attributes, encode)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Real images and the values of their attributes.

    Attributes:
        images: The images, uint8 of shape `(N, S, S, 3)`.
        class_indices: Their values, as `ClassifiedAttributes.class_indices` encodes them, `(N, A)`.
        digest: Equal digests mean equal images.
    """

    images: ConcatImages
    class_indices: Tensor
    digest: str


def load_labelled_images(
    classified: ClassifiedAttributes,
    parts: Sequence[tuple[RecipeDataset, Sequence[Record]]],
    what: str,
    size: int,
    progress: Progress,
) -> LabelledImages:
    """Loads the images of several datasets from the cache, which is filled first if necessary.

    Args:
        classified: The attributes to encode.
        parts: Datasets, and the records of each that are wanted.
        what: Describes the images in progress displays and `data list`, such as `train`.
        size: Height and width in pixels.
        progress: Receives the progress of caching.

    Returns:
        All images that can be read.

    Raises:
        mdtranslate.errors.DataError: Images cannot be read, or a value is not allowed.
        mdtranslate.errors.StorageError: The cache cannot be written.
    """
    cached = [dataset.cache_images(records, size, what, progress) for dataset, records in parts]
    class_indices = [
        classified.class_indices(images.select_readable(records), dataset)
        for images, (dataset, records) in zip(cached, parts, strict=True)
    ]
    digest = "".join(images.digest for images in cached)
    return LabelledImages(ConcatImages([images.pixels for images in cached]), torch.cat(class_indices), digest)


def _class_index(attribute: Attribute, values: Mapping[str, Value]) -> int:
    if attribute.name not in values:
        return UNKNOWN
    return attribute.allowed_values.index(attribute.choices[attribute.index(values[attribute.name])])
