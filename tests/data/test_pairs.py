"""Batches of domain pairs, and of paired data."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from test_batches import CPU, batches, toys
from tiny import register

from mdtranslate import Attribute, Choice, LabelEncoder, Record
from mdtranslate.config.schema import Data
from mdtranslate.data.batches import Batches, to_pixels
from mdtranslate.data.sampling.paired import find_paired_targets
from mdtranslate.errors import DataError, RecipeError


def test_domain_pairs_translate_each_half_to_the_other_value():
    made, pairs = batches([toys(30)], targets="domain-pairs", batch_size=4), Counter()
    for step in range(40):
        drawn = made._draw(step)
        before, after = (list(map(made.label_encoder.decode, each)) for each in (drawn.source, drawn.target))
        assert before == after[::-1] and before[0] == before[1] != before[2] == before[3]
        ((name, one),), ((same, other),) = before[0].items(), before[2].items()
        assert name == same, "one attribute, and nothing else is known"
        for place, known in zip(drawn.indices, before, strict=True):
            assert made.label_encoder.decode(made.labels[place])[name] == known[name]
        pairs[name, one, other] += 1
    # Three pairs of colours and one of yes and no take turns.
    assert len(pairs) == 4 and set(pairs.values()) == {10}
    drawn = [made._draw(step) for step in range(40)]
    assert len({int(place) for each in drawn for place in each.indices}) > 20
    assert all(
        np.array_equal(each.indices, batches([toys(30)], targets="domain-pairs", batch_size=4)._draw(n).indices)
        for n, each in enumerate(drawn[:5])
    )


def test_domain_pairs_need_two_values_and_an_even_batch():
    with pytest.raises(RecipeError, match=r"data\.targets=domain-pairs: "):
        batches([[{"colour": "red", "Round": True}] * 4], targets="domain-pairs")
    for settings, message in [
        ({"batch_size": 5}, "batch_size 5: "),
        ({"balance": "domain"}, "balance=domain: "),
        ({"cross_dataset": 0.5}, "cross_dataset=0.5: "),
    ]:
        with pytest.raises(ValueError, match=message):
            Data.model_validate({"targets": "domain-pairs", **settings})


class Twins:
    """Images of which some have ground truth: grey 10 n, and 10 n + 1 or + 2 after an edit."""

    name = "toys"
    attributes = (Attribute("colour", ("red", "green", "blue")), Attribute("Round"))
    index = 0

    def __init__(self) -> None:
        self.dataset = SimpleNamespace(counterfactual=self.counterfactual)

    def counterfactual(self, record: Record, change: dict) -> Record | None:
        number = int(record.key)
        if number == 3 or "Round" in change:
            return None
        edits = [value for value in self.attributes[0].values if value != record.attributes["colour"]]
        return Record(f"{10 * number + 1 + edits.index(change['colour'])}", None, {**record.attributes, **change})

    def attribute_values(self, record: Record) -> dict:
        return dict(record.attributes)

    def encode_labels(self, records, label_encoder) -> torch.Tensor:
        rows = [label_encoder.encode(self.attribute_values(each), self.index) for each in records]
        return torch.stack(rows) if rows else torch.empty(0, 3)

    def cache_images(self, records, size, purpose, progress) -> SimpleNamespace:
        left_out = {2} if purpose == "train, edited" else set()  # One target image cannot be read.

        def select_readable(items):
            return [item for place, item in enumerate(items) if place not in left_out]

        pixels = [np.full((size, size, 3), int(record.key), np.uint8) for record in select_readable(records)]
        return SimpleNamespace(pixels=np.asarray(pixels), select_readable=select_readable)


def test_ground_truth_belongs_to_its_image_and_target():
    register()
    source, known = Twins(), toys(8)
    label_encoder = (
        TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes={"toys": source.attributes})
    )
    records = [Record(f"{number}", None, each) for number, each in enumerate(known)]
    truths = find_paired_targets([(source, records)], label_encoder, 8, print)
    assert truths.starts.tolist() == [0, 2, 3, 5, 5, 7, 9, 11, 13], "image 1 lacks one target image, image 3 all"
    data = Data.model_validate({"image_size": 8, "batch_size": 4, "targets": "paired"})
    pixels = np.stack([np.full((8, 8, 3), 10 * number, np.uint8) for number in range(8)])
    labels = torch.stack([label_encoder.encode(each, 0) for each in known])
    made, seen = Batches([pixels], [labels], label_encoder, data, 0, CPU, paired=truths), set()
    for step in range(30):
        batch = made(step)
        real, truth = (to_pixels(each)[:, 0, 0, 0].tolist() for each in (batch.real, batch.truth))
        for row in range(4):
            number = real[row] // 10
            before, after = label_encoder.decode(batch.source[row]), label_encoder.decode(batch.target[row])
            assert before == known[number] and truth[row] // 10 == number
            edits = [value for value in source.attributes[0].values if value != before["colour"]]
            assert after == {**before, "colour": edits[truth[row] % 10 - 1]}
            seen.add(truth[row])
    assert seen == {1, 2, 12, 21, 22, 41, 42, 51, 52, 61, 62, 71, 72}
    source.dataset.counterfactual = lambda record, change: None
    with pytest.raises(DataError, match=r"data\.targets=paired: toys "):
        find_paired_targets([(source, records)], label_encoder, 8, print)


def test_ground_truth_is_cropped_and_mirrored_like_its_image():
    register()
    attributes = {"toys": (Attribute("Round"),)}
    label_encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    pixels = np.random.default_rng(0).integers(0, 200, (6, 12, 12, 3), np.uint8)
    labels = [torch.stack([label_encoder.encode({"Round": value}, 0)] * 6) for value in (False, True)]
    truths = SimpleNamespace(
        cached=[SimpleNamespace(pixels=pixels + 50)],
        labels=labels[1],
        starts=np.arange(7),
        draw=lambda indices, rng: indices,
    )
    data = Data.model_validate({"image_size": 8, "load_size": 12, "batch_size": 4, "targets": "paired"})
    made = Batches([pixels], labels[:1], label_encoder, data, 0, CPU, paired=truths)
    for step in range(5):
        batch = made(step)
        assert torch.equal(batch.target, labels[1][:4])
        assert np.array_equal(to_pixels(batch.real) + 50, to_pixels(batch.truth))


def test_small_crops_are_noted() -> None:
    assert Data.model_validate({"image_size": 256, "load_size": 286}).note is None
    said = Data.model_validate({"image_size": 64, "load_size": 286}).note
    assert said is not None and said.startswith("data.load_size=286 for data.image_size=64: each crop shows 5% of its")
    assert Data.model_validate({"image_size": 360, "load_size": 1024}).note is None, "as CycleGAN's authors advise"
