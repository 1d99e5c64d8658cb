"""The judge: a classifier of everything that a dataset knows, trained on its real pictures and on nothing else.

It never sees a translated picture, shares no weight with a run's discriminator, and is the same for every run on the
same pictures, so that runs can be compared. It lies in the user's cache directory, beside the packed pictures::

    judges/KEY/    weights and facts, written by `mdtranslate.checkpoint`
    judges/KEY.lock

KEY stands for the training and validation pictures, all their labels, the size and how the judge is trained.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mdtranslate import checkpoint
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.data.pack import cache_root
from mdtranslate.data.sources import Progress, Source
from mdtranslate.device import layout
from mdtranslate.errors import CheckpointError, DataError
from mdtranslate.files import disk
from mdtranslate.interfaces import Attribute, Record, Split, Value

VERSION = 1
"""Goes up with every change of this file that would make another judge."""

NETWORK = "resnet18"
UNKNOWN = -1


@dataclass(frozen=True)
class Training:
    """How long and how a judge is trained. After each round it is tried on the val split, and the best is kept."""

    rounds: int = 4
    least: int = 2_000
    """Pictures in a round: all of the train split, but at least and at most so many."""
    most: int = 20_000
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    shift: float = 1 / 16
    """Pictures are moved by up to this part of their side, and half of them are mirrored."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Says what it sees in a picture, for every attribute that the dataset knows."""

    attributes: tuple[Attribute, ...]
    network: nn.Module
    device: torch.device
    facts: dict[str, Any]
    """What it is and how it was trained, for the report."""
    accuracy: dict[str, float] = field(default_factory=dict)
    """Share of the real test pictures that it judges as they are labelled, by attribute; unknown ones left out."""

    @torch.inference_mode()
    def predict(self, real: Tensor) -> list[dict[str, Value]]:
        """The likeliest value of every attribute for pictures [B, 3, S, S] in [-1, 1]: B mappings."""
        logits = self.network(real.to(self.device, memory_format=layout(self.device)))
        seen = _seen(logits, self.attributes).tolist()
        return [
            {each.name: each.allowed[code] for each, code in zip(self.attributes, row, strict=True)} for row in seen
        ]


@dataclass(frozen=True, eq=False)
class _Examples:
    """Real pictures, uint8 [N, S, S, 3], and the positions of their values in `Attribute.allowed`, int64 [N, A]."""

    pixels: NDArray[np.uint8]
    codes: Tensor
    digest: str


def obtain_judge(
    source: Source, size: int, seed: int, device: torch.device, progress: Progress, training: Training | None = None
) -> Judge:
    """The judge of a dataset at `size` pixels, from the cache, or trained first where it has to be.

    Its accuracy is measured anew each time, because the test split is no part of its key. Raises `DataError` for a
    split without pictures or a label that its attribute cannot have, `StorageError` where the cache cannot be written.
    """
    training = training or Training()
    attributes = tuple(source.dataset.attributes)
    train = _examples(source, source.records(Split.TRAIN), "train", size, progress)
    # Without a val split it chooses among its rounds by what it trains on.
    val = _examples(source, source.held_out(), "val", size, progress)
    test = _examples(source, source.records(Split.TEST), "test", size, progress)
    key = _key(attributes, (train, val), size, seed, training)
    folder = cache_root().parent / "judges" / key
    judge = _load(folder, attributes, device)
    if judge is None:
        with disk(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f"{key}.lock"))
            lock.acquire()
        try:
            judge = _load(folder, attributes, device)  # Of several processes that want it, one trains it.
            if judge is None:
                what = f"{source.name} judge"
                network, reached = train_judge(train, val, attributes, seed, device, progress, training, what)
                facts = {
                    "network": NETWORK,
                    "key": key,
                    "size": size,
                    "seed": seed,
                    "pictures": len(train.codes),
                    "training": asdict(training),
                    "val_accuracy": reached,
                }
                checkpoint.save(folder, "judge", {"network": network.state_dict()}, facts)
                judge = Judge(attributes, network, device, facts)
        finally:
            lock.release()
    judge.accuracy.update(_accuracy(judge.network, test, attributes, device))
    return judge


