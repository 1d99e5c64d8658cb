"""Trained attribute classifiers in the user's cache folder.

An evaluation trains its classifier on real images only: it never sees a translation, shares no weights with the
run's discriminator, and is the same for every run on the same images, so that runs can be compared. For a run on
several datasets it is trained on the images of all of them, so it can tell how an attribute of one looks in another.
Classifiers are kept beside the cached images::

    classifiers/KEY/    weights and metadata, written by `mdtranslate.utils.tensor_dir`
    classifiers/KEY.lock

KEY is a hash of the training and validation images, all their labels, the image size and the training settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock, Timeout

from mdtranslate.api import Attribute, Split
from mdtranslate.config.schema import ClassifierTraining
from mdtranslate.data.cache.store import CACHE_HINT, cache_root
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.errors import CheckpointError, DataError
from mdtranslate.evaluation.attribute_classifier import (
    AttributeClassifier,
    accuracy,
    build_network,
    train_classifier,
)
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes, LabelledImages, load_labelled_images
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.device import memory_format
from mdtranslate.utils.files import check_writable, storage_errors
from mdtranslate.utils.timm_factory import describe_weights

SEED: Final = 0  # Independent of the run's seed, so that every run on the same images has the same classifier.
VERSION: Final = 2  # Part of the key. Increase it with every change that would give another classifier.


def classifiers_folder() -> Path:
    """Returns the folder of all cached classifiers, which need not exist."""
    return cache_root().parent / "classifiers"


def load_or_train_classifier(
    datasets: Sequence[RecipeDataset],
    size: int,
    device: torch.device,
    progress: Progress,
    training: ClassifierTraining,
    seed: int = SEED,
) -> AttributeClassifier:
    """Loads the classifier of datasets from the cache, or trains it.

    Its accuracy is measured each time, because the test split is not part of the key.

    Args:
        datasets: The datasets of a run.
        size: Height and width of their images in pixels.
        device: Where to train and classify.
        progress: Receives the progress of caching and training.
        training: The network and how it is trained.
        seed: Seed of the training.

    Returns:
        The classifier, with its accuracy on the test split of each dataset.

    Raises:
        mdtranslate.errors.DataError: A split has no images, or a label is not a value of its attribute.
        mdtranslate.errors.StorageError: The cache cannot be written.
    """
    classified = ClassifiedAttributes(datasets)
    train_parts = [(dataset, dataset.records(Split.TRAIN)) for dataset in datasets]
    train = load_labelled_images(classified, train_parts, "train", size, progress)
    # The best epoch is chosen on the validation split; without one, on the images that it is trained on.
    val_parts = [(dataset, dataset.validation_records()) for dataset in datasets]
    val = load_labelled_images(classified, val_parts, "val", size, progress)
    tests = {
        dataset.name: load_labelled_images(classified, [(dataset, dataset.records(Split.TEST))], "test", size, progress)
        for dataset in datasets
    }
    key = _key(classified.attributes, (train, val), size, seed, training)
    folder = classifiers_folder() / key
    load = partial(_load, folder, classified.attributes, device, training, size)
    classifier = load()
    if classifier is None:
        check_writable(folder.parent, CACHE_HINT)
        with storage_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f"{key}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress("another process trains the same attribute classifier: waiting for it", 0, 1)
                lock.acquire()
        try:
            classifier = load()  # Another process may have trained it meanwhile.
            if classifier is None:
                what = f"{' and '.join(dataset.name for dataset in datasets)} classifier"
                make_network = partial(build_network, classified.attributes, training, size)
                network, val_accuracy = train_classifier(
                    make_network, train, val, classified.attributes, seed, device, progress, training, what
                )
                metadata = {
                    "network": training.model,
                    "weights": describe_weights(training.weights),
                    "key": key,
                    "size": size,
                    "seed": seed,
                    "images": len(train.class_indices),
                    "training": _training_settings(training),
                    "val_accuracy": val_accuracy,
                }
                tensor_dir.save(folder, "classifier", {"network": network.state_dict()}, metadata)
                classifier = AttributeClassifier(classified.attributes, network, device, metadata)
        finally:
            lock.release()
    test_accuracy = {
        name: accuracy(classifier.network, test, classified.attributes, device) for name, test in tests.items()
    }
    return replace(classifier, accuracy=test_accuracy)


def load_cached_classifier(
    datasets: Sequence[RecipeDataset], size: int, device: torch.device, training: ClassifierTraining
) -> AttributeClassifier | None:
    """Loads the classifier that an evaluation of these datasets would use, if it is in the cache.

    Args:
        datasets: The datasets of a run.
        size: Height and width of their images in pixels.
        device: Where to classify.
        training: The network and how it is trained.

    Returns:
        The classifier, or None if it or any of its training images is not cached. Nothing is trained or cached.
    """
    classified = ClassifiedAttributes(datasets)
    parts_by_split = (
        [(dataset, dataset.records(Split.TRAIN)) for dataset in datasets],
        [(dataset, dataset.validation_records()) for dataset in datasets],
    )
    try:
        if not all(dataset.is_cached(records, size) for parts in parts_by_split for dataset, records in parts):
            return None
    except DataError:  # An image is missing or was left out. Those who train or evaluate report it.
        return None
    images = [load_labelled_images(classified, parts, "", size, lambda *progress: None) for parts in parts_by_split]
    key = _key(classified.attributes, images, size, SEED, training)
    return _load(classifiers_folder() / key, classified.attributes, device, training, size)


def _key(
    attributes: Sequence[Attribute],
    images: Sequence[LabelledImages],
    size: int,
    seed: int,
    training: ClassifierTraining,
) -> str:
    digest = hashlib.blake2b(digest_size=16)
    declarations: list[tuple[Any, ...]] = [
        (attribute.name, attribute.values, attribute.optional) for attribute in attributes
    ]
    declarations += [(attribute.name, attribute.mirrored) for attribute in attributes if attribute.mirrored]
    settings = [_training_settings(training), describe_weights(training.weights)]
    digest.update(json.dumps([VERSION, version("timm"), declarations, size, seed, settings]).encode())
    for part in images:
        digest.update(part.digest.encode() + part.class_indices.numpy().tobytes())
    return digest.hexdigest()


def _training_settings(training: ClassifierTraining) -> dict[str, Any]:
    """Returns the settings without the path of the initial weights, which are identified by their content."""
    return training.model_dump(mode="json", exclude={"weights"})


def _load(
    folder: Path, attributes: tuple[Attribute, ...], device: torch.device, training: ClassifierTraining, size: int
) -> AttributeClassifier | None:
    """Loads a classifier from the cache; returns None if it is missing or damaged."""
    try:
        tensors, metadata = tensor_dir.load(folder, "classifier")
        network = build_network(attributes, training.model_copy(update={"weights": None}), size)
        tensor_dir.load_weights(network, tensors["network"], str(folder))
    except (CheckpointError, KeyError):
        return None
    network = network.to(device, memory_format=memory_format(device)).eval()  # type: ignore[call-overload]
    metadata = {key: value for key, value in metadata.items() if key not in ("format", "files")}
    return AttributeClassifier(attributes, network, device, metadata)
