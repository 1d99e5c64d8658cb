"""The metric contract: what an evaluation measures of a translator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdtranslate.api.component import Component
from mdtranslate.api.dataset import Attribute, Value, spell

if TYPE_CHECKING:
    from torch import Tensor

    from mdtranslate.api.features import Features


@dataclass(frozen=True)
class Edited:
    """One batch of test pictures that a translator gave one edit.

    Pictures are float32 [B, 3, H, W] in [-1, 1], at the size of the run.
    """

    edit: Mapping[str, Value]
    """The attributes that were changed, mostly one, and to what."""

    real: Tensor
    """The pictures before."""

    fake: Tensor
    """The pictures after the edit, by the translator."""

    reconstruction: Tensor
    """`fake` translated back to what the pictures were."""

    truth: Tensor | None
    """The true pictures after the edit, where the dataset knows them."""

    before: Sequence[Mapping[str, Value]]
    """Everything the dataset knows of each picture, labelled in the run or not."""

    judged: Sequence[Mapping[str, Value]]
    """What the independent judge sees in each of `fake`."""

    @property
    def scopes(self) -> tuple[str, str]:
        """What figures of the edit are called by: `hair` and `hair=Blond_Hair`; of several, `hair+Male` and so on."""
        return "+".join(self.edit), ",".join(f"{name}={spell(value)}" for name, value in self.edit.items())


class Metric(Component):
    """Sums over batches, so that sums of several processes can be added."""

    def __init__(self, config: Any, *, attributes: Sequence[Attribute], judge: Features) -> None:
        """`attributes`: everything that the dataset knows, in its order. `judge`: the independent judge's features."""
        self.config = config
        self.attributes = tuple(attributes)
        self.judge = judge

    def see(self, real: Tensor, known: Sequence[Mapping[str, Value]], same: Tensor) -> None:
        """Takes in real test pictures [B, 3, H, W] in [-1, 1], what is known of each, and each translated to that.

        Each picture comes once, before any edit. By default they do not matter.
        """

    @abstractmethod
    def update(self, batch: Edited) -> None:
        """Takes in one batch."""

    @abstractmethod
    def compute(self) -> Mapping[str, float]:
        """The figures so far by name; what never had data is missing. `hair/accuracy`, `hair=Blond_Hair/psnr`."""

    def facts(self) -> Mapping[str, Any]:
        """What the figures depend on beside the pictures, for the report: a feature network, counts of pictures."""
        return {}
