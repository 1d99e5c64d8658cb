"""The attribute classifier of evaluations: its network, its predictions, and its training on real images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mdtranslate.api import Attribute, Split, Value
from mdtranslate.config.schema import ClassifierTraining, Data
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.data.mirrored_labels import mirrored_codes
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.errors import RecipeError
from mdtranslate.evaluation.classified_attributes import (
    UNKNOWN,
    ClassifiedAttributes,
    LabelledImages,
    load_labelled_images,
)
from mdtranslate.utils.device import isolated_rng, memory_format
from mdtranslate.utils.timm_factory import create_timm_network

SMALL_BATCH = 32  # Images per step of the small classifier.
ACCURACY_BATCH = 256  # Images per forward pass when accuracy is measured.


@dataclass(frozen=True, eq=False)
class AttributeClassifier:
    """Predicts the value of every attribute that the datasets know.

    Attributes:
        attributes: The attributes, under their classified names.
        network: The network; its logits are those of all attributes, concatenated.
        device: Where it computes.
        metadata: The network and how it was trained, for the report.
        accuracy: By dataset and attribute: share of real test images that are classified correctly, without those
            whose value is unknown.
    """

    attributes: tuple[Attribute, ...]
    network: nn.Module
    device: torch.device
    metadata: dict[str, Any]
    accuracy: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @torch.inference_mode()
    def predict(self, real: Tensor) -> list[dict[str, Value]]:
        """Predicts the most likely value of every attribute.

        Args:
            real: Images of shape `(B, 3, S, S)` in [-1, 1].

        Returns:
            For each image, values by classified names.
        """
        logits = self.network(real.to(self.device, memory_format=memory_format(self.device)))
        return [
            {
                attribute.name: attribute.allowed_values[index]
                for attribute, index in zip(self.attributes, indices, strict=True)
            }
            for indices in predicted_indices(logits, self.attributes).tolist()
        ]


def build_network(attributes: Sequence[Attribute], training: ClassifierTraining, size: int) -> nn.Module:
    """Builds the classifier's network with its initial weights.

    Args:
        attributes: What it classifies.
        training: Names the timm network and, optionally, a file of initial weights.
        size: Height and width of its images.

    Raises:
        mdtranslate.errors.RecipeError: timm cannot build the network.
    """
    try:
        network: nn.Module = create_timm_network(
            training.model, training.weights, None, size, num_classes=_num_logits(attributes)
        )
    except ValueError as error:
        raise RecipeError(f"evaluation.classifier.{error}") from None
    return network


def small_network(attributes: Sequence[Attribute]) -> nn.Module:
    """Builds a network that trains in seconds: four strided convolutions and global average pooling."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((3, 32, 64, 96, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, _num_logits(attributes)))


