"""What the pictures of a step shall become: target labels, by the setting `data.targets`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.config.schema import Data
from mdtranslate.data.sampling.sampler import ORDER, TURNS, Order
from mdtranslate.errors import RecipeError

Random = np.random.Generator


class Targets:
    """Targets of any picture: "permute", "one-edit" and "other", with or without `data.across`."""

    def __init__(self, labels: Tensor, starts: NDArray[np.int64], encoder: LabelEncoder, settings: Data) -> None:
        """`labels`: of all pictures, [N, L]; those of a dataset are at `starts[number]` to `starts[number + 1]`."""
        self.labels, self.starts, self.encoder, self.settings = labels, starts, encoder, settings
        self._rows = labels.numpy()
        self._all_known = bool(encoder.known(labels).all())
        if settings.targets == "other":
            try:
                self._domains = encoder.domains
            except ValueError as error:
                raise RecipeError(f"data.targets=other: {error}") from None

    def __call__(self, places: NDArray[np.int64], rng: Random) -> tuple[Tensor, Tensor]:
        """Labels of the pictures at `places`, and of what they shall become, [B, L] each."""
        source = self._labelled(places)
        return source, self._from_others(self._own(source, rng), rng)

    def _labelled(self, places: NDArray[np.int64]) -> Tensor:
        """The labels of the pictures at these places, [B, L]; by numpy, whose calls cost less than those of torch."""
        return torch.from_numpy(self._rows[places])

    def _own(self, source: Tensor, rng: Random) -> Tensor:
        """Target labels of each picture's own dataset."""
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

    def _from_others(self, target: Tensor, rng: Random) -> Tensor:
        """Some targets, by the setting `data.across`, exchanged for the label of a picture of another dataset."""
        if not self.settings.across:
            return target
        numbers, starts = self.encoder.dataset(target).numpy(), self.starts
        chosen = rng.random(len(target)) < self.settings.across
        # Everything but the own dataset's pictures, which lie in one piece: what would fall into it is beyond it.
        first, last = starts[numbers], starts[numbers + 1]
        drawn = rng.integers(0, len(self.labels) - (last - first))
        drawn += np.where(drawn >= first, last - first, 0)
        return torch.where(torch.from_numpy(chosen)[:, None], self._labelled(drawn), target)

    def _permuted(self, source: Tensor, rng: Random) -> Tensor:
        """The labels of other pictures of the same dataset; what is unknown of a picture stays as it is."""
        if len(self.starts) == 2:
            target = torch.from_numpy(source.numpy()[rng.permutation(len(source))])
        else:  # From the whole dataset: a small one has too few pictures in a batch to exchange labels among.
            numbers, starts = self.encoder.dataset(source).numpy(), self.starts
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
        owners = self.encoder.dataset(self._domains)
        first, count = (owners[:, None] < datasets).sum(0), (owners[:, None] == datasets).sum(0)
        own = self.encoder.domain(source)
        others = (count - (own >= 0).long()).clamp(min=1)  # One who has a single domain keeps it.
        drawn = first + (torch.from_numpy(draws) * others).long()
        skip = (own >= 0) & (drawn >= own) & (count > 1)
        return self._domains[drawn + skip]


class Pairs:
    """Two values of one attribute in each step ("pairs"): half of it are pictures of the one, and become the other.

    As methods between two domains are trained (CycleGAN, DIAT), for any number of them: the pairs of values of all
    attributes take turns. Labels then know that one attribute alone.
    """

    def __init__(self, labels: Tensor, encoder: LabelEncoder, seed: int) -> None:
        """`labels`: of all pictures, [N, L]. Raises `RecipeError` where no attribute has pictures of two values."""
        having: dict[tuple[int, str, Value], list[int]] = {}  # The numbers of the different labels that have a value.
        alike, inverse = torch.unique(labels, dim=0, return_inverse=True)
        for number, (label, dataset) in enumerate(zip(alike, encoder.dataset(alike).tolist(), strict=True)):
            for name, value in encoder.decode(label).items():
                having.setdefault((dataset, name, value), []).append(number)
        self.places: dict[tuple[int, str, Value], NDArray[np.int64]] = {}
        for key, numbers in having.items():
            has = np.zeros(len(alike), np.bool_)
            has[numbers] = True
            self.places[key] = np.flatnonzero(has[inverse.numpy()])
        self.labels = {key: encoder.encode({key[1]: key[2]}, key[0]) for key in having}
        self.pairs = [pair for pair in combinations(self._in_order(encoder), 2) if pair[0][:2] == pair[1][:2]]
        if not self.pairs:
            raise RecipeError("data.targets=pairs: no attribute has pictures of two values to translate between")
        self.order, self.seed = Order([np.arange(len(self.pairs))], seed), seed

    def _in_order(self, encoder: LabelEncoder) -> Iterator[tuple[int, str, Value]]:
        """Every value that a picture has, as the encoder lists them."""
        for number, own in enumerate(encoder.attributes):
            for each in own:
                yield from (key for value in each.allowed if (key := (number, each.name, value)) in self.places)

    def __call__(self, step: int, count: int) -> tuple[NDArray[np.int64], Tensor, Tensor]:
        """Places of the pictures of a step of `count`, and their labels before and after, [B, L] each."""
        turn, which = divmod(step, len(self.pairs))
        one, other = self.pairs[int(self.order.permutation((TURNS,), turn, len(self.pairs))[which])]
        rng = np.random.default_rng([self.seed, ORDER, step])
        # Each by itself, as the released code of CycleGAN draws the second of a pair: their order says nothing.
        half = count // 2
        places = [own[rng.integers(len(own), size=half)] for own in (self.places[one], self.places[other])]
        ends = torch.stack([self.labels[one], self.labels[other]]).repeat_interleave(half, 0)
        return np.concatenate(places), ends, ends.flip(0)
