"""Metrics of edits: accuracy, preservation of other attributes, reconstruction, and similarity to the ground truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import torch
from torch import Tensor

from mdtranslate import Attribute, EditBatch, Features, Metric, Value, format_value

SSIM_WINDOW: Final = 11
"""Side of SSIM's window in pixels; smaller images have no SSIM."""

ROUNDING_ERROR: Final = 1 / 255**2 / 12
"""Mean squared error of rounding a perfect image in [0, 1] to 8 bits."""


class Means(Metric):
    """Base of metrics whose figures are means over images.

    Attributes:
        sums: Sums of the values, by name of the figure.
        counts: Numbers of the values, by name of the figure.
    """

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], classifier_features: Features) -> None:
        """Initialises empty sums; see `Metric` for the arguments."""
        super().__init__(config, attributes=attributes, classifier_features=classifier_features)
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.counts: defaultdict[str, int] = defaultdict(int)

    def add(self, name: str, values: Tensor | Sequence[bool]) -> None:
        """Adds values to a figure.

        Args:
            name: Name of the figure.
            values: One value per image, `(B,)`.
        """
        self.sums[name] += float(torch.as_tensor(values).detach().cpu().double().sum())  # MPS has no float64.
        self.counts[name] += len(values)

    def compute(self) -> dict[str, float]:
        """Returns the means so far by name."""
        return {name: self.sums[name] / count for name, count in self.counts.items() if count}


class EditAccuracy(Means):
    """Accuracy of edits according to the evaluation's attribute classifier: shares of images, from 0 to 1.

    - `hair/accuracy`, `hair=Blond_Hair/accuracy`: the edited attribute has the target value.
    - `hair/preserves/Male`: another attribute has the value before the edit; images with an unknown value are skipped.
    - `hair=Blond_Hair/predicted/Brown_Hair`: predicted value of the edited attribute.
    - `hair+Male/accuracy`: all attributes of a joint edit have their target values.
    - `preservation`: mean of all `.../preserves/...` of edits of one attribute.
    - `classification error`: 1 minus the mean accuracy over attributes (Choi et al. 2018, table 3).
    """

    name = "edit-accuracy"

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images."""
        attribute_scope, edit_scope = batch.scopes
        is_correct = [
            all(predicted[name] == value for name, value in batch.edit.items())
            for predicted in batch.predicted_attributes
        ]
        self.add(f"{attribute_scope}/accuracy", is_correct)
        self.add(f"{edit_scope}/accuracy", is_correct)
        for attribute in self.attributes:
            name = attribute.name
            if name not in batch.edit:
                is_preserved = [
                    predicted[name] == source[name]
                    for predicted, source in zip(batch.predicted_attributes, batch.source_attributes, strict=True)
                    if name in source
                ]
                self.add(f"{attribute_scope}/preserves/{name}", is_preserved)
            elif len(batch.edit) == 1:
                for value in attribute.allowed_values:
                    is_predicted = [predicted[name] == value for predicted in batch.predicted_attributes]
                    self.add(f"{edit_scope}/predicted/{format_value(value)}", is_predicted)

    def compute(self) -> dict[str, float]:
        """Returns the figures so far by name."""
        figures = super().compute()
        preservation = [value for name, value in figures.items() if "/preserves/" in name and "+" not in name]
        names = [f"{attribute.name}/accuracy" for attribute in self.attributes]
        accuracies = [figures[name] for name in names if name in figures]
        return {
            **figures,
            **({"preservation": fmean(preservation)} if preservation else {}),
            **({"classification error": 1 - fmean(accuracies)} if accuracies else {}),
        }


class Reconstruction(Means):
    """Similarity of an image to its reconstruction (cycle) and to its translation to its own label (identity).

    - `hair/l1`, `l1`: mean absolute difference of the reconstruction, in [0, 2] since images are in [-1, 1]; by edited
      attribute, and over all edits of one attribute.
    - `cycle psnr`, `cycle ssim`: PSNR and SSIM of the reconstruction over all edits of one attribute.
    - `identity l1`, `identity psnr`, `identity ssim`: the same for translations to the image's own label.

    PSNR and SSIM are those of `counterfactual`.
    """

    name = "reconstruction"

    def update_real(self, real: Tensor, known: Sequence[Mapping[str, Value]], self_translation: Tensor) -> None:
        """Adds a batch of unedited images."""
        self._add_similarity("identity", self_translation, real)
        self.add("identity l1", (self_translation.float() - real.float()).abs().mean((1, 2, 3)))

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images."""
        difference = (batch.reconstruction.float() - batch.real.float()).abs().mean((1, 2, 3))
        self.add(f"{batch.scopes[0]}/l1", difference)
        if len(batch.edit) == 1:
            self.add("l1", difference)
            self._add_similarity("cycle", batch.reconstruction, batch.real)

    def _add_similarity(self, name: str, image: Tensor, reference: Tensor) -> None:
        image, reference = _to_unit_range(image), _to_unit_range(reference)
        self.add(f"{name} psnr", _psnr(image, reference))
        if min(reference.shape[2:]) >= SSIM_WINDOW:
            self.add(f"{name} ssim", _ssim(image, reference))


