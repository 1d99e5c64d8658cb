"""The metric interface: what an evaluation measures about a translator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdtranslate.api.attribute import Attribute, Value, format_value
from mdtranslate.api.component import Component

if TYPE_CHECKING:
    from torch import Tensor

    from mdtranslate.api.features import Features


@dataclass(frozen=True)
class EditBatch:
    """A batch of test images to which one edit was applied.

    Images are float32 of shape `(B, 3, H, W)` in [-1, 1], at the training size.

    Attributes:
        edit: The changed attributes, mostly one, and their new values.
        real: The images before the edit.
        fake: The images after the edit.
        reconstruction: `fake` translated back to the source labels.
        truth: Ground truth of the edit, or None where the dataset has none.
        source_attributes: What the dataset knows about each image before the edit, labelled in the run or not.
        predicted_attributes: What the evaluation's attribute classifier predicts for each image of `fake`.
    """

    edit: Mapping[str, Value]
    real: Tensor
    fake: Tensor
    reconstruction: Tensor
    truth: Tensor | None
    source_attributes: Sequence[Mapping[str, Value]]
    predicted_attributes: Sequence[Mapping[str, Value]]

    @property
    def scopes(self) -> tuple[str, str]:
        """Prefixes for names of results: of all values (`hair`) and of this value (`hair=Blond_Hair`).

        For joint edits `hair+Male` and `hair=Blond_Hair,Male=yes`.
        """
        return "+".join(self.edit), ",".join(f"{name}={format_value(value)}" for name, value in self.edit.items())


class Metric(Component):
    """Accumulates figures over batches of edited images.

    Attributes:
        config: The settings.
        attributes: Everything that the dataset knows, in its order.
        classifier_features: Features of the evaluation's attribute classifier.
    """

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Initialises the metric.

        Args:
            config: An instance of this class's `Config`.
            attributes: Everything that the dataset knows, in its order.
            classifier_features: Features of the evaluation's attribute classifier, which has seen no translation.

        Raises:
            ValueError: The settings do not go together.
        """
        self.config = config
        self.attributes = tuple(attributes)
        self.classifier_features = classifier_features

    def update_reference(self, real: Tensor, known: Sequence[Mapping[str, Value]], labelled: Sequence[str]) -> None:
        """Adds a batch of real training images, which come before all test images. Ignored by default.

        They are a random sample of at most `evaluation.reference_images` images of the dataset, the same one in every
        evaluation. An evaluation loads them only if a metric overrides this method.

        Args:
            real: Images of shape `(B, 3, H, W)` in [-1, 1].
            known: What the dataset knows about each image.
            labelled: Names of the dataset's attributes that the run labels: those that it is trained to edit.
        """

    def update_real(self, real: Tensor, known: Sequence[Mapping[str, Value]], self_translation: Tensor) -> None:
        """Adds a batch of unedited test images; each image comes once, before any edit. Ignored by default.

        Args:
            real: Images of shape `(B, 3, H, W)` in [-1, 1].
            known: What the dataset knows about each image.
            self_translation: The images translated to their own labels, same shape.
        """

    @abstractmethod
    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images."""

    @abstractmethod
    def compute(self) -> Mapping[str, float]:
        """Returns the figures so far, by names such as `hair/accuracy` and `hair=Blond_Hair/psnr`.

        Figures without data are missing.
        """

    def metadata(self) -> Mapping[str, Any]:
        """Returns what else the figures depend on, for the report, such as a feature network or image counts."""
        return {}
