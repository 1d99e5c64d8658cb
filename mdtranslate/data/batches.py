"""Batches as a function of (seed, step): indexed from the cache, then cropped, mirrored and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder
from mdtranslate.api.batch import Batch
from mdtranslate.config.schema import Data
from mdtranslate.data.augment import Augment
from mdtranslate.data.concat import ConcatImages
from mdtranslate.data.mirrored_labels import MirroredLabels
from mdtranslate.data.sampling.paired import PairedTargets
from mdtranslate.data.sampling.sampler import DRAWS, Sampler, balance_groups
from mdtranslate.data.sampling.targets import DomainPairSampler, TargetSampler
from mdtranslate.errors import RecipeError
from mdtranslate.utils.device import memory_format

STRIDE = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""Numbers of the random stream between two steps: 2^128 divided by the golden ratio, as numpy's own jumps.

The positions of any number of steps are then far apart and differ in all bits. With multiples of a power of two the
lower bits would be equal, and the draws of different steps were correlated (by 0.13).
"""


class _Draw(NamedTuple):
    """All random choices of a step, one row per sample.

    Attributes:
        indices: Indices of the images.
        top: Upper edges of the crops in pixels.
        left: Left edges of the crops in pixels.
        flip: Whether the crop is mirrored.
        source: Source labels, `(B, L)`.
        target: Target labels, `(B, L)`.
        seeds: Random seeds of the samples.
        truth_indices: Indices of the ground truth, with paired data.
    """

    indices: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    flip: NDArray[np.bool_]
    source: Tensor
    target: Tensor
    seeds: NDArray[np.int64]
    truth_indices: NDArray[np.int64] | None


