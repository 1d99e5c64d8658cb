"""Runs trained networks on batches of images: padding, precision, compilation."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate.api.networks import checked_images
from mdtranslate.api.translation import NOISE_SIZE
from mdtranslate.config.model_bundle import Model
from mdtranslate.data.batches import normalise, to_device, to_pixels
from mdtranslate.errors import RecipeError, first_line
from mdtranslate.inference.preprocessing import Pixels
from mdtranslate.utils.device import Precision, matmul_precision, memory_format, pick_precision, precision_warning

MAX_BATCH_SIZE: Final = 32
"""Largest number of images of the training size in a batch; it is smaller for larger images."""


class TranslationInput(NamedTuple):
    """One translation of an image.

    Attributes:
        pixels: The image, uint8 `(H, W, 3)`.
        source: The label of the image, `(L,)`.
        target: The label to translate to, `(L,)`.
    """

    pixels: Pixels
    source: Tensor
    target: Tensor


class Runner:
    """Runs a trained model: the generator translates images, the discriminator infers unknown attributes.

    Attributes:
        model: The model.
        image_size: Height and width of training images in pixels.
        precision: Arithmetic of the generator. The discriminator always runs in float32.
        compiled: Whether batches of images of the training size run through a compiled generator.
    """

    def __init__(self, model: Model, image_size: int, precision: Precision = "fp32", *, compiled: bool = False) -> None:
        """Initialises the runner.

        Args:
            model: The model.
            image_size: Height and width of training images in pixels.
            precision: Arithmetic of the generator.
            compiled: Compile the generator for images of the training size on first use.

        Raises:
            RecipeError: The precision is unknown, or the generator's device does not support it.
        """
        self.model, self.image_size = model, image_size
        self.precision = pick_precision(precision, self.device, setting="precision")
        if warning := precision_warning(self.precision, self.device):
            logging.getLogger("mdtranslate").warning(warning)
        self.compiled = compiled
        self._compiled_generator: Callable[..., Tensor] | None = None
        self._compiled_batch_sizes = set[int]()

    @property
    def device(self) -> torch.device:
        """The generator's device."""
        return next((param.device for param in self.model.generator.parameters()), torch.device("cpu"))

    @property
    def batch_pixels(self) -> int:
        """Largest number of pixels of a batch."""
        return MAX_BATCH_SIZE * self.image_size**2

    @property
    def min_side(self) -> int:
        """Smallest height or width that the generator takes.

        It is at least twice `size_multiple`: instance normalisation fails over a single value.
        """
        return min(2 * self.model.generator.size_multiple, self.image_size)

    @torch.inference_mode()
    def translate_pixels(self, inputs: Sequence[TranslationInput]) -> list[Pixels]:
        """Translates images of any sizes, in as few batches as possible: one batch holds images of one size.

        Args:
            inputs: Images with labels. Several inputs may share an image.

        Returns:
            Translations, uint8 `(H, W, 3)`, in the same order.
        """
        outputs: dict[int, Pixels] = {}
        indices_by_shape: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, translation_input in enumerate(inputs):
            indices_by_shape[translation_input.pixels.shape].append(index)
        for (height, width, _), indices in indices_by_shape.items():
            padded_area = (height + self._padding(height)) * (width + self._padding(width))
            num_batches = -(-len(indices) // max(1, self.batch_pixels // padded_area))
            batch_size = -(-len(indices) // num_batches)
            for start in range(0, len(indices), batch_size):
                batch = indices[start : start + batch_size]
                outputs.update(
                    zip(batch, to_pixels(self._translate_batch([inputs[index] for index in batch])), strict=True)
                )
        return [outputs[index] for index in range(len(inputs))]

    @torch.inference_mode()
    def translate(self, real: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Translates tensors of images, see `Translator.translate`."""
        generator, device = self.model.generator, self.device
        real, source, target = (tensor.to(device) for tensor in (real, source, target))
        height, width = real.shape[2:]
        bottom, right = self._padding(height), self._padding(width)
        if bottom or right:
            mode = "reflect" if bottom < height and right < width else "replicate"
            real = F.pad(real, (0, right, 0, bottom), mode=mode)
        real = real.contiguous(memory_format=memory_format(device, self.precision))
        # The same noise for every image and call, so that translations are deterministic.
        noise = torch.randn(1, NOISE_SIZE, generator=torch.Generator().manual_seed(0)).to(device).expand(len(real), -1)
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with _eval_mode(generator), matmul_precision(self.precision), autocast:
            fake = self._generate(real, source, target, generator.style_code(target, noise))
        return fake[:, :, :height, :width].float().clamp(-1, 1)

    @torch.inference_mode()
    def infer(self, real: Tensor, label: Tensor, edited: Collection[str] | None = None) -> Tensor:
        """Infers unknown attributes, see `Translator.infer`."""
        label = label.to(self.device)
        unknown, required = self._unknown_attributes(label), self.model.generator.required_labels
        if required != "all" and edited is not None:
            unknown = [name for name in unknown if name in edited]
        if required == "none" or not unknown:
            return label
        size = (self.image_size, self.image_size)
        real = real.to(self.device)
        if real.shape[2:] != size:
            real = F.interpolate(real, size, mode="bilinear", antialias=True).clamp(-1, 1)
        discriminator, logits = self.model.discriminator, None
        if discriminator is not None:
            # A bank of discriminators refuses images of an unknown domain: it cannot infer it either.
            with _eval_mode(discriminator), matmul_precision("fp32"), suppress(RecipeError):
                logits = discriminator(real, label).logits
        if logits is None:
            reason = "the translator has no discriminator"
            if discriminator is not None:
                reason = f"discriminator {discriminator.name!r} does not classify"
            raise RecipeError(
                f"{', '.join(unknown)}: unknown for this image, and cannot be inferred, since {reason}; set "
                f"{'it' if len(unknown) == 1 else 'them'} with --from {unknown[0]}=... (in Python: source={{...}})"
            )
        return self.model.label_encoder.infer(logits, label)

    def _translate_batch(self, inputs: Sequence[TranslationInput]) -> Tensor:
        """Translates images of one size in one batch; an image that inputs share is moved to the device once."""
        images = {id(translation_input.pixels): translation_input.pixels for translation_input in inputs}
        index_by_id = {image_id: index for index, image_id in enumerate(images)}
        real = normalise(to_device(np.stack(list(images.values())), self.device))
        source, target = (
            torch.stack(labels) for labels in zip(*((row.source, row.target) for row in inputs), strict=True)
        )
        return self.translate(real[[index_by_id[id(row.pixels)] for row in inputs]], source, target)

    def _generate(self, *inputs: Tensor | None) -> Tensor:
        """Runs the generator; if it cannot be compiled, logs why, and runs it uncompiled from then on."""
        real = inputs[0]
        assert real is not None
        if not self.compiled or real.shape[2:] != (self.image_size, self.image_size):
            return self._generate_eagerly(*inputs)
        count = len(real)
        # Each batch size is compiled anew, which takes a minute, and torch.compile gives up after eight of them. So
        # a batch is padded to a size that is compiled already, or else to the next power of two.
        next_power = 1 << (count - 1).bit_length()
        batch_size = min((size for size in self._compiled_batch_sizes if size >= count), default=next_power)
        try:
            if self._compiled_generator is None:
                self._compiled_generator = torch.compile(self.model.generator, fullgraph=True, dynamic=False)
            image_format = memory_format(self.device, self.precision)
            padded = [None if tensor is None else _pad_batch(tensor, batch_size, image_format) for tensor in inputs]
            fake = self._compiled_generator(*padded)[:count]
        except Exception as error:  # Compilers raise many types.
            fake = self._generate_eagerly(*inputs)  # Raises if the generator, not the compiler, is the cause.
            self.compiled = False
            logging.getLogger("mdtranslate").warning(
                f"the generator could not be compiled, and runs uncompiled: {first_line(error)}"
            )
        self._compiled_batch_sizes.add(batch_size)
        return fake

    def _generate_eagerly(self, *inputs: Any) -> Tensor:
        return checked_images(self.model.generator(*inputs), inputs[0], self.model.generator)

    def _padding(self, side: int) -> int:
        """Returns by how many pixels to pad a height or width."""
        multiple = self.model.generator.size_multiple
        return max(-(-side // multiple) * multiple, self.min_side) - side

    def _unknown_attributes(self, label: Tensor) -> list[str]:
        """Returns names of attributes that some of the labels `(B, L)` leave unknown."""
        encoder = self.model.label_encoder
        unknown: dict[str, None] = {}  # A set that keeps the order.
        for row, dataset in zip(label, encoder.dataset_index(label).tolist(), strict=True):
            known = encoder.decode(row)
            names = (attribute.name for attribute in encoder.attributes[dataset])
            unknown |= {name: None for name in names if name not in known}
        return list(unknown)


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    """Puts a network in evaluation mode, and restores the mode of each module afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _pad_batch(tensor: Tensor, size: int, image_format: torch.memory_format) -> Tensor:
    """Repeats the last sample of a batch until it has `size` samples; images get a memory format.

    It always copies: for views, torch.compile would compile again.
    """
    samples = tensor[torch.arange(size, device=tensor.device).clamp(max=len(tensor) - 1)]
    return samples.contiguous(memory_format=image_format) if tensor.ndim == 4 else samples
