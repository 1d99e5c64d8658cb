"""A small discriminator that only classifies: for shared models, in which it infers unknown source labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch

from mdtranslate.api import Discriminator, Settings
from mdtranslate.config.choice import Choice
from mdtranslate.config.recipe import Recipe
from mdtranslate.data.augment import Augment
from mdtranslate.data.batches import normalise
from mdtranslate.data.loader import Loader
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.device import isolated_rng, memory_format

STEPS: Final = 600
BATCH_SIZE: Final = 32
PEAK_LEARNING_RATE: Final = 4e-3
WEIGHT_DECAY: Final = 0.05

WIDTH_SETTING: Final = "channels"
"""The setting of a discriminator that is reduced;"""
WIDTH_DIVISOR: Final = 4
"""by this factor."""

EVALUATION_BATCH: Final = 64


def reduced_settings(discriminator: Discriminator) -> Settings | None:
    """Returns the settings of a discriminator with fewer channels, or None if it has no such setting or bounds it."""
    settings = discriminator.config.model_dump()
    channels = settings.get(WIDTH_SETTING)
    if not isinstance(channels, int) or channels < WIDTH_DIVISOR:
        return None
    try:
        reduced: Settings = type(discriminator.config).model_validate(
            {**settings, WIDTH_SETTING: channels // WIDTH_DIVISOR}
        )
    except ValueError:
        return None
    return reduced


def train_small_discriminator(
    recipe: Recipe,
    datasets: Sequence[RecipeDataset],
    discriminator: Discriminator,
    settings: Settings,
    device: torch.device,
    progress: Progress,
) -> Discriminator:
    """Trains a discriminator to classify the real train images of a run, with the label encoder's loss alone.

    Args:
        recipe: The recipe of the run: its augmentation and flips are used.
        datasets: The datasets of the run.
        discriminator: The run's discriminator.
        settings: The settings of the new one, which is of the same class.
        device: Where to train.
        progress: Receives the number of steps done.

    Returns:
        The discriminator in evaluation mode.

    Raises:
        RecipeError: The settings do not go together.
        DataError: Images or labels cannot be read.
        StorageError: The cache cannot be written.
    """
    label_encoder = discriminator.label_encoder
    data = recipe.data.model_copy(update={"batch_size": BATCH_SIZE, "targets": "permute", "cross_dataset": 0.0})
    loader = Loader(recipe.model_copy(update={"data": data}), datasets, label_encoder, progress)
    batches = loader.batches(device, Augment.build(data.augment, data.cached_size))
    with isolated_rng(recipe.train.seed):
        choice = Choice(type(discriminator), settings)
        network = choice.build(label_encoder=label_encoder, image_size=recipe.data.image_size)
        network.to(device, memory_format=memory_format(device))  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, STEPS)
    for step in range(STEPS):
        batch = batches(step)
        logits = network(batch.real, batch.source).logits
        loss = label_encoder.loss(logits, batch.source).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress("a small classifier", step + 1, STEPS)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def inference_accuracy(
    translator: Translator, datasets: Sequence[RecipeDataset], progress: Progress
) -> dict[str, Mapping[str, float]]:
    """Measures how often a translator infers the labels of validation images, of which it is told nothing.

    Args:
        translator: The translator.
        datasets: The datasets of its run.
        progress: Receives the progress of caching.

    Returns:
        By dataset and attribute: share of images whose known value is inferred. An attribute that is unknown in all
        images is missing.

    Raises:
        RecipeError: It cannot infer them.
    """
    shares: dict[str, Mapping[str, float]] = {}
    for dataset in datasets:
        records, cached = dataset.preview_images(translator.image_size, progress)
        unknown = translator.label_encoder.encode({}, dataset.index)
        correct: dict[str, list[bool]] = {}
        for start in range(0, len(records), EVALUATION_BATCH):
            rows = slice(start, start + EVALUATION_BATCH)
            real = normalise(torch.from_numpy(cached.pixels[rows].copy()))
            for record, label in zip(
                records[rows], translator.infer(real, unknown.repeat(len(real), 1)).cpu(), strict=True
            ):
                inferred = translator.label_encoder.decode(label)
                for name, value in dataset.attribute_values(record).items():
                    correct.setdefault(name, []).append(name in inferred and inferred[name] == value)
        shares[dataset.name] = {name: sum(values) / len(values) for name, values in correct.items()}
    return shares
