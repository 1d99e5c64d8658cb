"""Means of loss terms for the log, and what happens where one was not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from mdtranslate.errors import NonFiniteError

IN_A_ROW: Final = 100
"""Updates of a network that are skipped one after another before a run is given up."""

SKIPPED: Final = "skipped"
"""`generator/skipped` in the log: how many of its updates were skipped since the line before."""


class LossStatistics:
    """Sums of loss terms since the last line of the log, on the device: nothing waits for them but a log or a check."""

    def __init__(self, on_nonfinite: Literal["skip", "stop"], device: torch.device, say: Callable[[str], None]) -> None:
        self.on_nonfinite, self.device, self.say = on_nonfinite, device, say
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self._streaks: dict[str, Tensor] = {}
        """By network: how many of its updates in a row, up to the last, were skipped."""
        self._nonfinite: dict[tuple[str, ...], Tensor] = {}
        """By the terms of an update and its gradients: which of them were not finite the first time."""

    @torch.no_grad()
    def add(self, role: str, terms: Mapping[str, Tensor], gradients: Sequence[Tensor]) -> Tensor:
        """Takes in the terms of an update. 1 on the device where it must be skipped, else 0."""
        names = (*terms, f"{role}/gradients")
        # Without gradients, where no loss had a term for the batch, the norm would lie on the CPU.
        norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros((), device=self.device)
        values = torch.stack([*terms.values(), norm]).float()
        bad = ~values.isfinite()
        broken = sum((each.any() for each in self._nonfinite.values()), torch.zeros((), device=self.device))
        first = bad & (broken == 0)  # Everything after it may be its consequence.
        self._nonfinite[names] = self._nonfinite[names] | first if names in self._nonfinite else first
        skip = bad.any()
        if self.on_nonfinite == "stop":
            skip = skip | (broken > 0)
        values = torch.where(skip, torch.zeros_like(values), values)
        for name, value in zip(names[:-1], values[:-1], strict=True):
            self._add(name, value)
        self._add(f"{role}/{SKIPPED}", skip.float())
        self._streaks[role] = (self._streaks.get(role, 0) + 1) * skip.float()
        return skip.float()

    @property
    def streaks(self) -> dict[str, int]:
        """By network, how many of its updates in a row were skipped, up to the last one."""
        return {role: int(streak.item()) for role, streak in self._streaks.items()}

    def check(self, step: int) -> None:
        """Raises `NonFiniteError` where a value was not finite: at once (`stop`), or too often in a row (`skip`)."""
        for role, streak in self._streaks.items():
            count = int(streak.item())
            if count >= (1 if self.on_nonfinite == "stop" else IN_A_ROW):
                rate = f"optimizers.{role}.learning_rate"
                raise NonFiniteError(
                    f"non-finite value in {self._culprits()} before step {step}: {count} updates of the {role} were "
                    f"skipped. Go on with a lower {rate} or a smaller weight of that loss; if it is yours, look for a "
                    "square root or norm of 0, whose gradient is not defined"
                )

    def means(self) -> dict[str, float]:
        """The mean of each term since this was last asked, over updates that were made; how many were skipped."""
        totals = {name: total.item() for name, total in self.sums.items()}
        means = {}
        for name, total in totals.items():
            role, _, what = name.partition("/")
            skipped = totals.get(f"{role}/{SKIPPED}", 0.0)
            if what == SKIPPED:
                if skipped:
                    means[name] = skipped
                    self.say(
                        f"warning: {skipped:.0f} of {self.counts[name]} updates of the {role} were skipped: "
                        f"non-finite value in {self._culprits()}"
                    )
            elif self.counts[name] > skipped:
                means[name] = total / (self.counts[name] - skipped)
        self.sums.clear()
        self.counts.clear()
        self._nonfinite.clear()
        return means

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value
        self.counts[name] = self.counts.get(name, 0) + 1

    def _culprits(self) -> str:
        """The terms that were not finite first, or the gradients of those that were."""
        found = [(names, bad.tolist()) for names, bad in self._nonfinite.items() if bad.any()]
        terms = [name for names, bad in found for name, each in zip(names[:-1], bad[:-1], strict=True) if each]
        return (
            " and ".join(terms) or f"the gradients of {' + '.join(name for names, _ in found for name in names[:-1])}"
        )
