"""Findings about whether labels can be recognised in the images, by a small classifier that is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import torch

from mdtranslate.api import Split
from mdtranslate.config.schema import Data
from mdtranslate.data.recipe_datasets import Progress
from mdtranslate.doctor.findings import Finding, InspectedDataset, Rank
from mdtranslate.evaluation.attribute_classifier import accuracy, train_small_classifier
from mdtranslate.evaluation.classified_attributes import UNKNOWN, ClassifiedAttributes, load_labelled_images

MIN_IMAGES: Final = 50  # Training and held-out images that a conclusion needs at least.
MIN_IMPROVEMENT: Final = 0.15  # Required share of the way from always predicting the most frequent value to 100 %.
TRAINING_BATCHES: Final = 400


def inspect_visibility(
    datasets: Sequence[InspectedDataset], data: Data, device: torch.device, progress: Progress
) -> Iterator[Finding]:
    """Yields findings about the accuracy of a small classifier on held-out images.

    A discriminator will hardly learn what such a classifier cannot.

    Args:
        datasets: All datasets of the recipe.
        data: The recipe's table `data`.
        device: Where to train the classifier.
        progress: Receives the progress of training.
    """
    recipe_datasets = [inspected.dataset for inspected in datasets]
    splits = list(map(_held_out_split, datasets))
    classified = ClassifiedAttributes(recipe_datasets)
    network = train_small_classifier(recipe_datasets, data, device, progress, TRAINING_BATCHES) if any(splits) else None
    for inspected, split in zip(datasets, splits, strict=True):
        if split is None or network is None:
            yield Finding(
                "too-few-images",
                Rank.INFO,
                f"{inspected.name}: too few images to find out whether labels can be recognised in them",
                f"it needs {MIN_IMAGES} in the train split, and as many in the val or test split",
            )
            continue
        dataset = inspected.dataset
        parts = [(dataset, dataset.records_or_empty(split))]
        held_out = load_labelled_images(classified, parts, split, data.image_size, progress)
        accuracies, recognised = accuracy(network, held_out, classified.attributes, device), list[bool]()
        shares = list[str]()
        for attribute in dataset.attributes:
            name = classified.names[dataset.index][attribute.name]
            column = [candidate.name for candidate in classified.attributes].index(name)
            indices = [index for index in held_out.class_indices[:, column].tolist() if index != UNKNOWN]
            majority_share = max(Counter(indices).values()) / len(indices) if indices else 1.0
            if majority_share == 1:
                continue  # Reported by `label_findings`.
            if len(indices) >= MIN_IMAGES:
                shares.append(f"{attribute.name} {accuracies[name]:.0%} ({majority_share:.0%})")
            threshold = majority_share + MIN_IMPROVEMENT * (1 - majority_share)
            recognised.append(len(indices) < MIN_IMAGES or accuracies[name] >= threshold)
            if recognised[-1]:
                continue
            yield Finding(
                "label-not-visible",
                Rank.WARNING,
                f"{inspected.name}: {attribute.name} cannot be recognised in the images: the accuracy of a small "
                f"classifier is {accuracies[name]:.0%} on the {split} split, that of always predicting the most "
                f"frequent value {majority_share:.0%}",
                "look at the contact sheet for wrong labels, a crop that cuts it off, or images that are too small"
                + ("; if it differs in left and right, set data.flip=false" if data.flip else ""),
            )
        if shares:
            yield Finding(
                "label-visibility",
                Rank.INFO,
                f"{inspected.name}: accuracy of a small classifier on the {split} split, in brackets the share of the "
                f"most frequent value: {', '.join(shares)}",
                "edits of an attribute can be learned only if it can be recognised",
            )
        if recognised and not any(recognised):
            yield Finding(
                "labels-not-visible",
                Rank.ERROR,
                f"{inspected.name}: none of its labels can be recognised in the images",
                "check that labels are assigned to the right files",
            )


def _held_out_split(inspected: InspectedDataset) -> Split | None:
    """Returns the split that accuracy is measured on; None if there are too few images."""
    if len(inspected.records[Split.TRAIN]) < MIN_IMAGES:
        return None
    return next((split for split in (Split.VAL, Split.TEST) if len(inspected.records[split]) >= MIN_IMAGES), None)
