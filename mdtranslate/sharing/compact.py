"""Compact models: half the bytes for each weight, and a small classifier in place of the discriminator."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from mdtranslate.api import Backbone, Discriminator
from mdtranslate.config.manifest import is_shared
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.resume_policy import suggest_path_settings
from mdtranslate.config.run_folder import RunFolder, is_run
from mdtranslate.config.shipped_models import format_run
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset, build_datasets, pick_display_indices
from mdtranslate.errors import RecipeError
from mdtranslate.evaluation.evaluate import evaluate
from mdtranslate.evaluation.report_schema import read_report
from mdtranslate.inference.serialization import COMPACT, find_translator
from mdtranslate.inference.translator import Translator
from mdtranslate.training.small_discriminator import (
    STEPS,
    inference_accuracy,
    reduced_settings,
    train_small_discriminator,
)
from mdtranslate.utils.files import storage_errors
from mdtranslate.utils.json_metadata import load_metadata

Network = TypeVar("Network", bound=Backbone)

COMPARED_IMAGES: Final = 32
"""Number of validation images of each dataset whose translations are compared with those of the run."""


def write_compact_run(run: Path, folder: Path, device: torch.device, progress: Progress) -> dict[str, Any]:
    """Writes the files of a run that are shared, with a compact translator.

    If the run has an evaluation of its weights, the compact ones are evaluated in the same way: their figures are their
    own.

    Args:
        run: The run.
        folder: An empty folder.
        device: Where to train the classifier and to evaluate.
        progress: Receives what is computed, and how much of it is done.

    Returns:
        What changed, which is also saved as `trained["compact"]` of the translator: `weights`, their type; `images`,
        the number of compared images; `max_difference` and `mean_difference` of their translations from the run's, in
        grey levels of 255; and, if there is a classifier, its `parameters` and training `steps`, its `accuracy` on
        validation images, and `discriminator_accuracy`, both by dataset and attribute.

    Raises:
        RecipeError: It is no run, or a compact or shared model.
        CheckpointError: There is no translator, or it is corrupt.
        DataError: The run's images cannot be read.
        StorageError: A file cannot be written.
    """
    if not is_run(run) or is_shared(run):
        kind = "a shared model" if is_run(run) else "not a run (it has no recipe.toml)"
        raise RecipeError(f"--compact: {format_run(run)} is {kind}; it needs a run, with which it finds train images")
    original = Translator.load(run, device)
    source = RunFolder(run)
    recipe = source.saved_recipe().recipe
    with suggest_path_settings(recipe):
        datasets = build_datasets(recipe)
        discriminator, changes = _replace_discriminator(original, recipe, datasets, device, progress)
    compact = Translator(
        Model(original.label_encoder, _to_half(original.model.generator), discriminator and _to_half(discriminator)),
        image_size=original.image_size,
        crops=original.crops,
        ranges=original.ranges,
        credit=original.credit,
        trained={**original.trained, COMPACT: {}},
    )
    compact.save(folder / "translator")
    changes = {
        "weights": "float16",
        **_compare(original, Translator.load(folder, device), datasets, progress),
        **changes,
    }
    compact.trained[COMPACT] = changes
    compact.save(folder / "translator")
    with storage_errors(folder):
        shutil.copyfile(run / "recipe.toml", folder / "recipe.toml")
        if source.samples.is_dir():
            shutil.copytree(source.samples, folder / "samples")
    report = read_report(run)
    if report and report.get("weights") == load_metadata(find_translator(run), "translator")["files"]:
        evaluate(RunFolder(folder), device, report.get("overrides", ()), progress=progress)
    return changes


def _replace_discriminator(
    translator: Translator,
    recipe: Recipe,
    datasets: Sequence[RecipeDataset],
    device: torch.device,
    progress: Progress,
) -> tuple[Discriminator | None, dict[str, Any]]:
    """Returns what infers labels in the compact model, and its entries in `trained`.

    That is a small discriminator; the run's own if it has no number of channels to reduce; or None if labels are not
    inferred.
    """
    discriminator = translator.model.discriminator
    if discriminator is None or translator.model.generator.required_labels == "none":
        return None, {}
    try:
        discriminator_accuracy = inference_accuracy(translator, datasets, progress)
    except RecipeError:  # It does not classify.
        return None, {}
    settings = reduced_settings(discriminator)
    if settings is None:
        return discriminator, {"discriminator_accuracy": discriminator_accuracy}
    small = train_small_discriminator(recipe, datasets, discriminator, settings, device, progress)
    model = Model(translator.label_encoder, translator.model.generator, small)
    accuracy = inference_accuracy(
        Translator(model, image_size=translator.image_size, crops=translator.crops), datasets, progress
    )
    return small, {
        "parameters": sum(param.numel() for param in small.parameters()),
        "steps": STEPS,
        "accuracy": accuracy,
        "discriminator_accuracy": discriminator_accuracy,
    }


def _to_half(network: Network) -> Network:
    """Returns a copy of a network with weights in float16, except those with a value out of its range."""
    network = deepcopy(network)
    for tensor in (*network.parameters(), *network.buffers()):
        half = tensor.data.half()
        if tensor.is_floating_point() and half.isfinite().all():
            tensor.data = half
    return network


@torch.inference_mode()
def _compare(
    original: Translator, compact: Translator, datasets: Sequence[RecipeDataset], progress: Progress
) -> dict[str, Any]:
    """Compares 8-bit translations of validation images with known labels, to every edit."""
    differences, num_images = [], 0
    encoder = original.label_encoder
    for dataset in datasets:
        records, cached = dataset.preview_images(original.image_size, progress)
        labels = list(map(dataset.attribute_values, records))
        for index in pick_display_indices(labels, COMPARED_IMAGES):
            edits = encoder.edits(labels[index], dataset.index)
            if not edits:
                continue
            real = normalise(torch.from_numpy(cached.pixels[index : index + 1].copy())).repeat(len(edits), 1, 1, 1)
            source = encoder.encode(labels[index], dataset.index).repeat(len(edits), 1)
            target = torch.stack([encoder.encode({**labels[index], **edit}, dataset.index) for edit in edits])
            pixels = [to_pixels(translator.translate(real, source, target)) for translator in (original, compact)]
            first, second = (torch.from_numpy(array).short() for array in pixels)
            differences.append((first - second).abs().flatten())
            num_images += 1
    difference = torch.cat(differences) if differences else torch.zeros(1)
    return {
        "images": num_images,
        "max_difference": int(difference.max()),
        "mean_difference": round(float(difference.float().mean()), 4),
    }
