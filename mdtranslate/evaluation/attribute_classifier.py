"""A classifier of what datasets know of their pictures, trained on real ones from random weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mdtranslate.api import Attribute, Record, Split, Value
from mdtranslate.config.schema import Data, Judging
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.data.concat import Pictures
from mdtranslate.data.mirrored_labels import mirrored_codes
from mdtranslate.data.source import Progress, Source
from mdtranslate.errors import RecipeError
from mdtranslate.inference.timm_factory import timm_network
from mdtranslate.utils.device import isolated, layout

UNKNOWN = -1


class Judged:
    """What is judged of pictures of several datasets: everything that any of them knows.

    Attributes of the same name and values are one, seen in the pictures of all that have it. Where datasets mean
    different things by a name, each has its dataset before it: `first.hair`.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        named: dict[str, set[Attribute]] = {}
        for source in sources:
            for each in source.dataset.attributes:
                named.setdefault(each.name, set()).add(each)
        self.names: dict[int, dict[str, str]] = {}
        """By the number of a dataset: the judge's name of each of its attributes."""
        found: dict[str, Attribute] = {}
        for source in sources:
            own = self.names[source.number] = {}
            for each in source.dataset.attributes:
                name = each.name if len(named[each.name]) == 1 else f"{source.name}.{each.name}"
                own[each.name] = name
                found[name] = replace(each, name=name)
        self.attributes = tuple(found.values())

    def known(self, record: Record, source: Source) -> dict[str, Value]:
        """Everything that a dataset knows of one of its pictures."""
        return {self.names[source.number][name]: value for name, value in record.attributes.items()}

    def own(self, name: str, source: Source) -> str | None:
        """What a dataset calls an attribute; None where it knows no such thing."""
        return next((own for own, judged in self.names[source.number].items() if judged == name), None)

    def codes(self, records: Sequence[Record], source: Source) -> Tensor:
        """Positions of the values of records in `Attribute.allowed`, int64 [N, A]; -1 where unknown.

        Raises `DataError` for a value that its attribute cannot have.
        """
        names = self.names[source.number]

        def codes(known: Mapping[str, Value]) -> Tensor:
            judged = {names[name]: value for name, value in known.items()}
            return torch.tensor([_code(each, judged) for each in self.attributes], dtype=torch.int64)

        return source.encoded(records, source.dataset.attributes, codes)


def _code(attribute: Attribute, known: Mapping[str, Value]) -> int:
    if attribute.name not in known:
        return UNKNOWN
    return attribute.allowed.index(attribute.choices[attribute.code(known[attribute.name])])


@dataclass(frozen=True, eq=False)
class Examples:
    """Real pictures and their values, as `Judged.codes` has them."""

    pictures: Pictures
    codes: Tensor
    digest: str
    """Equal digests, equal pictures."""


def examples(
    judged: Judged, parts: Sequence[tuple[Source, Sequence[Record]]], what: str, size: int, progress: Progress
) -> Examples:
    """Pictures of several datasets, from the cache."""
    packed = [source.pack(records, size, what, progress) for source, records in parts]
    codes = [judged.codes(own.of(records), source) for own, (source, records) in zip(packed, parts, strict=True)]
    pictures, digest = Pictures([each.pixels for each in packed]), "".join(each.digest for each in packed)
    return Examples(pictures, torch.cat(codes), digest)


