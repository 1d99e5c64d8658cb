"""(seed, step) -> batch: gathered by index from the cache, cropped, flipped and normalised on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.config import Data
from mdtranslate.data.augment import Augment
from mdtranslate.data.pictures import Pictures
from mdtranslate.device import layout
from mdtranslate.errors import RecipeError
from mdtranslate.interfaces import LabelEncoder
from mdtranslate.translation import NOISE, Batch

ORDER, DRAWS, TURNS = 0, 1, 2  # What a random stream is for: its second word, after the seed.


class _Draw(NamedTuple):
    """All that a step draws: places of pictures and of crops in them, what is mirrored, and what `Batch` has."""

    places: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    flip: NDArray[np.bool_]
    source: Tensor
    target: Tensor
    noise: NDArray[np.float32]
    uniform: NDArray[np.float32]
    seeds: NDArray[np.uint32] | None


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
    ) -> None:
        """`pixels`: per dataset, [N, S, S, 3]; `labels`: per dataset, [N, L]."""
        self.augment = augment
        self.pictures, self.labels = Pictures(pixels), torch.cat(list(labels))
        self._rows = self.labels.numpy()
        self.encoder, self.settings, self.seed, self.device = encoder, settings, seed, device
        try:
            if settings.targets == "other":
                self.domains = encoder.domains
        except ValueError as error:
            raise RecipeError(f"data.targets=other: {error}") from None
        try:
            self._groups = self._grouped()
        except ValueError as error:
            raise RecipeError(f"data.balance={settings.balance}: {error}") from None
        self._all_known = bool(encoder.known(self.labels).all())
        self._orders: dict[tuple[int, ...], tuple[int, NDArray[np.int64]]] = {}

    def __len__(self) -> int:
        """Pictures in an epoch."""
        return len(self.pictures)

    def __call__(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        drawn, pixels = self.gathered(step)
        cut = (drawn.top, drawn.left, drawn.flip, self.settings.image_size)
        if self.device.type == "cpu":
            real = normalise(torch.from_numpy(_cut_here(pixels, *cut)))
        else:
            real = normalise(_cut(to_device(pixels, self.device), *cut, self.device))
        rest = (to_device(each, self.device) for each in (drawn.source, drawn.target, drawn.noise, drawn.uniform))
        return Batch(real, *rest)

    def gathered(self, step: int) -> tuple[_Draw, NDArray[np.uint8]]:
        """A step as far as the processor has to go where a device does the rest: what is drawn, and its pictures."""
        drawn = self._draw(step)
        pixels = self.pictures[drawn.places]
        return drawn, pixels if self.augment is None or drawn.seeds is None else self.augment(pixels, drawn.seeds)

    def labels_of(self, step: int) -> tuple[Tensor, Tensor]:
        """Source and target labels of a step, [B, L] each, without its pictures."""
        drawn = self._draw(step)
        return drawn.source, drawn.target

    def _draw(self, step: int) -> _Draw:
        rng = np.random.default_rng([self.seed, DRAWS, step])
        count, index = self.settings.batch_size, self._indices(step)
        room = self.settings.cached_size - self.settings.image_size
        top, left = rng.integers(0, room + 1, (2, count)) if room else np.zeros((2, count), np.int64)
        flip = rng.random(count) < (0.5 if self.settings.flip else 0.0)
        source = self._labelled(index)
        target = self._from_others(self._targets(source, rng), rng)
        noise = rng.standard_normal((count, NOISE), np.float32)
        uniform = rng.random(count, np.float32)
        seeds = None if self.augment is None else rng.integers(0, 2**32, count, np.uint32)
        return _Draw(index, top, left, flip, source, target, noise, uniform, seeds)

    def _grouped(self) -> list[NDArray[np.int64]]:
        """The pictures of each group that is drawn from equally often (`data.balance`)."""
        everything = np.arange(len(self))
        if self.settings.balance == "none":
            return [everything]
        datasets = self.encoder.dataset(self.labels)
        group = datasets
        if self.settings.balance == "domain":  # What is unknown in part is a group of its own, in each dataset.
            domains = self.encoder.domain(self.labels)
            group = torch.where(domains < 0, -1 - datasets, domains)
        return [everything[(group == each).numpy()] for each in torch.unique(group)]

    def _indices(self, step: int) -> NDArray[np.int64]:
        """Positions of the pictures of a step.

        Groups take turns, in an order that is drawn for each round. Each group's epochs are permutations laid end to
        end, and batches are cut across them.
        """
        first, count = step * self.settings.batch_size, len(self._groups)
        found = np.empty(self.settings.batch_size, np.int64)
        if count == 1:
            place = 0
            while place < len(found):
                epoch, inside = divmod(first + place, len(self))
                piece = self._order((ORDER,), epoch, len(self))[inside : inside + len(found) - place]
                found[place : place + len(piece)] = piece
                place += len(piece)
            return found
        for place in range(len(found)):
            turn, which = divmod(first + place, count)
            number = int(self._order((TURNS,), turn, count)[which])
            own = self._groups[number]
            epoch, inside = divmod(turn, len(own))
            found[place] = own[self._order((ORDER, number) if number else (ORDER,), epoch, len(own))[inside]]
        return found

    def _labelled(self, places: NDArray[np.int64]) -> Tensor:
        """The labels of the pictures at these places, [B, L]; by numpy, whose calls cost less than those of torch."""
        return torch.from_numpy(self._rows[places])

    def _order(self, stream: tuple[int, ...], epoch: int, count: int) -> NDArray[np.int64]:
        """A permutation of `count`, drawn for `stream` and `epoch`; the last one of each stream is kept."""
        if stream not in self._orders or self._orders[stream][0] != epoch:
            kind, *rest = stream
            self._orders[stream] = epoch, np.random.default_rng([self.seed, kind, epoch, *rest]).permutation(count)
        return self._orders[stream][1]

    def _targets(self, source: Tensor, rng: np.random.Generator) -> Tensor:
        """Target labels by the setting `data.targets`, of the picture's own dataset."""
        if self.settings.targets == "permute":
            return self._permuted(source, rng)
        datasets = self.encoder.dataset(source)
        draws = rng.random(len(source))
        if self.settings.targets == "other":
            return self._other_domains(source, datasets, draws)
        rows = []
        for label, number, draw in zip(source, datasets.tolist(), draws, strict=True):
            known = self.encoder.decode(label)
            edits = self.encoder.edits(known, number)
            change = edits[int(draw * len(edits))] if edits else {}
            rows.append(self.encoder.encode({**known, **change}, number))
        return torch.stack(rows)

    def _from_others(self, target: Tensor, rng: np.random.Generator) -> Tensor:
        """Some targets, by the setting `data.across`, exchanged for the label of a picture of another dataset."""
        if not self.settings.across:
            return target
        numbers, starts = self.encoder.dataset(target).numpy(), self.pictures.starts
        chosen = rng.random(len(target)) < self.settings.across
        # Everything but the own dataset's pictures, which lie in one piece: what would fall into it is beyond it.
        first, last = starts[numbers], starts[numbers + 1]
        drawn = rng.integers(0, len(self) - (last - first))
        drawn += np.where(drawn >= first, last - first, 0)
        return torch.where(torch.from_numpy(chosen)[:, None], self._labelled(drawn), target)

    def _permuted(self, source: Tensor, rng: np.random.Generator) -> Tensor:
        """The labels of other pictures of the same dataset; what is unknown of a picture stays as it is."""
        if len(self.pictures.parts) == 1:
            target = torch.from_numpy(source.numpy()[rng.permutation(len(source))])
        else:  # From the whole dataset: a small one has too few pictures in a batch to exchange labels among.
            numbers, starts = self.encoder.dataset(source).numpy(), self.pictures.starts
            target = self._labelled(rng.integers(starts[numbers], starts[numbers + 1]))
        if self._all_known:
            return target
        datasets = self.encoder.dataset(source)
        partly = ~(self.encoder.known(source) & self.encoder.known(target))
        for row in torch.nonzero(partly)[:, 0].tolist():
            known, other = self.encoder.decode(source[row]), self.encoder.decode(target[row])
            merged = {name: other.get(name, value) for name, value in known.items()}
            target[row] = self.encoder.encode(merged, int(datasets[row]))
        return target

    def _other_domains(self, source: Tensor, datasets: Tensor, draws: NDArray[np.float64]) -> Tensor:
        """Any domain of the dataset but the picture's own; domains lie dataset by dataset."""
        owners = self.encoder.dataset(self.domains)
        first, count = (owners[:, None] < datasets).sum(0), (owners[:, None] == datasets).sum(0)
        own = self.encoder.domain(source)
        others = (count - (own >= 0).long()).clamp(min=1)  # One who has a single domain keeps it.
        drawn = first + (torch.from_numpy(draws) * others).long()
        skip = (own >= 0) & (drawn >= own) & (count > 1)
        return self.domains[drawn + skip]


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