class Batches:
    """The batches of a run: calling it with a step returns that step's batch, a pure function of (seed, step).

    This is not a `DataLoader`: indexing the memory-mapped cache is faster than any number of worker processes, and
    there is no state to restore when a run is resumed.

    Args:
        pixels: Images per dataset, uint8 of shape `(N, S, S, 3)`.
        labels: Labels per dataset, `(N, L)`.
        label_encoder: The label encoder.
        settings: The settings `data`.
        seed: Seed of the run.
        device: The device of the batches.
        augment: Additional augmentation.
        paired: Ground truth, for `data.targets=paired`.
        rank_slice: The slice of each batch that this process trains on.

    Raises:
        RecipeError: The settings do not suit the data.
    """

    def __init__(
        self,
        pixels: Sequence[NDArray[np.uint8]],
        labels: Sequence[Tensor],
        label_encoder: LabelEncoder,
        settings: Data,
        seed: int,
        device: torch.device,
        augment: Augment | None = None,
        paired: PairedTargets | None = None,
        rank_slice: slice = slice(None),
    ) -> None:
        self.augment, self.paired, self.rank_slice = augment, paired, rank_slice
        self.images, self.labels = ConcatImages(pixels), torch.cat(list(labels)) if len(labels) > 1 else labels[0]
        self.label_encoder, self.settings, self.seed, self.device = label_encoder, settings, seed, device
        self._pair_sampler = None
        if settings.targets == "domain-pairs":
            self._pair_sampler = DomainPairSampler(self.labels, label_encoder, seed)
        self._mirrored_labels = MirroredLabels.build(label_encoder) if settings.flip else None
        self._target_sampler = TargetSampler(self.labels, self.images.starts, label_encoder, settings)
        try:
            groups = balance_groups(settings.balance, self.labels, label_encoder)
        except ValueError as error:
            raise RecipeError(f"data.balance={settings.balance}: {error}") from None
        if paired is not None:
            self._truth_images = ConcatImages([cached.pixels for cached in paired.cached])
            has_truth = paired.starts[1:] > paired.starts[:-1]
            groups = [rest for group in groups if len(rest := group[has_truth[group]])]
        self._sampler = Sampler(groups, seed)
        self._bit_generator = np.random.PCG64([seed, DRAWS])
        self._initial_state = self._bit_generator.state

    def __len__(self) -> int:
        """Number of images in an epoch."""
        return len(self.images)

    def __call__(self, step: int) -> Batch:
        """Returns the batch of a step, counted from 0."""
        draw, pixels = self.gather(step)
        real = self._crop_and_normalise(pixels, draw)
        truth = None
        if draw.truth_indices is not None:
            truth_pixels = self._augment(self._truth_images[draw.truth_indices], draw)
            truth = self._crop_and_normalise(truth_pixels, draw)
        source, target, seeds = (to_device(values, self.device) for values in (draw.source, draw.target, draw.seeds))
        return Batch(real, source, target, seeds, truth)

    def gather(self, step: int) -> tuple[_Draw, NDArray[np.uint8]]:
        """Does the part of a step that always runs on the CPU.

        Returns:
            The random choices, and the augmented images before cropping, uint8 of shape `(B, S, S, 3)`.
        """
        draw = self._draw(step)
        return draw, self._augment(self.images[draw.indices], draw)

    def labels_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the source and target labels of a step, `(B, L)` each, without its images."""
        draw = self._draw(step)
        return draw.source, draw.target

    def _augment(self, pixels: NDArray[np.uint8], draw: _Draw) -> NDArray[np.uint8]:
        return pixels if self.augment is None else self.augment(pixels, draw.seeds)

    def _crop_and_normalise(self, pixels: NDArray[np.uint8], draw: _Draw) -> Tensor:
        """Returns images on the device, cropped, mirrored and normalised."""
        crops = (draw.top, draw.left, draw.flip, self.settings.image_size)
        if self.device.type == "cpu":
            return normalise(torch.from_numpy(_crop_on_cpu(pixels, *crops)))
        return normalise(_crop(to_device(pixels, self.device), *crops, self.device))

    def _rng(self, step: int) -> np.random.Generator:
        """Returns the random numbers of a step: a position in one stream, since a new generator is slow to create."""
        self._bit_generator.state = self._initial_state
        return np.random.Generator(self._bit_generator.advance(step * STRIDE))

    def _draw(self, step: int) -> _Draw:
        rng = self._rng(step)
        count, truth_indices = self.settings.batch_size, None
        margin = self.settings.cached_size - self.settings.image_size
        top, left = rng.integers(0, margin + 1, (2, count)) if margin else np.zeros((2, count), np.int64)
        flip = rng.random(count) < (0.5 if self.settings.flip else 0.0)
        if self._pair_sampler is not None:
            indices, source, target = self._pair_sampler(step, count)
        else:
            indices = self._sampler(step, count)
            if self.paired is None:
                source, target = self._target_sampler(indices, rng)
            else:
                truth_indices = self.paired.draw(indices, rng)
                source, target = self.labels[indices], self.paired.labels[truth_indices]
        if self._mirrored_labels is not None:
            if self._pair_sampler is not None:  # All or none, so that each half keeps its value.
                flip[:] = flip[0]
            (source, target), flip = self._mirrored_labels((source, target), flip)
        seeds = rng.integers(0, 2**63, count)
        draw = _Draw(indices, top, left, flip, source, target, seeds, truth_indices)
        if self.rank_slice == slice(None):
            return draw
        return _Draw._make(None if values is None else values[self.rank_slice] for values in draw)


def normalise(pixels: Tensor) -> Tensor:
    """Converts pixels to the input of networks.

    Args:
        pixels: Images, uint8 of shape `(B, H, W, 3)`.

    Returns:
        Images of shape `(B, 3, H, W)` in [-1, 1], float32, in the memory format that is fastest on their device.
    """
    values = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format(pixels.device))
    return values.div_(127.5).sub_(1.0)


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """Converts the output of networks to pixels: the inverse of `normalise`, rounded and clipped.

    Args:
        image: Images of shape `(B, 3, H, W)` in [-1, 1].

    Returns:
        Images, uint8 of shape `(B, H, W, 3)`, on the CPU.
    """
    levels = image.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def to_device(values: Any, device: torch.device) -> Tensor:
    """Copies an array or tensor to a device; to GPUs asynchronously, through pinned memory."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _crop_on_cpu(pixels: NDArray[np.uint8], top: Any, left: Any, flip: Any, size: int) -> NDArray[np.uint8]:
    """Like `_crop`, image by image, which is faster on the CPU. Stored channels first, as networks take it there."""
    crops = np.empty((len(pixels), 3, size, size), np.uint8)
    for row, (image, y, x, mirrored) in enumerate(zip(pixels, top.tolist(), left.tolist(), flip, strict=True)):
        square = image[y : y + size, x : x + size]
        crops[row] = (square[:, ::-1] if mirrored else square).transpose(2, 0, 1)
    return crops.transpose(0, 2, 3, 1)


def _crop(pixels: Tensor, top: Any, left: Any, flip: Any, size: int, device: torch.device) -> Tensor:
    """Crops each image, mirrored if `flip`, in one indexing operation: `(B, size, size, 3)`."""
    offsets = np.arange(size)
    rows = top[:, None] + offsets
    columns = left[:, None] + np.where(flip[:, None], offsets[::-1], offsets)
    batch = torch.arange(len(pixels), device=device)
    return pixels[batch[:, None, None], to_device(rows, device)[:, :, None], to_device(columns, device)[:, None, :]]