def train_classifier(
    make: Callable[[], nn.Module],
    train: Examples,
    val: Examples | None,
    attributes: Sequence[Attribute],
    seed: int,
    device: torch.device,
    progress: Progress,
    training: Judging,
    what: str,
) -> tuple[nn.Module, dict[str, float]]:
    """The network that `make` makes, trained, and its accuracies on `val`.

    `make` is called with torch's random state at `seed`. What comes back is the state that was best
    on `val`; without one, the last.
    """
    with isolated(seed):
        network = make().to(device, memory_format=layout(device))  # type: ignore[call-overload]
    rng = np.random.default_rng(seed)
    per_round = -(-min(max(len(train.codes), training.least), training.most) // training.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, training.rounds * per_round)
    order = np.empty(0, np.int64)
    best: tuple[float, dict[str, Tensor], dict[str, float]] | None = None
    for turn in range(training.rounds):
        network.train()
        for step in range(per_round):
            # Always whole batches, so that batch normalisation has something to average over.
            while len(order) < training.batch_size:
                order = np.concatenate([order, rng.permutation(len(train.codes))])
            index, order = np.sort(order[: training.batch_size]), order[training.batch_size :]
            codes = train.codes[torch.from_numpy(index)]
            swapped, possible = mirrored_codes(attributes, codes)
            pixels, flipped = _moved(train.pictures[index], training, rng, possible)
            codes = torch.where(torch.from_numpy(flipped)[:, None], swapped, codes)
            pictures = normalise(to_device(pixels, device))
            loss = _loss(network(pictures), to_device(codes, device), attributes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress(what, turn * per_round + step + 1, training.rounds * per_round)
        if val is None:
            continue
        reached = accuracy(network, val, attributes, device)
        mean = sum(reached.values()) / max(len(reached), 1)
        if best is None or mean >= best[0]:
            best = mean, copy.deepcopy(network.state_dict()), reached
    if best is None:
        return network.eval(), {}
    network.load_state_dict(best[1])
    return network.eval(), best[2]


def train_small(
    sources: Sequence[Source], data: Data, device: torch.device, progress: Progress, batches: int
) -> nn.Module:
    """A small network that has seen so many batches of 32 of the sources' training pictures: seconds, not minutes."""
    judged = Judged(sources)
    parts = [(each, each.records(Split.TRAIN)) for each in sources]
    train = examples(judged, parts, "train", data.image_size, progress)
    seen_in_all = 32 * batches
    training = Judging.model_validate(
        {"rounds": 1, "least": seen_in_all, "most": seen_in_all, "batch_size": 32, "flip": data.flip}
    )
    make = partial(small, judged.attributes)
    with torch.inference_mode(False):
        network, _ = train_classifier(
            make, train, None, judged.attributes, 0, device, progress, training, "a small classifier"
        )
    return network


def build(attributes: Sequence[Attribute], training: Judging, size: int) -> nn.Module:
    """The judge's network, with its first weights. Raises `RecipeError` where timm cannot make it."""
    count = sum(len(each.allowed) for each in attributes)
    try:
        network: nn.Module = timm_network(training.model, training.weights, None, size, num_classes=count)
    except ValueError as error:
        raise RecipeError(f"evaluation.judge.{error}") from None
    return network


def small(attributes: Sequence[Attribute]) -> nn.Module:
    """A network that is trained in seconds: four halvings, then the mean over what is left."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((3, 32, 64, 96, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    count = sum(len(each.allowed) for each in attributes)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, count))


def seen(logits: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """The likeliest value of each attribute: int64 [B, A], on the processor."""
    return torch.stack([head.argmax(1) for head in _heads(logits, attributes)], dim=1).cpu()


@torch.inference_mode()
def accuracy(
    network: nn.Module, examples: Examples, attributes: Sequence[Attribute], device: torch.device
) -> dict[str, float]:
    """Share of pictures that are seen as they are labelled, by attribute; unknown ones left out."""
    network.eval()
    found = []
    for start in range(0, len(examples.codes), 256):
        pictures = np.array(examples.pictures[start : start + 256])  # Torch wants an array that could be written to.
        found.append(seen(network(normalise(to_device(pictures, device))), attributes))
    known = examples.codes != UNKNOWN
    right = ((torch.cat(found) == examples.codes) & known).sum(0) / known.sum(0)
    return {each.name: float(share) for each, share, any_ in zip(attributes, right, known.any(0), strict=True) if any_}


def _heads(logits: Tensor, attributes: Sequence[Attribute]) -> Iterator[Tensor]:
    """The logits of each attribute, [B, number of its allowed values]."""
    return iter(torch.split(logits, [len(each.allowed) for each in attributes], dim=1))


def _loss(logits: Tensor, codes: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """Cross-entropy, the mean over attributes of the mean over the pictures in which the attribute is known."""
    total = logits.new_zeros(())
    for head, code in zip(_heads(logits, attributes), codes.unbind(1), strict=True):
        each = functional.cross_entropy(head, code, ignore_index=UNKNOWN, reduction="sum")
        total = total + each / (code != UNKNOWN).sum().clamp(min=1)
    return total / len(attributes)


def _moved(
    pixels: NDArray[np.uint8], training: Judging, rng: np.random.Generator, possible: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Each picture of [B, S, S, 3] moved a little, its edge repeated, and mirrored or not; and which are mirrored.

    `possible`: those that can be mirrored, [B].
    """
    count, size = pixels.shape[:2]
    reach = round(size * training.shift)
    down, right = rng.integers(-reach, reach + 1, (2, count, 1))
    ahead = np.arange(size)
    rows = np.clip(ahead + down, 0, size - 1)
    mirrored = (rng.random(count) < (0.5 if training.flip else 0)) & possible
    columns = np.clip(np.where(mirrored[:, None], ahead[::-1], ahead) + right, 0, size - 1)
    moved: NDArray[np.uint8] = pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved, mirrored
