"""The importer contract: published checkpoints of other code as translators of ours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdtranslate.api.component import Component
from mdtranslate.api.dataset import Attribute

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Published:
    """What an importer made of files: components as recipes write them, and the weights of the networks by role."""

    image_size: int
    encoder: Mapping[str, Any]
    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any] | None
    """None where no file has one: attributes can then not be inferred from a picture."""
    weights: Mapping[str, State] = field(repr=False)
    """`generator`, and `discriminator` where there is one."""
    attributes: Mapping[str, Sequence[Attribute]] | None = None
    """What each dataset labels, where that is not as it was given."""


class Importer(Component):
    """Knows the files of one published code."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def read(self, states: Mapping[Path, State], attributes: Mapping[str, Sequence[Attribute]]) -> Published:
        """What the files are, by their weights' names and shapes.

        `states`: the tensors of each file by name, read without running any code of it. `attributes`: what each dataset
        labels, in the order of the published labels. Raises `CheckpointError` that names the file where the names or
        shapes are not those of the published code, `RecipeError` where the attributes do not fit them.
        """
