"""Evaluation of a trained run on all test images and all edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mdtranslate.api import EditBatch, Metric, Settings, Value, format_value
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.batches import to_pixels
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset, pick_display_indices
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes
from mdtranslate.evaluation.classifier_cache import load_or_train_classifier
from mdtranslate.evaluation.classifier_features import ClassifierFeatures, PlaceholderFeatures
from mdtranslate.evaluation.cost import cost
from mdtranslate.evaluation.evaluation_recipe import build_test_datasets, check_same_datasets, recipe_for_evaluation
from mdtranslate.evaluation.reference_images import sample_reference
from mdtranslate.evaluation.report import DatasetResult, Report, write_report
from mdtranslate.evaluation.test_set import TestSet, prepare_test_set, split_batches, to_network_input
from mdtranslate.inference import serialization
from mdtranslate.inference.grid import draw_grid
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.device import describe_device
from mdtranslate.utils.json_metadata import load_metadata

GRID_ROWS = 6


def evaluate(run: RunFolder, device: torch.device, overrides: Sequence[str] = (), *, progress: Progress) -> Report:
    """Measures a run, and writes the report in the run's folder `evaluation`. See `measure`."""
    report, images = measure(run, device, overrides, progress=progress)
    write_report(report, images, run.path / "evaluation")
    return report


def measure(
    run: RunFolder, device: torch.device, overrides: Sequence[str] = (), *, progress: Progress
) -> tuple[Report, dict[str, NDArray[np.uint8]]]:
    """Measures a run with the metrics of its recipe.

    Every test image is translated to every other value of every attribute that the run labels, of its own dataset and
    of the others, and of several attributes at once (`evaluation.max_attributes_per_edit`). "None of these" is no
    target, and an image whose value of an attribute is unknown is left out of that attribute's edits.

    Args:
        run: The run.
        device: Where to translate and classify.
        overrides: Settings as `KEY=VALUE`. They may change `metrics`, `evaluation` and paths of the run's datasets.
        progress: Receives what is computed, and how much of it is done.

    Returns:
        The report, and grids of edited test images, uint8 of shape `(H, W, 3)`, by name.

    Raises:
        mdtranslate.errors.RecipeError: Another setting is overridden, or the datasets label something else than
            when the run was trained.
        mdtranslate.errors.CheckpointError: The run has no translator, or a damaged one.
        mdtranslate.errors.DataError: A dataset is missing, or its test split has no images.
    """
    recipe = recipe_for_evaluation(run, overrides)
    weights = load_metadata(serialization.find_translator(run.path), "translator")["files"]
    translator = Translator.load(run.path, device)
    datasets = build_test_datasets(recipe)
    check_same_datasets(run, datasets, translator)
    check_metrics(recipe, datasets)
    size, max_attributes = recipe.data.image_size, recipe.evaluation.max_attributes_per_edit
    classifier = load_or_train_classifier(datasets, size, device, progress, recipe.classifier_training)
    classified = ClassifiedAttributes(datasets)
    results, images = [], dict[str, NDArray[np.uint8]]()
    for dataset in datasets:
        test_set = prepare_test_set(
            dataset, datasets, classified, size, translator, device, progress, max_attributes=max_attributes
        )
        features = ClassifierFeatures(classifier)
        metrics = {
            name: choice.build(attributes=classifier.attributes, classifier_features=features)
            for name, choice in recipe.metrics.items()
        }
        _update_reference(metrics.values(), dataset, classified, recipe, device, progress)
        results.append(_measure_dataset(test_set, metrics, translator, classifier, device, progress))
        for owner in dict.fromkeys(edit.dataset for edit in test_set.edits):
            names = ["edits"] if len(datasets) == 1 else ["edits", dataset.name]
            name = "-".join(names if owner is dataset else [*names, owner.name])
            images[name] = _draw_edits(test_set, owner, translator, device)
    report = Report(
        run=str(run.path),
        recipe=run.name,
        device=describe_device(device),
        results=tuple(results),
        cost=cost(run, translator),
        weights=weights,
        overrides=tuple(overrides),
    )
    return report, images


def check_metrics(recipe: Recipe, datasets: Sequence[RecipeDataset]) -> None:
    """Builds the metrics of a recipe and discards them, so that wrong settings are reported before long computations.

    Raises:
        mdtranslate.errors.RecipeError: Settings of a metric do not go together.
    """
    attributes = [attribute for dataset in datasets for attribute in dataset.attributes]
    for choice in recipe.metrics.values():
        choice.build(attributes=attributes, classifier_features=PlaceholderFeatures(Settings()))


@torch.inference_mode()
def _update_reference(
    metrics: Iterable[Metric],
    dataset: RecipeDataset,
    classified: ClassifiedAttributes,
    recipe: Recipe,
    device: torch.device,
    progress: Progress,
) -> None:
    """Gives training images to the metrics that use them; without such a metric, none is loaded."""
    users = [metric for metric in metrics if type(metric).update_reference is not Metric.update_reference]
    if not users:
        return
    pixels, indices, known = sample_reference(
        dataset, classified, recipe.data.image_size, recipe.evaluation.reference_images, progress
    )
    labelled = [classified.names[dataset.index][attribute.name] for attribute in dataset.attributes]
    done = 0
    for batch in split_batches(indices):
        real = to_network_input(pixels[batch], device)
        for metric in users:
            metric.update_reference(real, known[done : done + len(batch)], labelled)
        done += len(batch)
        progress(f"{dataset.name} training images", done, len(indices))


