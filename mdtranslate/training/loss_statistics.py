"""Means of loss terms for the log, and what happens to non-finite values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from mdtranslate.errors import NonFiniteError

MAX_SKIPPED: Final = 100
"""Skipped updates of a network in a row after which a run fails."""

SKIPPED: Final = "skipped"
"""`generator/skipped` in the log: number of its updates that were skipped since the line before."""


class LossStatistics:
    """Sums of loss terms since the last line of the log, kept on the device, so that training never waits for them.

    Attributes:
        sums: Sum of each term over the updates that were made.
        counts: Number of updates of each term, skipped ones included.
    """

    def __init__(self, on_nonfinite: Literal["skip", "stop"], device: torch.device, say: Callable[[str], None]) -> None:
        self.on_nonfinite, self.device, self.say = on_nonfinite, device, say
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        # Number of skipped updates in a row up to the last update, by network.
        self._streaks: dict[str, Tensor] = {}
        # By the names of an update's terms and its gradients: which were not finite in the first bad update.
        self._nonfinite: dict[tuple[str, ...], Tensor] = {}

    @torch.no_grad()
    def add(self, network: str, terms: Mapping[str, Tensor], gradients: Sequence[Tensor]) -> Tensor:
        """Adds the terms of an update.

        Args:
            network: The network that is updated.
            terms: Scalar terms by name.
            gradients: All gradients of the update.

        Returns:
            1.0 on the device if the update must be skipped, otherwise 0.0.
        """
        names = (*terms, f"{network}/gradients")
        # The norm of no gradients, where no loss had a term for the batch, would lie on the CPU.
        norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros((), device=self.device)
        values = torch.stack([*terms.values(), norm]).float()
        is_bad = ~values.isfinite()
        bad_before = sum((flags.any() for flags in self._nonfinite.values()), torch.zeros((), device=self.device))
        first_bad = is_bad & (bad_before == 0)  # Later ones may be consequences.
        self._nonfinite[names] = self._nonfinite[names] | first_bad if names in self._nonfinite else first_bad
        skip = is_bad.any()
        if self.on_nonfinite == "stop":
            skip = skip | (bad_before > 0)
        values = torch.where(skip, torch.zeros_like(values), values)
        for name, value in zip(names[:-1], values[:-1], strict=True):
            self._add(name, value)
        self._add(f"{network}/{SKIPPED}", skip.float())
        self._streaks[network] = (self._streaks.get(network, 0) + 1) * skip.float()
        return skip.float()

    @property
    def streaks(self) -> dict[str, int]:
        """Number of skipped updates in a row up to the last update, by network."""
        return {network: int(streak.item()) for network, streak in self._streaks.items()}

    def check(self, step: int) -> None:
        """Raises `NonFiniteError` if an update was skipped (`stop`), or too many in a row (`skip`)."""
        for network, count in self.streaks.items():
            if count >= (1 if self.on_nonfinite == "stop" else MAX_SKIPPED):
                rate = f"optimizers.{network}.learning_rate"
                raise NonFiniteError(
                    f"non-finite value in {self._first_nonfinite()} before step {step}: {count} updates of the "
                    f"{network} were skipped. Resume with a lower {rate} or a smaller weight of that loss; in a loss "
                    "of your own, look for a square root or norm of 0, whose gradient is undefined"
                )

    def means(self) -> dict[str, float]:
        """Returns the mean of each term since the last call, over the updates that were made, and starts anew."""
        totals = {name: total.item() for name, total in self.sums.items()}
        means = {}
        for name, total in totals.items():
            network, _, term = name.partition("/")
            skipped = totals.get(f"{network}/{SKIPPED}", 0.0)
            if term == SKIPPED:
                if skipped:
                    means[name] = skipped
                    self.say(
                        f"warning: {skipped:.0f} of {self.counts[name]} updates of the {network} were skipped: "
                        f"non-finite value in {self._first_nonfinite()}"
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

    def _first_nonfinite(self) -> str:
        """The terms that were not finite first, or the terms whose gradients were."""
        bad = [(names, flags.tolist()) for names, flags in self._nonfinite.items() if flags.any()]
        terms = [name for names, flags in bad for name, flag in zip(names[:-1], flags[:-1], strict=True) if flag]
        return " and ".join(terms) or f"the gradients of {' + '.join(name for names, _ in bad for name in names[:-1])}"
