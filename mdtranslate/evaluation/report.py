"""The report of an evaluation, `report.json`: what was measured, of which run, with which classifier and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdtranslate._version import __version__
from mdtranslate.api import Split
from mdtranslate.utils.files import storage_errors, write_json
from mdtranslate.utils.image_io import write_png


@dataclass(frozen=True)
class DatasetResult:
    """What was measured on the test split of one dataset.

    Attributes:
        dataset: The dataset's name in the recipe.
        num_images: Number of test images.
        left_out: Why test images are not among them, one line each with the name of the file.
        digest: Hash of the test images.
        attributes: Everything that any dataset of the run knows, which is what the classifier predicts.
        edited: The attributes that were edited: those that the run labels, of this dataset and of the others.
        joint_edits: Attributes that were edited at once, such as `hair+Eyeglasses`.
        transferred: Edited attributes that only another dataset labels, and the name of that dataset.
        classifier: Network and training of the attribute classifier.
        accuracy: The classifier's accuracy on real test images, by attribute.
        majority_share: By attribute: share of the most frequent value, the accuracy of always predicting it.
        edits: Number of images by edit, `hair=Blond_Hair`.
        compared: As `edits`, only images whose ground truth is known.
        figures: The figures of each metric of the recipe.
        metadata: What the figures of each metric depend on besides the images.
    """

    dataset: str
    num_images: int
    left_out: tuple[str, ...]
    digest: str
    attributes: tuple[str, ...]
    edited: tuple[str, ...]
    joint_edits: tuple[str, ...]
    transferred: Mapping[str, str]
    classifier: Mapping[str, Any]
    accuracy: Mapping[str, float]
    majority_share: Mapping[str, float]
    edits: Mapping[str, int]
    compared: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float]]
    metadata: Mapping[str, Mapping[str, Any]]

    def json(self) -> dict[str, Any]:
        """Returns the dataset's entry of `report.json`."""
        return {
            "classifier": {
                "accuracy_on_real_images": dict(self.accuracy),
                "majority_share": dict(self.majority_share),
                **self.classifier,
            },
            "images": self.num_images,
            "left_out": list(self.left_out),
            "digest": self.digest,
            "attributes": list(self.attributes),
            "edited": list(self.edited),
            "joint_edits": list(self.joint_edits),
            "transferred": dict(self.transferred),
            "edits": dict(self.edits),
            "compared_with_truth": dict(self.compared),
            "figures": {name: dict(figures) for name, figures in self.figures.items()},
            "metadata": {name: dict(metadata) for name, metadata in self.metadata.items()},
        }


@dataclass(frozen=True)
class Report:
    """What was measured of a run.

    Attributes:
        run: Path of the run's folder.
        recipe: Name of its recipe.
        device: The device that it was measured on.
        results: The results by dataset.
        cost: Size and speed of the translator, as `mdtranslate.evaluation.cost.cost` returns them.
        weights: Files of the weights that were measured, with their hashes. A resumed run has others.
        overrides: Settings in which the evaluation differs from the run's recipe.
        created: Date and time in UTC, ISO 8601.
    """

    run: str
    recipe: str
    device: str
    results: tuple[DatasetResult, ...]
    cost: Mapping[str, Any]
    weights: Mapping[str, str]
    overrides: tuple[str, ...]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def json(self) -> dict[str, Any]:
        """Returns the content of `report.json`."""
        return {
            "run": self.run,
            "recipe": self.recipe,
            "mdtranslate": __version__,
            "device": self.device,
            "created": self.created,
            "split": Split.TEST.value,
            "weights": dict(self.weights),
            "overrides": list(self.overrides),
            "cost": dict(self.cost),
            "datasets": {result.dataset: result.json() for result in self.results},
        }


def write_report(report: Report, images: Mapping[str, NDArray[np.uint8]], folder: Path) -> None:
    """Writes `report.json` and grids of images.

    Args:
        report: The report.
        images: Images of shape `(H, W, 3)` by file name without extension.
        folder: Where to write; it is created if necessary.

    Raises:
        mdtranslate.errors.StorageError: The folder cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in images.items():
        write_png(pixels, folder / f"{name}.png")
    write_json(folder / "report.json", report.json())
