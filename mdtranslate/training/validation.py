"""Validation during training: translates held-out images, and warns if the model does not learn to edit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Literal

import torch
from torch import Tensor

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.config.recipe import Recipe
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset, pick_display_indices
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier, train_small_classifier
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes
from mdtranslate.evaluation.classifier_cache import load_cached_classifier
from mdtranslate.inference.translator import Translator
from mdtranslate.training.realism import RealismMonitor
from mdtranslate.training.validation_result import ValidationResult, find_warning

IMAGES, TARGETS_PER_IMAGE, BATCH_SIZE = 32, 3, 32
GREY_LEVELS: Final = 127.5  # Grey levels of 255 per unit of [-1, 1].

REALISM_EVERY: Final = 3
"""Realism is measured at every third validation, because it takes longest."""

MAX_TIME_SHARE: Final = 0.1
"""Share of the training time above which the user is told that validation is slow."""

SMALL_CLASSIFIER_BATCHES: Final = 200
"""Batches that the small classifier is trained on at most,"""
SMALL_CLASSIFIER_SHARE: Final = 0.1
"""and their share of the run's batches at most: each costs more than one of the run's."""


@dataclass(frozen=True, eq=False)
class _Edits:
    """T edits of held-out images, those of one image in a row.

    Attributes:
        real: Images, `(T, 3, S, S)` in [-1, 1].
        source: Source labels, `(T, L)`.
        target: Target labels, `(T, L)`.
        same_image: Indices of edits whose image is that of the edit before.
        expected: Attributes that the classifier should predict after each edit.
        known: Labels of each image before the edit.
    """

    real: Tensor
    source: Tensor
    target: Tensor
    same_image: list[int]
    expected: list[Mapping[str, Value]]
    known: list[Mapping[str, Value]]


class Validator:
    """Validates the translator of a run from time to time.

    Attributes:
        results: All results so far, also those before an interruption.
    """

    def __init__(
        self,
        sources: Sequence[RecipeDataset],
        label_encoder: LabelEncoder,
        recipe: Recipe,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.sources, self.label_encoder, self.recipe = sources, label_encoder, recipe
        self.device, self.progress = device, progress
        self.classified = ClassifiedAttributes(sources)
        self.results: list[ValidationResult] = []
        self.classifier_kind: Literal["evaluation", "small"] = "small"
        self.monitor = RealismMonitor(sources, label_encoder, self.classified, recipe.data.image_size, device, progress)
        self._durations: list[tuple[float, float]] = []
        self._has_warned_of_time = False

    def choose_classifier(self) -> dict[str, Any]:
        """Chooses the classifier for the whole run, and returns the line of the log that records the choice."""
        self.classifier_kind = "small" if self._cached_classifier is None else "evaluation"
        return {"step": 0, "validation/classifier": self.classifier_kind}

    def restore(self, log: Path) -> None:
        """Restores the results from the log of an interrupted run; damaged lines are ignored."""
        self.results.clear()
        for text in log.read_text("utf-8", "replace").splitlines():
            with suppress(ValueError, TypeError, AttributeError):
                line = json.loads(text)
                if "validation/change" in line:
                    figures = {name.removeprefix("validation/"): value for name, value in line.items()}
                    self.results.append(ValidationResult(**figures))
                self.classifier_kind = line.get("validation/classifier", self.classifier_kind)

    @torch.inference_mode()
    def validate(self, translator: Translator, step: int) -> ValidationResult:
        """Translates held-out images to a few targets each, and back."""
        edits, classifier = self.edits, self._classifier
        fakes, errors, correct = list[Tensor](), list[float](), dict[str, list[bool]]()
        for start in range(0, len(edits.real), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            real, source, target = edits.real[rows], edits.source[rows], edits.target[rows]
            fake = translator.translate(real, source, target)
            fakes.append(fake.cpu())
            errors += _distances(translator.translate(fake, target, source).cpu(), real)
            # As 8-bit images, as translations are shipped.
            predicted = classifier.predict(normalise(torch.from_numpy(to_pixels(fake))))
            for name, is_correct in _compare(predicted, edits.expected[rows]):
                correct.setdefault(name, []).append(is_correct)
        fake = torch.cat(fakes)
        result = ValidationResult(
            step=step,
            label_dependence=_mean(
                _distances(fake[edits.same_image], fake[[index - 1 for index in edits.same_image]]), GREY_LEVELS
            ),
            change=_mean(_distances(fake, edits.real), GREY_LEVELS),
            reconstruction=_mean(errors),
            edit_accuracy=_mean([is_correct for values in correct.values() for is_correct in values]),
            edit_accuracies={name: _mean(values) for name, values in correct.items()},
            classifier="evaluation" if classifier.metadata else "small",
            real_accuracy=self._real_accuracy,
        )
        if (len(self.results) + 1) % REALISM_EVERY == 0 and (by_edit := self.monitor.measure(translator)):
            result = replace(result, gap_closed=_mean([*by_edit.values()]), gap_closed_edits=by_edit)
        result = replace(result, warning=find_warning(self.results, result, self.recipe.train.critic_steps))
        self.results.append(result)
        return result

    def summary(self) -> str:
        """Returns a short text about the last validation for the terminal, with the last measurement of realism."""
        gaps = [result.gap_closed for result in self.results if result.gap_closed is not None]
        realism = f"gap closed {gaps[-1]:.2f}, " if gaps else ""
        return realism + self.results[-1].summary()

    def check_overhead(self, start: float, seconds: float) -> str | None:
        """Returns a warning, once, if validation takes too large a share of the training time.

        The first validations of a process do not count: they prepare the classifier and the images of realism.

        Args:
            start: When this validation started, in seconds.
            seconds: How long it took.
        """
        self._durations.append((start + seconds, seconds))
        if len(self._durations) < 2 * REALISM_EVERY or self._has_warned_of_time:
            return None
        (before, _), *recent = self._durations[-REALISM_EVERY - 1 :]  # One of these measured realism.
        share = sum(duration for _, duration in recent) / (start + seconds - before)
        if share <= MAX_TIME_SHARE:
            return None
        self._has_warned_of_time = True
        interval = 2 * self.recipe.train.validate_every
        return f"validation takes {share:.0%} of the training time; train.validate_every={interval} halves that"

    @cached_property
    def _cached_classifier(self) -> AttributeClassifier | None:
        return load_cached_classifier(
            self.sources, self.recipe.data.image_size, self.device, self.recipe.classifier_training
        )

    @cached_property
    def _classifier(self) -> AttributeClassifier:
        """The evaluation's classifier if it was cached when the run began, otherwise a small one."""
        if self.classifier_kind == "evaluation" and self._cached_classifier is not None:
            return self._cached_classifier
        batches = max(1, min(SMALL_CLASSIFIER_BATCHES, int(SMALL_CLASSIFIER_SHARE * self.recipe.train.steps)))
        network = train_small_classifier(self.sources, self.recipe.data, self.device, self.progress, batches)
        return AttributeClassifier(self.classified.attributes, network, self.device, {})

    @cached_property
    def edits(self) -> _Edits:
        """The edits of every validation. Raises `DataError` for an image that cannot be read."""
        real, source, target, same_image = list[Tensor](), list[Tensor](), list[Tensor](), list[int]()
        expected, known = list[Mapping[str, Value]](), list[Mapping[str, Value]]()
        for dataset in self.sources:
            records, cached = dataset.preview_images(self.recipe.data.image_size, self.progress)
            names = self.classified.names[dataset.index]
            labels = list(map(dataset.attribute_values, records))
            for number, position in enumerate(pick_display_indices(labels, -(-IMAGES // len(self.sources)))):
                attributes = labels[position]
                candidates = self.label_encoder.edits(attributes, dataset.index)
                # Other edits for each image; and its own label, where there are too few to compare.
                count = min(TARGETS_PER_IMAGE, len(candidates))
                chosen = [candidates[(number + n) % len(candidates)] for n in range(count)]
                for n, edit in enumerate([*chosen, {}][: max(count, 2)]):
                    if n:
                        same_image.append(len(real))
                    real.append(normalise(torch.from_numpy(cached.pixels[position : position + 1].copy()))[0])
                    source.append(self.label_encoder.encode(attributes, dataset.index))
                    target.append(self.label_encoder.encode({**attributes, **edit}, dataset.index))
                    expected.append({names[name]: value for name, value in edit.items()})
                    known.append({names[name]: value for name, value in attributes.items()})
        return _Edits(torch.stack(real), torch.stack(source), torch.stack(target), same_image, expected, known)

    @cached_property
    def _real_accuracy(self) -> float:
        predicted = self._classifier.predict(self.edits.real)
        return _mean([is_correct for _, is_correct in _compare(predicted, self.edits.known)])


def _distances(images: Tensor, others: Tensor) -> list[float]:
    """Mean absolute difference of each image from its counterpart."""
    distances: list[float] = (images.float() - others.float()).abs().mean((1, 2, 3)).tolist()
    return distances


def _compare(
    predicted: Sequence[Mapping[str, Value]], expected: Sequence[Mapping[str, Value]]
) -> Iterator[tuple[str, bool]]:
    """Yields each expected attribute and whether its value was predicted."""
    for prediction, attributes in zip(predicted, expected, strict=True):
        yield from ((name, prediction[name] == value) for name, value in attributes.items())


def _mean(values: Sequence[float], scale: float = 1.0) -> float:
    return round(fmean(values) * scale, 5) if values else 0.0
