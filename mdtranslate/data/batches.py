"""(seed, step) -> batch: gathered by index from the cache, cropped, flipped and normalised on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder
from mdtranslate.api.translation import Batch
from mdtranslate.config.schema import Data
from mdtranslate.data.augment import Augment
from mdtranslate.data.concat import Pictures
from mdtranslate.data.mirrored_labels import MirroredLabels
from mdtranslate.data.sampling.paired import Truths
from mdtranslate.data.sampling.sampler import DRAWS, Order, grouped
from mdtranslate.data.sampling.targets import Pairs, Targets
from mdtranslate.errors import RecipeError
from mdtranslate.utils.device import layout

STRIDE = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""Numbers of the random stream between two steps: 2^128 divided by the golden ratio, as numpy's own jumps.

Places of any number of steps are then far apart and differ in all bits. Multiples of a power of two share the lower
ones, and then the draws of one step told those of another (a correlation of 0.13).
"""


class _Draw(NamedTuple):
    """All that a step draws: places of pictures, of their true ones and of crops in them, what is mirrored,
    and what `Batch` has."""

    places: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    flip: NDArray[np.bool_]
    source: Tensor
    target: Tensor
    seeds: NDArray[np.int64]
    truths: NDArray[np.int64] | None


class Batches:
    """The batches of a run. What one holds is a pure function of (seed, step).

    There is no `DataLoader`: from a packed cache, gathering whole batches by index is faster than any number of its
    workers, and leaves no state to restore.
    """

    def __init__(
        self,
        pixels: Sequence[NDArray[np.uint8]],
        labels: Sequence[Tensor],
        encoder: LabelEncoder,
        settings: Data,
        seed: int,
        device: torch.device,
        augment: Augment | None = None,
        truths: Truths | None = None,
        part: slice = slice(None),
    ) -> None:
        """`pixels`: per dataset, [N, S, S, 3]; `labels`: per dataset, [N, L]; `truths` for `data.targets=paired`.

        `part`: of each batch, what this one of several processes takes.

        Raises `RecipeError` for settings that the data do not allow.
        """
        self.augment, self.truths, self.part = augment, truths, part
        self.pictures, self.labels = Pictures(pixels), torch.cat(list(labels)) if len(labels) > 1 else labels[0]
        self.encoder, self.settings, self.seed, self.device = encoder, settings, seed, device
        self._pairs = Pairs(self.labels, encoder, seed) if settings.targets == "pairs" else None
        self._mirrored = MirroredLabels.of(encoder) if settings.flip else None
        self._targets = Targets(self.labels, self.pictures.starts, encoder, settings)
        try:
            groups = grouped(settings.balance, self.labels, encoder)
        except ValueError as error:
            raise RecipeError(f"data.balance={settings.balance}: {error}") from None
        if truths is not None:
            self._truths = Pictures([each.pixels for each in truths.packed])
            there = truths.starts[1:] > truths.starts[:-1]
            groups = [left for each in groups if len(left := each[there[each]])]
        self._order = Order(groups, seed)
        self._bits = np.random.PCG64([seed, DRAWS])
        self._first = self._bits.state

    def __len__(self) -> int:
        """Pictures in an epoch."""
        return len(self.pictures)

    def __call__(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        drawn, pixels = self.gathered(step)
        real = self._finished(pixels, drawn)
        truth = None
        if drawn.truths is not None:
            truth = self._finished(self._augmented(self._truths[drawn.truths], drawn), drawn)

        def there(values: Any) -> Tensor:
            return to_device(values, self.device)

        return Batch(real, there(drawn.source), there(drawn.target), there(drawn.seeds), truth)

    def gathered(self, step: int) -> tuple[_Draw, NDArray[np.uint8]]:
        """A step as far as the processor has to go where a device does the rest: what is drawn, and its pictures."""
        drawn = self._draw(step)
        return drawn, self._augmented(self.pictures[drawn.places], drawn)

    def labels_of(self, step: int) -> tuple[Tensor, Tensor]:
        """Source and target labels of a step, [B, L] each, without its pictures."""
        drawn = self._draw(step)
        return drawn.source, drawn.target

    def _augmented(self, pixels: NDArray[np.uint8], drawn: _Draw) -> NDArray[np.uint8]:
        return pixels if self.augment is None else self.augment(pixels, drawn.seeds)

    def _finished(self, pixels: NDArray[np.uint8], drawn: _Draw) -> Tensor:
        """Pictures cropped, mirrored and normalised, on the device."""
        cut = (drawn.top, drawn.left, drawn.flip, self.settings.image_size)
        if self.device.type == "cpu":
            return normalise(torch.from_numpy(_cut_here(pixels, *cut)))
        return normalise(_cut(to_device(pixels, self.device), *cut, self.device))

    def _random(self, step: int) -> np.random.Generator:
        """The random numbers of a step: a place in one long stream, since a new one costs as much as a whole draw."""
        self._bits.state = self._first
        return np.random.Generator(self._bits.advance(step * STRIDE))

    def _draw(self, step: int) -> _Draw:
        rng = self._random(step)
        count, truths = self.settings.batch_size, None
        room = self.settings.cached_size - self.settings.image_size
        top, left = rng.integers(0, room + 1, (2, count)) if room else np.zeros((2, count), np.int64)
        flip = rng.random(count) < (0.5 if self.settings.flip else 0.0)
        if self._pairs is not None:
            index, source, target = self._pairs(step, count)
        else:
            index = self._order(step, count)
            if self.truths is None:
                source, target = self._targets(index, rng)
            else:
                truths = self.truths.draw(index, rng)
                source, target = self.labels[index], self.truths.labels[truths]
        if self._mirrored is not None:
            if self._pairs is not None:  # All of a step, or none: half of it is to have each of two values.
                flip[:] = flip[0]
            (source, target), flip = self._mirrored((source, target), flip)
        seeds = rng.integers(0, 2**63, count)
        drawn = _Draw(index, top, left, flip, source, target, seeds, truths)
        if self.part == slice(None):
            return drawn
        return _Draw._make(None if each is None else each[self.part] for each in drawn)


def normalise(pictures: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in [-1, 1], in the layout that its device prefers."""
    values = pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout(pictures.device))
    return values.div_(127.5).sub_(1.0)


def to_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """The inverse of `normalise`, rounded: float [B, 3, H, W] in [-1, 1] to uint8 [B, H, W, 3]."""
    grey = pictures.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(grey.permute(0, 2, 3, 1).cpu().numpy())


def to_device(values: Any, device: torch.device) -> Tensor:
    """An array or tensor on the device; through pinned memory, so that copying does not wait, where it is a GPU."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _cut_here(pixels: NDArray[np.uint8], top: Any, left: Any, flip: Any, size: int) -> NDArray[np.uint8]:
    """As `_cut`, on this processor: row by row is faster there. The channels lie first, as they will be wanted."""
    cut = np.empty((len(pixels), 3, size, size), np.uint8)
    for place, (picture, y, x, mirrored) in enumerate(zip(pixels, top.tolist(), left.tolist(), flip, strict=True)):
        square = picture[y : y + size, x : x + size]
        cut[place] = (square[:, ::-1] if mirrored else square).transpose(2, 0, 1)
    return cut.transpose(0, 2, 3, 1)


def _cut(pictures: Tensor, top: Any, left: Any, flip: Any, size: int, device: torch.device) -> Tensor:
    """A crop of each picture, mirrored where `flip`, in one indexing operation: [B, size, size, 3]."""
    ahead = np.arange(size)
    rows = top[:, None] + ahead
    columns = left[:, None] + np.where(flip[:, None], ahead[::-1], ahead)
    batch = torch.arange(len(pictures), device=device)
    return pictures[batch[:, None, None], to_device(rows, device)[:, :, None], to_device(columns, device)[:, None, :]]
