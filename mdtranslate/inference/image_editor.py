"""Edits prepared images: infers what is unknown of them, and translates all of a group in few batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.inference.edit_parser import EditParser
from mdtranslate.inference.preprocessing import Pixels, PreparedImage
from mdtranslate.inference.runner import Runner, TranslationInput


class ImageEditor:
    """Applies edits to prepared images.

    Attributes:
        runner: Runs the networks.
        edit_parser: Names edits, and lists the edits of one attribute.
        label_encoder: The label encoder of the model.
    """

    def __init__(self, runner: Runner, edit_parser: EditParser) -> None:
        """Initialises the editor."""
        self.runner, self.edit_parser = runner, edit_parser
        self.label_encoder: LabelEncoder = edit_parser.label_encoder

    def apply_together(
        self,
        images: Sequence[PreparedImage],
        edits: Mapping[int, Mapping[str, Value]],
        known: Mapping[int, Mapping[str, Value]],
        dataset: str | None,
        prepare: Callable[[Pixels], PreparedImage],
    ) -> list[Image.Image]:
        """Applies all edits to each image, one dataset after the other.

        Args:
            images: The images.
            edits: Values to set, by dataset index.
            known: Known attributes of the images, by dataset index.
            dataset: The dataset whose crop is used; None for that of the edit.
            prepare: Prepares a translation, at its own size, for the edit of the next dataset.

        Returns:
            The translations.
        """
        translations: list[Pixels] = []
        for index, edit in edits.items():
            if translations:
                images = [self._prepare_next(*pair, prepare) for pair in zip(translations, images, strict=True)]
            crop_dataset = dataset or self.label_encoder.datasets[index]
            labels = self._complete_labels(images, crop_dataset, index, known.get(index, {}), edit)
            translations = self.runner.translate_pixels(
                [
                    self._translation_input(image.generator_input(crop_dataset), label, index, edit)
                    for image, label in zip(images, labels, strict=True)
                ]
            )
        return [Image.fromarray(pixels) for pixels in translations]

    def apply_separately(
        self, images: Sequence[PreparedImage], datasets: Collection[int], known: Mapping[int, Mapping[str, Value]]
    ) -> list[dict[str, Image.Image]]:
        """Applies every edit of one attribute to each image.

        Args:
            images: The images.
            datasets: Indices of the datasets whose attributes are edited.
            known: Known attributes of the images, by dataset index.

        Returns:
            For each image its translations by edit, such as `hair=Blond_Hair`.
        """
        inputs: list[TranslationInput] = []
        indices_by_edit: list[dict[str, int]] = [{} for _ in images]  # Positions in `inputs`.
        for index in datasets:
            dataset = self.label_encoder.datasets[index]
            labels = self._complete_labels(images, dataset, index, known[index], None)
            for image, label, indices in zip(images, labels, indices_by_edit, strict=True):
                pixels = image.generator_input(dataset)
                for edit in self.edit_parser.single_edits(index, self.label_encoder.decode(label)):
                    name = self.edit_parser.format_edit(index, edit)
                    if name not in indices:  # A shared attribute is edited once, as one of the first dataset.
                        indices[name] = len(inputs)
                        inputs.append(self._translation_input(pixels, label, index, edit))
        translations = self.runner.translate_pixels(inputs)
        return [
            {name: Image.fromarray(translations[index]) for name, index in indices.items()}
            for indices in indices_by_edit
        ]

    def names_to_provide(self) -> list[str]:
        """Lists the names of attributes that the generator requires, and that cannot be inferred."""
        size = self.runner.image_size
        names: dict[str, None] = {}  # A set that keeps the order: datasets share names.
        for index, attributes in enumerate(self.label_encoder.attributes):
            try:
                self.runner.infer(torch.zeros(1, 3, size, size), self.label_encoder.encode({}, index)[None])
            except Exception:  # A discriminator of a plugin may raise anything for unknown labels.
                names |= {self.edit_parser.qualified_name(index, attribute.name): None for attribute in attributes}
        return list(names)

    def _complete_labels(
        self,
        images: Sequence[PreparedImage],
        crop_dataset: str,
        index: int,
        known: Mapping[str, Value],
        edited: Collection[str] | None,
    ) -> Sequence[Tensor]:
        """Returns the labels `(L,)` of images, on the CPU; the discriminator infers what is unknown."""
        label = self.label_encoder.encode(known, index)
        if self.label_encoder.is_fully_known(label[None]).all():
            return [label] * len(images)
        # Attributes are inferred from the crop that the discriminator was trained on, also for full-size translations.
        squares = np.stack([image.squares[crop_dataset] for image in images])
        real = normalise(to_device(squares, self.runner.device))
        return self.runner.infer(real, label.expand(len(images), -1), edited).cpu().unbind()

    def _translation_input(
        self, pixels: Pixels, label: Tensor, index: int, edit: Mapping[str, Value]
    ) -> TranslationInput:
        target = self.label_encoder.encode({**self.label_encoder.decode(label), **edit}, index)
        return TranslationInput(pixels, label, target)

    def _prepare_next(
        self, translation: Pixels, image: PreparedImage, prepare: Callable[[Pixels], PreparedImage]
    ) -> PreparedImage:
        """Prepares the translation of `image` for the next edit; a crop is not cropped again."""
        if image.full_size is None:
            return PreparedImage(dict.fromkeys(self.label_encoder.datasets, translation))
        return prepare(translation)
