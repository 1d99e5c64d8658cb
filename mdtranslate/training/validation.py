"""Validation during training: translates held-out images, and warns if the model does not learn to edit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
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

IMAGES, TARGETS_PER_IMAGE, BATCH_SIZE = 32, 3, 32
GREY_LEVELS: Final = 127.5  # Grey levels of 255 per unit of [-1, 1].

MAX_TIME_SHARE: Final = 0.05
"""Share of the training time above which the user is told that validation is slow."""

SMALL_CLASSIFIER_BATCHES: Final = 200
"""Batches that the small classifier is trained on at most,"""
SMALL_CLASSIFIER_SHARE: Final = 0.1
"""and their share of the run's batches at most: each costs more than one of the run's."""

SAME_TARGETS: Final = "translations to different targets are nearly the same"
SAME_TARGETS_DIFFERENCE: Final = 1.0
"""Label dependence, in grey levels of 255, below which this warning is due."""
MIN_UPDATES: Final = 1_000
"""Generator updates before this warning is due."""
ACCURACY_FLOOR: Final = 0.75
"""Edit accuracy from which this warning is never due: ignoring a yes/no target scores 0.5."""

WORSE_RECONSTRUCTION: Final = "the reconstruction error grows"
WORSE_VALIDATIONS: Final = 3
"""Number of validations in a row with too large an error before this warning is due."""
WORSE_FACTOR: Final = 2.0
"""Too large an error is this many times the smallest error before,"""
MIN_ERROR: Final = 0.1
"""and at least this."""


@dataclass(frozen=True)
class ValidationResult:
    """Result of one validation.

    Attributes:
        step: Number of training steps done.
        label_dependence: Mean absolute difference between translations of an image to different targets, 0 to 255.
        change: Mean absolute difference between an image and its translation, 0 to 255.
        reconstruction: Mean absolute error after an edit and back, for images in [-1, 1].
        edit_accuracy: Share of edits for which the classifier predicts the target value.
        classifier: Which classifier: `evaluation`, the cached one of `mdtranslate evaluate`, or `small`, one that was
            trained before the first validation.
        real_accuracy: Share of labels that it predicts right on the same images, unedited.
        warning: A warning for the user, or None.
        edit_accuracies: `edit_accuracy` by edited attribute.
    """

    step: int
    label_dependence: float
    change: float
    reconstruction: float
    edit_accuracy: float
    classifier: Literal["evaluation", "small"]
    real_accuracy: float
    warning: str | None = None
    edit_accuracies: Mapping[str, float] = field(default_factory=dict)

    def log_line(self) -> dict[str, Any]:
        """Returns the line for log.jsonl."""
        figures = {
            f"validation/{name}": value for name, value in vars(self).items() if name != "step" and value is not None
        }
        return {"step": self.step, **figures}

    def summary(self) -> str:
        """Returns a short text for the terminal."""
        worst = min(self.edit_accuracies, key=lambda name: self.edit_accuracies[name], default="")
        worst_edit = f"{worst} {self.edit_accuracies[worst]:.0%}, " if len(self.edit_accuracies) > 1 else ""
        return (
            f"edit accuracy {self.edit_accuracy:.0%} ({worst_edit}real images {self.real_accuracy:.0%}), "
            f"label dependence {self.label_dependence:.1f} grey levels, reconstruction error {self.reconstruction:.3f}"
        )


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
        self._last_end: float | None = None
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
        result = replace(result, warning=self._warning(result))
        self.results.append(result)
        return result

    def check_overhead(self, start: float, seconds: float) -> str | None:
        """Returns a warning, once, if validation takes too large a share of the training time.

        The first validation does not count: it trains the small classifier.

        Args:
            start: When this validation started, in seconds.
            seconds: How long it took.
        """
        last_end, self._last_end = self._last_end, start + seconds
        if last_end is None or self._has_warned_of_time:
            return None
        share = seconds / (self._last_end - last_end)
        if share <= MAX_TIME_SHARE:
            return None
        self._has_warned_of_time = True
        interval = 2 * self.recipe.train.validate_every
        return f"validation takes {share:.0%} of the training time; train.validate_every={interval} halves that"

    def _warning(self, now: ValidationResult) -> str | None:
        """Returns a warning if outputs ignore the target or the reconstruction error grows; each once in a run."""
        earlier_warnings = " ".join(result.warning for result in self.results if result.warning)
        updates = now.step // self.recipe.train.critic_steps
        dependence = max(result.label_dependence for result in [*self.results[-1:], now])
        if (
            SAME_TARGETS not in earlier_warnings
            and updates >= MIN_UPDATES
            and dependence < SAME_TARGETS_DIFFERENCE
            and now.edit_accuracy < ACCURACY_FLOOR
        ):
            unchanged = now.change < SAME_TARGETS_DIFFERENCE
            what = "images come back unchanged" if unchanged else "the output does not depend on the target"
            return (
                f"{SAME_TARGETS}, {now.label_dependence:.2f} of 255 grey levels apart: {what}. Likely causes: the "
                "weight of the classification loss is too small beside that of the cycle loss, labels that do not fit "
                "the images (run mdtranslate doctor), or a learning rate that is too low"
            )
        errors = [result.reconstruction for result in [*self.results, now]]
        best = min(errors[:-WORSE_VALIDATIONS], default=MIN_ERROR)
        too_large = min(errors[-WORSE_VALIDATIONS:]) > max(MIN_ERROR, WORSE_FACTOR * best)
        if WORSE_RECONSTRUCTION not in earlier_warnings and too_large and len(errors) > WORSE_VALIDATIONS:
            return (
                f"{WORSE_RECONSTRUCTION}: {errors[-1]:.3f}, after {best:.3f} before. Likely causes: a learning rate "
                "that is too high, a cycle loss whose weight is too small, or a discriminator that is far ahead"
            )
        return None

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
