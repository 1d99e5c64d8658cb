"""Metrics: does an edit do what it says, does it leave the rest alone, and how far is it from the true picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import torch
from torch import Tensor

from mdtranslate.api import Attribute, Edited, Features, Metric, Value
from mdtranslate.api.dataset import spell

SMALLEST_FOR_SSIM: Final = 11  # The side of its window.
ROUNDING: Final = 1 / 255**2 / 12  # Mean squared error of a perfect picture that is stored in 8 bits.


class Means(Metric):
    """Figures that are means over pictures, kept as a sum and a count by name."""

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], judge: Features) -> None:
        super().__init__(config, attributes=attributes, judge=judge)
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.counts: defaultdict[str, int] = defaultdict(int)

    def add(self, name: str, values: Tensor | Sequence[bool]) -> None:
        """Takes in one value per picture."""
        self.sums[name] += float(torch.as_tensor(values).cpu().double().sum())  # MPS has no float64.
        self.counts[name] += len(values)

    def compute(self) -> dict[str, float]:
        return {name: self.sums[name] / count for name, count in self.counts.items() if count}


class EditAccuracy(Means):
    """What the judge sees after an edit: shares of pictures, from 0 to 1.

    - `hair/accuracy`, `hair=Blond_Hair/accuracy`: the edited attribute has the wanted value;
    - `hair/preserves/Male`: another attribute is what it was; pictures in which it is unknown are left out;
    - `classification error`: 1 less the mean accuracy of the attributes, as papers have it (Choi et al. 2018,
      table 3);
    - `preservation`: the mean of all `.../preserves/...` of edits of one attribute;
    - `hair=Blond_Hair/judged/Brown_Hair`: what the edited attribute was taken for;
    - `hair+Male/accuracy`: edited at once, all have the wanted values.
    """

    name = "edit-accuracy"

    def update(self, batch: Edited) -> None:
        scope, edit = batch.scopes
        right = [all(judged[name] == value for name, value in batch.edit.items()) for judged in batch.judged]
        self.add(f"{scope}/accuracy", right)
        self.add(f"{edit}/accuracy", right)
        for attribute in self.attributes:
            if attribute.name not in batch.edit:
                kept = [
                    judged[attribute.name] == before[attribute.name]
                    for judged, before in zip(batch.judged, batch.before, strict=True)
                    if attribute.name in before
                ]
                self.add(f"{scope}/preserves/{attribute.name}", kept)
            elif len(batch.edit) == 1:
                for value in attribute.allowed:
                    seen = [judged[attribute.name] == value for judged in batch.judged]
                    self.add(f"{edit}/judged/{spell(value)}", seen)

    def compute(self) -> dict[str, float]:
        figures = super().compute()
        kept = [value for name, value in figures.items() if "/preserves/" in name and "+" not in name]
        right = [figures[f"{each.name}/accuracy"] for each in self.attributes if f"{each.name}/accuracy" in figures]
        return {
            **figures,
            **({"preservation": fmean(kept)} if kept else {}),
            **({"classification error": 1 - fmean(right)} if right else {}),
        }


class Reconstruction(Means):
    """What is left of a picture after an edit and back (cycle), and after a translation to what it is (identity).

    Mean absolute difference on the scale of [-1, 1] (so 0 to 2): `hair/l1` by edited attribute, `l1` over all
    edits of one attribute. `cycle psnr`, `cycle ssim`, and of the identity `identity l1`, `identity psnr`,
    `identity ssim`, as `counterfactual` has them.
    """

    name = "reconstruction"

    def see(self, real: Tensor, known: Sequence[Mapping[str, Value]], same: Tensor) -> None:
        self._likeness("identity", same, real)
        self.add("identity l1", (same.float() - real.float()).abs().mean((1, 2, 3)))

    def update(self, batch: Edited) -> None:
        distance = (batch.reconstruction.float() - batch.real.float()).abs().mean((1, 2, 3))
        self.add(f"{batch.scopes[0]}/l1", distance)
        if len(batch.edit) == 1:
            self.add("l1", distance)
            self._likeness("cycle", batch.reconstruction, batch.real)

    def _likeness(self, name: str, made: Tensor, real: Tensor) -> None:
        one, other = _unit(made), _unit(real)
        self.add(f"{name} psnr", _psnr(one, other))
        if min(real.shape[2:]) >= SMALLEST_FOR_SSIM:
            self.add(f"{name} ssim", _ssim(one, other))


class Counterfactual(Means):
    """Likeness of an edited picture to the true one, and how much nearer it is than the picture before the edit.

    PSNR in decibels and SSIM (Wang et al. 2004, window of 11 pixels), of each picture on the scale of [0, 1], averaged
    over pictures: `hair/psnr`, `hair/psnr of doing nothing`, `hair/psnr gain`, the same with `ssim`, and the same by
    edit, `hair=Blond_Hair/psnr`. PSNR ends at 58.9, which is what rounding to 8 bits leaves of a perfect picture.
    Nothing where the dataset knows no true pictures; no SSIM below 11 pixels.
    """

    name = "counterfactual"

    def update(self, batch: Edited) -> None:
        if batch.truth is None:
            return
        truth, fake, nothing = (_unit(each) for each in (batch.truth, batch.fake, batch.real))
        figures = {"psnr": (_psnr(fake, truth), _psnr(nothing, truth))}
        if min(truth.shape[2:]) >= SMALLEST_FOR_SSIM:
            figures["ssim"] = (_ssim(fake, truth), _ssim(nothing, truth))
        for scope in batch.scopes:
            for name, (ours, idle) in figures.items():
                self.add(f"{scope}/{name}", ours)
                self.add(f"{scope}/{name} of doing nothing", idle)

    def compute(self) -> dict[str, float]:
        figures = super().compute()
        idle = " of doing nothing"
        gains = {
            name.replace(idle, " gain"): figures[name.removesuffix(idle)] - value
            for name, value in figures.items()
            if name.endswith(idle)
        }
        return {**figures, **gains}


def _unit(pictures: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return pictures.float().add(1).div(2).clamp(0, 1)


def _psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """Per picture, [B]."""
    error = (pictures - truth).square().mean((1, 2, 3)).clamp(min=ROUNDING)
    return -10 * error.log10()


def _ssim(pictures: Tensor, truth: Tensor) -> Tensor:
    """Per picture, [B]."""
    # Here, for it takes seconds to import, and every run builds its metrics to check them.
    from torchmetrics.functional.image import structural_similarity_index_measure

    similarity = structural_similarity_index_measure(pictures, truth, reduction="none", data_range=1.0)
    assert isinstance(similarity, Tensor)
    return similarity.reshape(-1)
