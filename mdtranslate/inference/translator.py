"""The public interface to a trained model: translates images of any kind and size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar, overload

import torch
from PIL import Image
from torch import Tensor

from mdtranslate.api import Crop, Value
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.shipped_models import folder_to_load
from mdtranslate.inference import preprocessing, serialization
from mdtranslate.inference.edit_parser import EditParser, check_arguments
from mdtranslate.inference.image_editor import ImageEditor
from mdtranslate.inference.preprocessing import ImageSource, OutputSize, Pixels, PreparedImage
from mdtranslate.inference.runner import Runner
from mdtranslate.utils.device import Precision, pick_device, plain_defaults
from mdtranslate.utils.grey_range import Range

Values = Mapping[str, Value]
T = TypeVar("T")
Source = TypeVar("Source", bound=ImageSource)


class Translator:
    """Translates images with a trained model.

    ::

        translator = mdtranslate.Translator.load("avatars-64")  # Or the folder of a run.
        translator("portrait.png", hair="Blond_Hair", Eyeglasses=True).save("blond.png")

    Attributes:
        model: The networks and the label encoder.
        label_encoder: The label encoder of the model.
        image_size: Height and width of training images in pixels.
        crops: The crop of each dataset, by name.
        ranges: The grey levels of a dataset's files that are black and white, by name, where it defines them.
        credit: Credit lines of the datasets.
        trained: How the weights came about: `recipe` and `step` of a run, or importer and files.
        edit_parser: Resolves the names and values of attributes.
        runner: Runs the networks in batches.
    """

    def __init__(
        self,
        model: Model,
        *,
        image_size: int,
        crops: Mapping[str, Crop],
        ranges: Mapping[str, Range] | None = None,
        credit: Sequence[str] = (),
        trained: Mapping[str, Any] | None = None,
        precision: Precision = "fp32",
        compiled: bool = False,
    ) -> None:
        """Initialises a translator; arguments are attributes, see above; `precision`, `compiled` are as for `load`."""
        self.model, self.label_encoder, self.image_size = model, model.label_encoder, image_size
        self.runner = Runner(model, image_size, precision, compiled=compiled)
        self.crops, self.ranges = dict(crops), dict(ranges or {})
        self.credit, self.trained = tuple(credit), dict(trained or {})
        self.edit_parser = EditParser(model.label_encoder)
        self._editor = ImageEditor(self.runner, self.edit_parser)

    def save(self, folder: Path) -> None:
        """Saves everything that `load` needs, atomically; an earlier translator in the folder is replaced.

        Raises:
            StorageError: The folder cannot be written.
            RecipeError: It is the current folder and empty.
        """
        crops = {name: asdict(crop) for name, crop in self.crops.items()}
        metadata = {"image_size": self.image_size, "crops": crops, "ranges": self.ranges, "credit": list(self.credit)}
        serialization.save_model(folder, self.model, {**metadata, "trained": self.trained})

    @classmethod
    @plain_defaults()
    def load(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        *,
        precision: Precision = "fp32",
        compiled: bool = False,
    ) -> Translator:
        """Loads the translator of a run, of a folder that `save` wrote, or of a model that a plugin ships.

        Args:
            path: The folder, or the name of a model, see `mdtranslate models`. `Path("a")` and `"./a"` are folders.
            device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`, or a `torch.device`.
            precision: Arithmetic of the generator: `fp32`, `tf32` (NVIDIA GPUs), `bf16` (differs by few grey levels).
            compiled: Compile the generator at the first batch of training size (a minute); a failure is only logged.

        Raises:
            RecipeError: The device or the precision is not available.
            CheckpointError: There is no such folder or model, no translator in it, or it is corrupt.
            PluginError: A plugin that it needs is not installed.
        """
        torch_device = pick_device(device, tune=False) if isinstance(device, str) else device
        model, metadata = serialization.load_model(folder_to_load(path))
        return cls(
            model.to(torch_device),
            image_size=metadata.image_size,
            crops=metadata.crops,
            ranges=metadata.ranges,
            credit=metadata.credit,
            trained=metadata.trained,
            precision=precision,
            compiled=compiled,
        )

    @property
    def device(self) -> torch.device:
        """The generator's device."""
        return self.runner.device

    @property
    @plain_defaults()
    def usage(self) -> str:
        """Arguments of `mdtranslate translate RUN` that make every edit, with `--from` for what cannot be inferred."""
        required = (f" --from {quote(f'{name}=VALUE')}" for name in self._editor.names_to_provide())
        return f"PHOTO --all{''.join(required)}"

    def edits(self) -> dict[str, tuple[str, ...]]:
        """Returns the name of every attribute that can be edited, with its values as text."""
        return self.edit_parser.values_by_name()

    @plain_defaults()
    def translate(self, real: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Translates images with labels.

        Args:
            real: Images `(B, 3, H, W)` in [-1, 1], of any size.
            source: Labels of the images, `(B, L)`.
            target: Labels to translate to, `(B, L)`.

        Returns:
            Images `(B, 3, H, W)` in [-1, 1], float32, on `device`.
        """
        return self.runner.translate(real, source, target)

    @plain_defaults()
    def infer(self, real: Tensor, label: Tensor, edited: Collection[str] | None = None) -> Tensor:
        """Replaces what labels leave unknown by what the discriminator infers; runs no network if nothing is.

        Attributes that the generator does not require (see `Generator.required_labels`) may stay unknown.

        Args:
            real: Images `(B, 3, H, W)` in [-1, 1]; they are resized to the training size.
            label: Labels of the images, `(B, L)`.
            edited: Names of the attributes that will be edited; None for any.

        Returns:
            Labels `(B, L)`, on `device`.

        Raises:
            RecipeError: The discriminator does not classify; the message names the unknown attributes.
        """
        return self.runner.infer(real, label, edited)

    @overload
    def __call__(
        self,
        image: ImageSource,
        /,
        *,
        dataset: str | None = None,
        source: Values | None = None,
        size: OutputSize = None,
        edits: Values | None = None,
        **attributes: Value,
    ) -> Image.Image: ...
    @overload
    def __call__(
        self,
        image: list[Source],
        /,
        *,
        dataset: str | None = None,
        source: Values | None = None,
        size: OutputSize = None,
        edits: Values | None = None,
        **attributes: Value,
    ) -> list[Image.Image]: ...
    @plain_defaults()
    def __call__(
        self,
        image: ImageSource | list[Source],
        /,
        *,
        dataset: str | None = None,
        source: Values | None = None,
        size: OutputSize = None,
        edits: Values | None = None,
        **attributes: Value,
    ) -> Image.Image | list[Image.Image]:
        """Applies all edits to an image, or to each image of a list.

        Edits of attributes of several datasets are applied one dataset after the other, in the order of the edits.

        Args:
            image: A file, a Pillow image, uint8 `(H, W, 3)`, a `PreparedImage`, or a list, translated in batches.
            dataset: Name of the dataset that the images resemble, by default that of the edit: it decides the crop,
                and which attribute is meant if several datasets have one of a name.
            source: Known attributes of the images; the others are inferred.
            size: None for squares of `image_size` pixels, cropped as in training; `native` for each image's own size.
            edits: Values to set, by name, such as `{"hair": "Blond_Hair", "celeba.Male": True}`.
            **attributes: Further edits, except for attributes that are called like an argument.

        Returns:
            The translation, or a list of them.

        Raises:
            RecipeError: A name, value or argument is invalid, or an unknown attribute cannot be inferred.
            DataError: An image cannot be read.
        """
        check_arguments(dataset=dataset, source=source, size=size, edits=edits)
        parsed = self.edit_parser.parse_edits({**(edits or {}), **attributes}, dataset)
        edited_dataset = self.label_encoder.datasets[next(iter(parsed))] if len(parsed) == 1 else None
        known = self.edit_parser.parse(source or {}, dataset or edited_dataset)
        prepare = partial(self.prepare_image, size="native")
        translate = partial(self._editor.apply_together, edits=parsed, known=known, dataset=dataset, prepare=prepare)
        return self._map(image, size, 1, translate)

    @overload
    def all_edits(
        self, image: ImageSource, *, dataset: str | None = None, source: Values | None = None, size: OutputSize = None
    ) -> dict[str, Image.Image]: ...
    @overload
    def all_edits(
        self, image: list[Source], *, dataset: str | None = None, source: Values | None = None, size: OutputSize = None
    ) -> list[dict[str, Image.Image]]: ...
    @plain_defaults()
    def all_edits(
        self,
        image: ImageSource | list[Source],
        *,
        dataset: str | None = None,
        source: Values | None = None,
        size: OutputSize = None,
    ) -> dict[str, Image.Image] | list[dict[str, Image.Image]]:
        """Applies every edit of one attribute separately: each value, or the opposite of a known yes/no attribute.

        Args:
            image: An image or a list of images, as for a call.
            dataset: Edit only attributes of this dataset.
            source: Known attributes of the images; the others are inferred.
            size: As for a call.

        Returns:
            Translations by edit, such as `hair=Blond_Hair`; a list of such dicts for a list of images.

        Raises:
            RecipeError, DataError: As for a call.
        """
        parser = self.edit_parser
        datasets = range(len(self.label_encoder.datasets)) if dataset is None else [parser.dataset_index(dataset)]
        known = parser.spread_shared(parser.parse(source or {}, dataset))
        translate = partial(self._editor.apply_separately, datasets=datasets, known=known)
        return self._map(image, size, parser.num_single_edits, translate)

    def prepare_image(self, image: ImageSource, *, size: OutputSize = None) -> PreparedImage:
        """Reads, crops and resizes `image`; calls accept the result in its place. `size` is as for a call.

        Raises:
            DataError: The image cannot be read.
        """
        crops = {name: self.crops.get(name, Crop()) for name in self.label_encoder.datasets}
        return preprocessing.prepare_image(image, crops, self.ranges, self.image_size, size)

    def chunk_images(
        self, images: Iterable[tuple[T, PreparedImage]], edits_per_image: int = 1
    ) -> Iterator[dict[T, PreparedImage]]:
        """Splits a stream of prepared `images` with keys into groups that fill a batch with `edits_per_image` each."""
        return preprocessing.chunk_by_pixels(images, self.runner.batch_pixels // max(1, edits_per_image))

    def generator_input(self, image: ImageSource, *, dataset: str | None = None, size: OutputSize = None) -> Pixels:
        """Returns the input of the generator for `image`, uint8 `(H, W, 3)`; `dataset` and `size` are as for a call."""
        name = self.label_encoder.datasets[self.edit_parser.dataset_index(dataset) if dataset else 0]
        return self.prepare_image(image, size=size).generator_input(name)

    def _map(
        self,
        image: ImageSource | list[Source],
        size: OutputSize,
        edits: int,
        function: Callable[[list[PreparedImage]], list[T]],
    ) -> T | list[T]:
        """Applies a function of prepared images to an image, or to a list of images in groups."""
        if not isinstance(image, list):
            return function([self.prepare_image(image, size=size)])[0]
        prepared = ((index, self.prepare_image(item, size=size)) for index, item in enumerate(image))
        return [result for group in self.chunk_images(prepared, edits) for result in function([*group.values()])]
