"""The importer interface: published checkpoints of other code as translators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdtranslate.api.attribute import Attribute
from mdtranslate.api.component import Component

if TYPE_CHECKING:
    from torch import Tensor

StateDict = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class ImportedModel:
    """What an importer made of checkpoint files.

    Attributes:
        image_size: Height and width of the model's training images in pixels.
        label_encoder: The label encoder as a recipe writes it: its name and settings.
        generator: The generator, likewise.
        discriminator: The discriminator, likewise; None if no file holds one. Attributes of an image can then not be
            inferred.
        weights: State dicts of the networks by role: `generator` and, where there is one, `discriminator`.
        attributes: The labelled attributes by dataset, if they differ from those that were given.
    """

    image_size: int
    label_encoder: Mapping[str, Any]
    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any] | None
    weights: Mapping[str, StateDict] = field(repr=False)
    attributes: Mapping[str, Sequence[Attribute]] | None = None


class Importer(Component):
    """Reads the checkpoint files of one published code base."""

    def __init__(self, config: Any) -> None:
        """Initialises the importer.

        Args:
            config: An instance of this class's `Config`.
        """
        self.config = config

    @abstractmethod
    def read(self, states: Mapping[Path, StateDict], attributes: Mapping[str, Sequence[Attribute]]) -> ImportedModel:
        """Recognises the files by the names and shapes of their weights.

        Args:
            states: The tensors of each file by name, read without running any of its code.
            attributes: The labelled attributes by dataset, in the order of the published labels.

        Returns:
            The model.

        Raises:
            mdtranslate.errors.CheckpointError: Names or shapes are not those of the published code; the message names
                the file.
            mdtranslate.errors.RecipeError: The attributes do not fit the files.
        """