def train_judge(
    train: _Examples,
    val: _Examples,
    attributes: Sequence[Attribute],
    seed: int,
    device: torch.device,
    progress: Progress,
    training: Training,
    what: str,
) -> tuple[nn.Module, dict[str, float]]:
    """A network trained from random weights, in the state that was best on `val`, and its accuracies there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(attributes).to(device, memory_format=layout(device))  # type: ignore[call-overload]
    rng = np.random.default_rng(seed)
    per_round = -(-min(max(len(train.codes), training.least), training.most) // training.batch)
    optimizer = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, training.rounds * per_round)
    order = np.empty(0, np.int64)
    best: tuple[float, dict[str, Tensor], dict[str, float]] | None = None
    for turn in range(training.rounds):
        network.train()
        for step in range(per_round):
            # Always whole batches, so that batch normalisation has something to average over.
            while len(order) < training.batch:
                order = np.concatenate([order, rng.permutation(len(train.codes))])
            index, order = np.sort(order[: training.batch]), order[training.batch :]
            pictures = normalise(to_device(_moved(train.pixels[index], training.shift, rng), device))
            loss = _loss(network(pictures), to_device(train.codes[torch.from_numpy(index)], device), attributes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress(what, turn * per_round + step + 1, training.rounds * per_round)
        reached = _accuracy(network, val, attributes, device)
        mean = sum(reached.values()) / max(len(reached), 1)
        if best is None or mean >= best[0]:
            best = mean, copy.deepcopy(network.state_dict()), reached
    assert best is not None
    network.load_state_dict(best[1])
    return network.eval(), best[2]


def _network(attributes: Sequence[Attribute]) -> nn.Module:
    """Never with downloaded weights: a first run needs no network, and a result must not depend on one."""
    count = sum(len(each.allowed) for each in attributes)
    network: nn.Module = timm.create_model(NETWORK, pretrained=False, num_classes=count)
    return network


def _heads(logits: Tensor, attributes: Sequence[Attribute]) -> Sequence[Tensor]:
    """The logits of each attribute, [B, number of its allowed values]."""
    return torch.split(logits, [len(each.allowed) for each in attributes], dim=1)


def _seen(logits: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """The likeliest value of each attribute: int64 [B, A], on the processor."""
    return torch.stack([head.argmax(1) for head in _heads(logits, attributes)], dim=1).cpu()


def _loss(logits: Tensor, codes: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """Cross-entropy, the mean over attributes of the mean over the pictures in which the attribute is known."""
    total = logits.new_zeros(())
    for head, code in zip(_heads(logits, attributes), codes.unbind(1), strict=True):
        each = functional.cross_entropy(head, code, ignore_index=UNKNOWN, reduction="sum")
        total = total + each / (code != UNKNOWN).sum().clamp(min=1)
    return total / len(attributes)


@torch.inference_mode()
def _accuracy(
    network: nn.Module, examples: _Examples, attributes: Sequence[Attribute], device: torch.device
) -> dict[str, float]:
    network.eval()
    seen = []
    for start in range(0, len(examples.codes), 256):
        pictures = np.array(examples.pixels[start : start + 256])  # Torch wants an array that could be written to.
        seen.append(_seen(network(normalise(to_device(pictures, device))), attributes))
    known = examples.codes != UNKNOWN
    right = ((torch.cat(seen) == examples.codes) & known).sum(0) / known.sum(0)
    return {each.name: float(share) for each, share, any_ in zip(attributes, right, known.any(0), strict=True) if any_}


def _moved(pixels: NDArray[np.uint8], shift: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each picture of [B, S, S, 3] moved a little, its edge repeated, and mirrored or not."""
    count, size = pixels.shape[:2]
    reach = round(size * shift)
    down, right = rng.integers(-reach, reach + 1, (2, count, 1))
    ahead = np.arange(size)
    rows = np.clip(ahead + down, 0, size - 1)
    columns = np.clip(np.where(rng.random((count, 1)) < 0.5, ahead[::-1], ahead) + right, 0, size - 1)
    moved: NDArray[np.uint8] = pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def _examples(source: Source, records: list[Record], what: str, size: int, progress: Progress) -> _Examples:
    packed = source.pack(records, size, what, None, progress)
    codes = torch.tensor([_codes(record, source) for record in records], dtype=torch.int64)
    return _Examples(packed.pixels, codes, packed.digest)


def _codes(record: Record, source: Source) -> list[int]:
    try:
        return [
            each.allowed.index(each.choices[each.code(record.attributes[each.name])])
            if each.name in record.attributes
            else UNKNOWN
            for each in source.dataset.attributes
        ]
    except ValueError as error:
        raise DataError(f"dataset {source.name}, picture {record.key}: {error}") from None


def _key(
    attributes: Sequence[Attribute], examples: Sequence[_Examples], size: int, seed: int, training: Training
) -> str:
    digest = hashlib.blake2b(digest_size=16)
    meaning = [(each.name, each.values, each.optional) for each in attributes]
    digest.update(json.dumps([VERSION, NETWORK, timm.__version__, meaning, size, seed, asdict(training)]).encode())
    for each in examples:
        digest.update(each.digest.encode() + each.codes.numpy().tobytes())
    return digest.hexdigest()


def _load(folder: Path, attributes: tuple[Attribute, ...], device: torch.device) -> Judge | None:
    """The judge in a folder of the cache; None where there is none, or a damaged one."""
    try:
        tensors, facts = checkpoint.load(folder, "judge")
        network = _network(attributes)
        checkpoint.fill(network, tensors["network"], str(folder))
    except (CheckpointError, KeyError):
        return None
    network = network.to(device, memory_format=layout(device)).eval()  # type: ignore[call-overload]
    facts = {key: value for key, value in facts.items() if key not in ("format", "files")}
    return Judge(attributes, network, device, facts)