class Counterfactual(Means):
    """Similarity of edited images to the ground truth, and the gain over the identity baseline.

    The identity baseline is the unedited source image. For images in [0, 1], averaged over images:

    - `hair/psnr`: peak signal-to-noise ratio in dB, at most 58.9, which is that of a perfect image rounded to 8 bits.
    - `hair/ssim`: structural similarity (Wang et al. 2004, window of 11 pixels); none for smaller images.
    - `hair/psnr of the identity baseline`, `hair/psnr gain`: the same for the source image, and the difference; also of
      `ssim`.
    - `hair=Blond_Hair/psnr` and so on: the same by edit.

    There are no figures for edits without ground truth.
    """

    name = "counterfactual"

    def update(self, batch: EditBatch) -> None:
        """Adds a batch of edited images, if it has ground truth."""
        if batch.truth is None:
            return
        truth, fake, source = (_to_unit_range(images) for images in (batch.truth, batch.fake, batch.real))
        figures = {"psnr": (_psnr(fake, truth), _psnr(source, truth))}
        if min(truth.shape[2:]) >= SSIM_WINDOW:
            figures["ssim"] = (_ssim(fake, truth), _ssim(source, truth))
        for scope in batch.scopes:
            for name, (value, baseline) in figures.items():
                self.add(f"{scope}/{name}", value)
                self.add(f"{scope}/{name} of the identity baseline", baseline)

    def compute(self) -> dict[str, float]:
        """Returns the figures so far by name, with gains over the baseline."""
        figures = super().compute()
        suffix = " of the identity baseline"
        gains = {
            name.replace(suffix, " gain"): figures[name.removesuffix(suffix)] - value
            for name, value in figures.items()
            if name.endswith(suffix)
        }
        return {**figures, **gains}


def _to_unit_range(images: Tensor) -> Tensor:
    """Converts images from [-1, 1] to [0, 1]."""
    return images.float().add(1).div(2).clamp(0, 1)


def _psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Returns the PSNR of each image in [0, 1] in dB, `(B,)`."""
    error = (images - reference).square().mean((1, 2, 3)).clamp(min=ROUNDING_ERROR)
    return -10 * error.log10()


def _ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Returns the SSIM of each image in [0, 1], `(B,)`."""
    # Imported here because it takes seconds, and every run builds its metrics to check them.
    from torchmetrics.functional.image import structural_similarity_index_measure

    similarity = structural_similarity_index_measure(images, reference, reduction="none", data_range=1.0)
    assert isinstance(similarity, Tensor)
    return similarity.reshape(-1)