@torch.inference_mode()
def _measure_dataset(
    test_set: TestSet,
    metrics: Mapping[str, Metric],
    translator: Translator,
    classifier: AttributeClassifier,
    device: torch.device,
    progress: Progress,
) -> DatasetResult:
    dataset, pixels, known = test_set.dataset, test_set.images.pixels, test_set.known
    for indices in split_batches(list(range(len(known)))):
        real, labels = to_network_input(pixels[indices], device), test_set.labels[dataset.index][indices]
        self_translation = to_network_input(to_pixels(translator.translate(real, labels, labels)), device)
        for metric in metrics.values():
            metric.update_real(real, [known[index] for index in indices], self_translation)
    compared: Counter[str] = Counter()
    done, total = 0, sum(map(len, test_set.edits.values()))
    for edit, indices in test_set.batches():
        real = to_network_input(pixels[indices], device)
        source, target = test_set.source_and_target(translator, edit, indices)
        # Rounded to 8 bits like the images that users get.
        fake = to_network_input(to_pixels(translator.translate(real, source, target)), device)
        truth_indices = [
            test_set.truth_index[edit, index] for index in indices if (edit, index) in test_set.truth_index
        ]
        batch = EditBatch(
            edit=edit.classified_values,
            real=real,
            fake=fake,
            reconstruction=translator.translate(fake, target, source),
            truth=to_network_input(test_set.truths[truth_indices], device) if truth_indices else None,
            source_attributes=[known[index] for index in indices],
            predicted_attributes=classifier.predict(fake),
        )
        for metric in metrics.values():
            metric.update(batch)
        compared[str(edit)] += len(truth_indices)
        done += len(indices)
        progress(f"{dataset.name} edits", done, total)
    edited = {edit.scope: edit.dataset for edit in test_set.edits if len(edit.changes) == 1}
    return DatasetResult(
        dataset=dataset.name,
        num_images=len(known),
        left_out=tuple(test_set.images.left_out.values()),
        digest=test_set.images.digest,
        attributes=tuple(attribute.name for attribute in classifier.attributes),
        edited=tuple(edited),
        joint_edits=tuple(dict.fromkeys(edit.scope for edit in test_set.edits if len(edit.changes) > 1)),
        transferred={name: owner.name for name, owner in edited.items() if owner is not dataset},
        classifier=classifier.metadata,
        accuracy=classifier.accuracy.get(dataset.name, {}),
        majority_share=_majority_shares(known),
        edits={str(edit): len(indices) for edit, indices in test_set.edits.items()},
        compared={name: count for name, count in compared.items() if count},
        figures={name: metric.compute() for name, metric in metrics.items()},
        metadata={name: metadata for name, metric in metrics.items() if (metadata := metric.metadata())},
    )


def _majority_shares(known: Sequence[Mapping[str, Value]]) -> dict[str, float]:
    """Returns the share of the most frequent value of each attribute among the images whose value is known."""
    counts: dict[str, Counter[Value]] = {}
    for values in known:
        for name, value in values.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: max(by_value.values()) / by_value.total() for name, by_value in counts.items()}


@torch.inference_mode()
def _draw_edits(
    test_set: TestSet, owner: RecipeDataset, translator: Translator, device: torch.device
) -> NDArray[np.uint8]:
    """Draws a grid of some test images, each edit of `owner`'s attributes, and ground truth where it is known.

    An image that already has the value of an edit is translated all the same.
    """
    indices = pick_display_indices(test_set.known, GRID_ROWS)
    pixels = np.asarray(test_set.images.pixels[indices])
    real = to_network_input(pixels, device)
    columns, titles = [pixels], ["test image"]
    for edit in (edit for edit in test_set.edits if edit.dataset is owner and len(edit.changes) == 1):
        labels = test_set.source_and_target(translator, edit, indices)
        columns.append(to_pixels(translator.translate(real, *labels)))
        (change,) = edit.changes
        titles.append(format_value(change.value) if isinstance(change.value, str) else str(edit))
        if any(edit_with_truth == edit for edit_with_truth, _ in test_set.truth_index):
            truth = np.full_like(pixels, 128)  # Grey if there is no ground truth.
            for row, index in enumerate(indices):
                if (edit, index) in test_set.truth_index:
                    truth[row] = test_set.truths[test_set.truth_index[edit, index]]
                elif index not in test_set.edits[edit] and edit.scope in test_set.known[index]:
                    truth[row] = pixels[row]
            columns.append(truth)
            titles.append("truth")
    grid = draw_grid(np.stack(columns, axis=1), titles, footer=test_set.dataset.dataset.credit)
    return np.asarray(grid.convert("RGB"))
