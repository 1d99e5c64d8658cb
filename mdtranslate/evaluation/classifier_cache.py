"""The judge: a classifier of everything that a run's datasets know, trained on real pictures and on nothing else.

It never sees a translated picture, shares no weight with a run's discriminator, and is the same for every run on the
same pictures, so that runs can be compared. Of a run over several datasets it sees the pictures of all, so that it can
say how an attribute of one of them looks in another. It lies in the user's cache directory, beside packed pictures::

    judges/KEY/    weights and facts, written by `mdtranslate.utils.tensor_dir`
    judges/KEY.lock

KEY stands for the training and validation pictures, all their labels, the size and how the judge is trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from mdtranslate.api import Attribute, Features, Settings, Split, Value
from mdtranslate.config.schema import Judging
from mdtranslate.data.cache.store import ELSEWHERE, cache_root
from mdtranslate.data.source import Progress, Source
from mdtranslate.errors import CheckpointError, DataError
from mdtranslate.evaluation.attribute_classifier import (
    Examples,
    Judged,
    accuracy,
    build,
    examples,
    seen,
    train_classifier,
)
from mdtranslate.inference.timm_factory import origin
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.device import layout
from mdtranslate.utils.files import check_writable, disk

SEED = 0  # Not the run's: every run on the same pictures has the same judge.
VERSION = 2
"""Goes up with every change here or in `classifier` that would make another judge."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Says what it sees in a picture, for every attribute that a dataset knows."""

    attributes: tuple[Attribute, ...]
    network: nn.Module
    device: torch.device
    facts: dict[str, Any]
    """What it is and how it was trained, for the report."""
    accuracy: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By dataset and attribute: share of the real test pictures that it judges as labelled; unknown ones left out."""

    @torch.inference_mode()
    def predict(self, real: Tensor) -> list[dict[str, Value]]:
        """The likeliest value of every attribute for pictures [B, 3, S, S] in [-1, 1]: B mappings."""
        logits = self.network(real.to(self.device, memory_format=layout(self.device)))
        return [
            {each.name: each.allowed[code] for each, code in zip(self.attributes, row, strict=True)}
            for row in seen(logits, self.attributes).tolist()
        ]


class JudgeFeatures(Features):
    """What the judge makes of pictures before it says what it sees: features of this very data, not Inception's."""

    name = label = "judge"

    def __init__(self, judge: Judge) -> None:
        super().__init__(Settings())
        self.network, self.identity = judge.network, f"judge {judge.facts['key']}"

    def forward(self, image: Tensor) -> Tensor:
        network: Any = self.network
        features: Tensor = network.forward_head(network.forward_features(image), pre_logits=True)
        return features

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        network: Any = self.network
        maps: list[Tensor] = network.forward_intermediates(image, intermediates_only=True)
        return maps


class StandIn(Features):
    """In the judge's place where metrics are built to see whether they can be, before there is one."""

    name = label = "judge"
    identity = "none yet"

    def forward(self, image: Tensor) -> Tensor:
        return image.new_zeros(len(image), 1)

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image.new_zeros(len(image), 1, 1, 1)]


def obtain_judge(
    sources: Sequence[Source],
    size: int,
    device: torch.device,
    progress: Progress,
    training: Judging,
    seed: int = SEED,
) -> Judge:
    """The judge of datasets at `size` pixels, from the cache, or trained first where it has to be.

    Its accuracy is measured anew each time, because the test split is no part of its key. Raises `DataError` for a
    split without pictures or a label that its attribute cannot have, `StorageError` where the cache cannot be written.
    """
    judged = Judged(sources)
    train = examples(judged, [(each, each.records(Split.TRAIN)) for each in sources], "train", size, progress)
    # Without a val split it chooses among its rounds by what it trains on.
    val = examples(judged, [(each, each.held_out()) for each in sources], "val", size, progress)
    tests = {
        each.name: examples(judged, [(each, each.records(Split.TEST))], "test", size, progress) for each in sources
    }
    key = _key(judged.attributes, (train, val), size, seed, training)
    folder = cache_root().parent / "judges" / key
    there = partial(_load, folder, judged.attributes, device, training, size)
    judge = there()
    if judge is None:
        check_writable(folder.parent, ELSEWHERE)
        with disk(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f"{key}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress("another process trains the same attribute classifier: waiting for it", 0, 1)
                lock.acquire()
        try:
            judge = there()  # Of several processes that want it, one trains it.
            if judge is None:
                what = f"{' and '.join(each.name for each in sources)} judge"
                make = partial(build, judged.attributes, training, size)
                network, reached = train_classifier(
                    make, train, val, judged.attributes, seed, device, progress, training, what
                )
                facts = {
                    "network": training.model,
                    "weights": origin(training.weights),
                    "key": key,
                    "size": size,
                    "seed": seed,
                    "pictures": len(train.codes),
                    "training": _how(training),
                    "val_accuracy": reached,
                }
                tensor_dir.save(folder, "judge", {"network": network.state_dict()}, facts)
                judge = Judge(judged.attributes, network, device, facts)
        finally:
            lock.release()
    reached_by = {name: accuracy(judge.network, test, judged.attributes, device) for name, test in tests.items()}
    return Judge(judge.attributes, judge.network, device, judge.facts, reached_by)


def find_judge(sources: Sequence[Source], size: int, device: torch.device, training: Judging) -> Judge | None:
    """The judge of an evaluation of these datasets, where the cache has it and all pictures that it was trained on."""
    judged = Judged(sources)
    wanted = ([(each, each.records(Split.TRAIN)) for each in sources], [(each, each.held_out()) for each in sources])
    try:
        if not all(source.is_packed(records, size) for part in wanted for source, records in part):
            return None
    except DataError:  # A picture is missing or was left out: no reason to stop who only asks.
        return None
    parts = [examples(judged, part, "", size, lambda what, done, total: None) for part in wanted]
    key = _key(judged.attributes, parts, size, SEED, training)
    return _load(cache_root().parent / "judges" / key, judged.attributes, device, training, size)


def _key(attributes: Sequence[Attribute], examples: Sequence[Examples], size: int, seed: int, training: Judging) -> str:
    digest = hashlib.blake2b(digest_size=16)
    meaning: list[tuple[Any, ...]] = [(each.name, each.values, each.optional) for each in attributes]
    meaning += [(each.name, each.mirrored) for each in attributes if each.mirrored]
    how = [_how(training), origin(training.weights)]
    digest.update(json.dumps([VERSION, version("timm"), meaning, size, seed, how]).encode())
    for each in examples:
        digest.update(each.digest.encode() + each.codes.numpy().tobytes())
    return digest.hexdigest()


def _how(training: Judging) -> dict[str, Any]:
    """Its settings; weights are named by what they are, not by where they lie."""
    return training.model_dump(mode="json", exclude={"weights"})


def _load(
    folder: Path, attributes: tuple[Attribute, ...], device: torch.device, training: Judging, size: int
) -> Judge | None:
    """The judge in a folder of the cache; None where there is none, or a damaged one."""
    try:
        tensors, facts = tensor_dir.load(folder, "judge")
        network = build(attributes, training.model_copy(update={"weights": None}), size)
        tensor_dir.fill(network, tensors["network"], str(folder))
    except (CheckpointError, KeyError):
        return None
    network = network.to(device, memory_format=layout(device)).eval()  # type: ignore[call-overload]
    facts = {key: value for key, value in facts.items() if key not in ("format", "files")}
    return Judge(attributes, network, device, facts)
