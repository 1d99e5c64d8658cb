"""Results of validation during training, and what they warn of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

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

LESS_REALISTIC: Final = "edits become less realistic while their accuracy rises"
LESS_REALISTIC_MEASUREMENTS: Final = 3
"""Number of measurements in a row that close too little of the gap before this warning is due."""
MIN_LOSS: Final = 0.25
"""Too little is this much less than the most before: more than the mean varies between samples of images (0.15)."""


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
        gap_closed: How realistic edits are, the mean over edits: 1: as real images of the target value; 0: as no edit.
            None where it was not measured.
        gap_closed_edits: `gap_closed` by edit.
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
    gap_closed: float | None = None
    gap_closed_edits: Mapping[str, float] = field(default_factory=dict)

    def log_line(self) -> dict[str, Any]:
        """Returns the line for log.jsonl."""
        figures = {
            f"validation/{name}": value
            for name, value in vars(self).items()
            if name != "step" and value is not None and value != {}
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


def find_warning(earlier: Sequence[ValidationResult], now: ValidationResult, critic_steps: int) -> str | None:
    """Returns a warning if training goes wrong in a way that shows in the results; each once in a run.

    Args:
        earlier: Results of earlier validations.
        now: The result of this one.
        critic_steps: Training steps per generator update.
    """
    earlier_warnings = " ".join(result.warning for result in earlier if result.warning)
    updates = now.step // critic_steps
    dependence = max(result.label_dependence for result in [*earlier[-1:], now])
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
    errors = [result.reconstruction for result in [*earlier, now]]
    best = min(errors[:-WORSE_VALIDATIONS], default=MIN_ERROR)
    too_large = min(errors[-WORSE_VALIDATIONS:]) > max(MIN_ERROR, WORSE_FACTOR * best)
    if WORSE_RECONSTRUCTION not in earlier_warnings and too_large and len(errors) > WORSE_VALIDATIONS:
        return (
            f"{WORSE_RECONSTRUCTION}: {errors[-1]:.3f}, after {best:.3f} before. Likely causes: a learning rate "
            "that is too high, a cycle loss whose weight is too small, or a discriminator that is far ahead"
        )
    if LESS_REALISTIC not in earlier_warnings and now.gap_closed is not None:
        return _realism_warning([result for result in [*earlier, now] if result.gap_closed is not None])
    return None


def _realism_warning(measured: Sequence[ValidationResult]) -> str | None:
    """Returns a warning if the last measurements of realism are worse than an earlier one of less accurate edits."""
    gaps = [result.gap_closed or 0.0 for result in measured]
    before, recent = gaps[:-LESS_REALISTIC_MEASUREMENTS], gaps[-LESS_REALISTIC_MEASUREMENTS:]
    if not before or max(recent) > max(before) - MIN_LOSS:
        return None
    best = measured[before.index(max(before))]
    if measured[-1].edit_accuracy <= best.edit_accuracy:
        return None
    return (
        f"{LESS_REALISTIC}: gap closed {gaps[-1]:.2f} at accuracy {measured[-1].edit_accuracy:.0%}, after "
        f"{max(before):.2f} at {best.edit_accuracy:.0%} in step {best.step}. Likely causes: the weight of the "
        "classification loss is too large beside that of the adversarial loss, or a discriminator that falls behind"
    )
