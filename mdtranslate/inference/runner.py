"""How a trained model is run: in whole batches, padded to what it needs, in a precision, compiled or not."""

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

from mdtranslate.api.networks import as_pictures
from mdtranslate.api.translation import NOISE
from mdtranslate.config.model_bundle import Model
from mdtranslate.data.batches import normalise, to_device, to_pixels
from mdtranslate.errors import RecipeError, first_line
from mdtranslate.inference.preprocessing import Pixels
from mdtranslate.utils.device import Precision, arithmetic, layout, pick_precision, slow

AT_ONCE: Final = 32
"""Pictures of the training size in a batch; fewer of larger ones."""


class Row(NamedTuple):
    """One translation of a picture: what is shown of it, uint8 [H, W, 3], and its labels before and after, [L]."""

    shown: Pixels
    source: Tensor
    target: Tensor


class Inference:
    """A model that no longer learns: its generator translates, and its discriminator tells what pictures are."""

    def __init__(self, model: Model, image_size: int, precision: Precision = "fp32", *, compiled: bool = False) -> None:
        """`compiled`: batches of the training size, `image_size`, run as one compiled graph where that can be had.

        Both are the generator's alone: labels are inferred in float32.

        Raises `RecipeError` for a precision that is none, or that the generator's device has not.
        """
        self.model, self.image_size = model, image_size
        self.precision = pick_precision(precision, self.device, of="precision")
        if line := slow(self.precision, self.device):
            logging.getLogger("mdtranslate").warning(line)
        self.compiled = compiled
        self._graph: Callable[..., Tensor] | None = None
        self._sizes = set[int]()

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next((each.device for each in self.model.generator.parameters()), torch.device("cpu"))

    @property
    def room(self) -> int:
        """Pixels of pictures in a batch."""
        return AT_ONCE * self.image_size**2

    @torch.inference_mode()
    def pixels(self, rows: Sequence[Row]) -> list[Pixels]:
        """The translations, uint8 [H, W, 3]: those of one size in one batch, or in as few equal ones as have room."""
        made: dict[int, Pixels] = {}
        sizes: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            sizes[row.shown.shape].append(place)
        for (height, width, _), places in sizes.items():
            area = (height + self._missing(height)) * (width + self._missing(width))
            batches = -(-len(places) // max(1, self.room // area))
            step = -(-len(places) // batches)
            for start in range(0, len(places), step):
                some = places[start : start + step]
                made.update(zip(some, to_pixels(self._batch([rows[place] for place in some])), strict=True))
        return [made[place] for place in range(len(rows))]

    @torch.inference_mode()
    def translate(self, real: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """As `Translator.translate`."""
        generator, device = self.model.generator, self.device
        real, source, target = (each.to(device) for each in (real, source, target))
        height, width = real.shape[2:]
        down, right = self._missing(height), self._missing(width)
        if down or right:
            real = F.pad(real, (0, right, 0, down), mode="reflect" if down < height and right < width else "replicate")
        real = real.contiguous(memory_format=layout(device))
        # The same noise for every picture and call, so that a picture has one translation.
        noise = torch.randn(1, NOISE, generator=torch.Generator().manual_seed(0)).to(device).expand(len(real), -1)
        lower = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with _evaluating(generator), arithmetic(self.precision), lower:
            fake = self._made(real, source, target, generator.code(target, noise))
        return fake[:, :, :height, :width].float().clamp(-1, 1)

    @torch.inference_mode()
    def infer(self, real: Tensor, label: Tensor, changing: Collection[str] | None = None) -> Tensor:
        """As `Translator.infer`."""
        label = label.to(self.device)
        unknown, reads = self._unknown(label), self.model.generator.reads
        if reads != "all" and changing is not None:
            unknown = [each for each in unknown if each in changing]
        if reads == "none" or not unknown:
            return label
        side = (self.image_size, self.image_size)
        real = real.to(self.device)
        if real.shape[2:] != side:
            real = F.interpolate(real, side, mode="bilinear", antialias=True).clamp(-1, 1)
        discriminator, logits = self.model.discriminator, None
        if discriminator is not None:
            # One that must be told what it judges refuses a picture of which nothing is known: it tells nothing, too.
            with _evaluating(discriminator), arithmetic("fp32"), suppress(RecipeError):
                logits = discriminator(real, label).logits
        if logits is None:
            why = "no network tells"
            if discriminator is not None:
                why = f"the discriminator {discriminator.name!r} classifies nothing"
            raise RecipeError(
                f"{', '.join(unknown)}: unknown of the picture, and {why}; give "
                f"{'it' if len(unknown) == 1 else 'them'} (--from {unknown[0]}=..., in Python source={{...}})"
            )
        return self.model.encoder.infer(logits, label)

    def _batch(self, rows: Sequence[Row]) -> Tensor:
        """Rows of one size in one pass; a picture goes to the device once, however many are made of it."""
        shown = {id(row.shown): row.shown for row in rows}
        places = {key: place for place, key in enumerate(shown)}
        real = normalise(to_device(np.stack(list(shown.values())), self.device))
        source, target = (torch.stack(each) for each in zip(*((row.source, row.target) for row in rows), strict=True))
        return self.translate(real[[places[id(row.shown)] for row in rows]], source, target)

    def _made(self, *given: Tensor | None) -> Tensor:
        """A pass. What cannot be compiled runs as it is from then on, and one line says why."""
        real = given[0]
        assert real is not None
        if not self.compiled or real.shape[2:] != (self.image_size, self.image_size):
            return self._plain(*given)
        count = len(real)
        # Compiling takes a minute, so a batch is filled up to a size that is compiled already, or else to the next
        # power of two: a compiler gives up after eight sizes.
        size = min((each for each in self._sizes if each >= count), default=1 << (count - 1).bit_length())
        try:
            if self._graph is None:
                self._graph = torch.compile(self.model.generator, fullgraph=True, dynamic=False)
            made = self._graph(*(None if each is None else _filled(each, size) for each in given))[:count]
        except Exception as error:  # Compilers raise dozens of kinds.
            made = self._plain(*given)  # Where this fails too, it was no fault of the compiler's.
            self.compiled = False
            logging.getLogger("mdtranslate").warning(f"not compiled, which is only slower: {first_line(error)}")
        self._sizes.add(size)
        return made

    def _plain(self, *given: Any) -> Tensor:
        return as_pictures(self.model.generator(*given), given[0], self.model.generator)

    @property
    def least(self) -> int:
        """The shortest side that the generator is shown. Two multiples at least: over one value normalisation fails."""
        return min(2 * self.model.generator.multiple, self.image_size)

    def _missing(self, side: int) -> int:
        """Pixels to pad a side with."""
        multiple = self.model.generator.multiple
        return max(-(-side // multiple) * multiple, self.least) - side

    def _unknown(self, label: Tensor) -> list[str]:
        """Names of the attributes that some of labels [B, L] leave unknown of their dataset."""
        found: dict[str, None] = {}
        for each, number in zip(label, self.model.encoder.dataset(label).tolist(), strict=True):
            known = self.model.encoder.decode(each)
            found |= {own.name: None for own in self.model.encoder.attributes[number] if own.name not in known}
        return list(found)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards as before, for a network that is still being trained."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _filled(values: Tensor, size: int) -> Tensor:
    """A batch with its last row repeated up to `size` rows. Always a copy: graphs tell kinds of tensors apart."""
    rows = values[torch.arange(size, device=values.device).clamp(max=len(values) - 1)]
    return rows.contiguous(memory_format=layout(values.device)) if values.ndim == 4 else rows