def train_classifier(
    make_network: Callable[[], nn.Module],
    train: LabelledImages,
    val: LabelledImages | None,
    attributes: Sequence[Attribute],
    seed: int,
    device: torch.device,
    progress: Progress,
    training: ClassifierTraining,
    what: str,
) -> tuple[nn.Module, dict[str, float]]:
    """Trains a classifier with AdamW and a one-cycle schedule.

    Args:
        make_network: Builds the network. It is called with torch's random state at `seed`, which is restored.
        train: Images to train on.
        val: Images by which the best epoch is chosen, or None to take the last one.
        attributes: What is classified, as in `class_indices` of the images.
        seed: Seed of the initial weights, the order of images and their augmentation.
        device: Where to train.
        progress: Receives the number of steps done.
        training: Epochs, batch size, learning rate and augmentation.
        what: Describes the classifier in progress displays.

    Returns:
        The network in evaluation mode, and its accuracy on `val` by attribute.
    """
    with isolated_rng(seed):
        network = make_network().to(device, memory_format=memory_format(device))  # type: ignore[call-overload]
    rng = np.random.default_rng(seed)
    num_images = len(train.class_indices)
    images_per_epoch = min(max(num_images, training.min_images_per_epoch), training.max_images_per_epoch)
    steps_per_epoch = -(-images_per_epoch // training.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, training.epochs * steps_per_epoch)
    order = np.empty(0, np.int64)
    best: tuple[float, dict[str, Tensor], dict[str, float]] | None = None
    for epoch in range(training.epochs):
        network.train()
        for step in range(steps_per_epoch):
            # Batches are always full, because batch normalisation needs several images.
            while len(order) < training.batch_size:
                order = np.concatenate([order, rng.permutation(num_images)])
            index, order = np.sort(order[: training.batch_size]), order[training.batch_size :]
            class_indices = train.class_indices[torch.from_numpy(index)]
            mirrored, can_mirror = mirrored_codes(attributes, class_indices)
            pixels, is_mirrored = _shift_and_mirror(train.images[index], training, rng, can_mirror)
            class_indices = torch.where(torch.from_numpy(is_mirrored)[:, None], mirrored, class_indices)
            logits = network(normalise(to_device(pixels, device)))
            loss = _loss(logits, to_device(class_indices, device), attributes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress(what, epoch * steps_per_epoch + step + 1, training.epochs * steps_per_epoch)
        if val is None:
            continue
        val_accuracy = accuracy(network, val, attributes, device)
        mean = sum(val_accuracy.values()) / max(len(val_accuracy), 1)
        if best is None or mean >= best[0]:
            best = mean, copy.deepcopy(network.state_dict()), val_accuracy
    if best is None:
        return network.eval(), {}
    network.load_state_dict(best[1])
    return network.eval(), best[2]


def train_small_classifier(
    datasets: Sequence[RecipeDataset], data: Data, device: torch.device, progress: Progress, batches: int
) -> nn.Module:
    """Trains a small network on the train splits: seconds instead of minutes.

    Args:
        datasets: The datasets of a run.
        data: Image size, and whether images are flipped.
        device: Where to train.
        progress: Receives the number of steps done.
        batches: Number of training steps of 32 images.

    Returns:
        The network in evaluation mode. It classifies `ClassifiedAttributes(datasets).attributes`.
    """
    classified = ClassifiedAttributes(datasets)
    parts = [(dataset, dataset.records(Split.TRAIN)) for dataset in datasets]
    train = load_labelled_images(classified, parts, "train", data.image_size, progress)
    training = ClassifierTraining.model_validate(
        {
            "epochs": 1,
            "min_images_per_epoch": SMALL_BATCH * batches,
            "max_images_per_epoch": SMALL_BATCH * batches,
            "batch_size": SMALL_BATCH,
            "flip": data.flip,
        }
    )
    make_network = partial(small_network, classified.attributes)
    with torch.inference_mode(False):
        network, _ = train_classifier(
            make_network, train, None, classified.attributes, 0, device, progress, training, "a small classifier"
        )
    return network


def predicted_indices(logits: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """Returns the class index with the largest logit of each attribute: int64 of shape `(B, A)`, on the CPU."""
    return torch.stack([head.argmax(1) for head in _split_logits(logits, attributes)], dim=1).cpu()


@torch.inference_mode()
def accuracy(
    network: nn.Module, images: LabelledImages, attributes: Sequence[Attribute], device: torch.device
) -> dict[str, float]:
    """Measures the accuracy of a network by attribute.

    Args:
        network: The network; it is left in evaluation mode.
        images: Real images.
        attributes: What it classifies.
        device: Where it computes.

    Returns:
        By attribute: share of images that are classified correctly, without those whose value is unknown. An attribute
        that is always unknown is missing.
    """
    network.eval()
    predictions = []
    for start in range(0, len(images.class_indices), ACCURACY_BATCH):
        pixels = np.array(images.images[start : start + ACCURACY_BATCH])  # A copy: torch warns of read-only arrays.
        predictions.append(predicted_indices(network(normalise(to_device(pixels, device))), attributes))
    known = images.class_indices != UNKNOWN
    shares = ((torch.cat(predictions) == images.class_indices) & known).sum(0) / known.sum(0)
    return {
        attribute.name: float(share)
        for attribute, share, is_known in zip(attributes, shares, known.any(0), strict=True)
        if is_known
    }


def _num_logits(attributes: Sequence[Attribute]) -> int:
    return sum(len(attribute.allowed_values) for attribute in attributes)


def _split_logits(logits: Tensor, attributes: Sequence[Attribute]) -> Iterator[Tensor]:
    """Yields the logits of each attribute, `(B, number of its allowed values)`."""
    return iter(torch.split(logits, [len(attribute.allowed_values) for attribute in attributes], dim=1))


def _loss(logits: Tensor, class_indices: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """Cross-entropy: the mean over attributes of the mean over the images whose value of it is known."""
    total = logits.new_zeros(())
    for head, index in zip(_split_logits(logits, attributes), class_indices.unbind(1), strict=True):
        loss = functional.cross_entropy(head, index, ignore_index=UNKNOWN, reduction="sum")
        total = total + loss / (index != UNKNOWN).sum().clamp(min=1)
    return total / len(attributes)


def _shift_and_mirror(
    pixels: NDArray[np.uint8], training: ClassifierTraining, rng: np.random.Generator, can_mirror: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Shifts each image of `(B, S, S, 3)` by a few pixels, repeating its edge, and mirrors half of them.

    Only images of which `can_mirror`, `(B,)`, is true are mirrored. Returns the images, and which are mirrored.
    """
    count, size = pixels.shape[:2]
    max_shift = round(size * training.shift)
    down, right = rng.integers(-max_shift, max_shift + 1, (2, count, 1))
    positions = np.arange(size)
    rows = np.clip(positions + down, 0, size - 1)
    is_mirrored = (rng.random(count) < (0.5 if training.flip else 0)) & can_mirror
    columns = np.clip(np.where(is_mirrored[:, None], positions[::-1], positions) + right, 0, size - 1)
    shifted: NDArray[np.uint8] = pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted, is_mirrored
