"""Batches of methods between two domains, and of pictures that come in pairs."""

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
from mdtranslate.data.sampling.paired import find_truths
from mdtranslate.errors import DataError, RecipeError


def test_half_of_a_step_is_of_each_value_of_a_pair_and_becomes_the_other():
    made, pairs = batches([toys(30)], targets="pairs", batch_size=4), Counter()
    for step in range(40):
        drawn = made._draw(step)
        before, after = (list(map(made.encoder.decode, each)) for each in (drawn.source, drawn.target))
        assert before == after[::-1] and before[0] == before[1] != before[2] == before[3]
        ((name, one),), ((same, other),) = before[0].items(), before[2].items()
        assert name == same, "one attribute, and nothing else is known"
        for place, known in zip(drawn.places, before, strict=True):
            assert made.encoder.decode(made.labels[place])[name] == known[name]
        pairs[name, one, other] += 1
    # Three pairs of colours and one of yes and no take turns.
    assert len(pairs) == 4 and set(pairs.values()) == {10}
    drawn = [made._draw(step) for step in range(40)]
    assert len({int(place) for each in drawn for place in each.places}) > 20
    assert all(
        np.array_equal(each.places, batches([toys(30)], targets="pairs", batch_size=4)._draw(n).places)
        for n, each in enumerate(drawn[:5])
    )


def test_pairs_need_pictures_of_two_values_and_an_even_batch():
    with pytest.raises(RecipeError, match="no attribute has pictures of two values"):
        batches([[{"colour": "red", "Round": True}] * 4], targets="pairs")
    for settings, message in [
        ({"batch_size": 5}, "needs an even one"),
        ({"balance": "domain"}, "draws from each domain equally often already"),
        ({"across": 0.5}, "no targets of other datasets"),
    ]:
        with pytest.raises(ValueError, match=message):
            Data.model_validate({"targets": "pairs", **settings})


class Twins:
    """Pictures of which some have true pictures: grey 10 n, and 10 n + 1 or + 2 after an edit."""

    name = "toys"
    attributes = (Attribute("colour", ("red", "green", "blue")), Attribute("Round"))
    number = 0

    def __init__(self) -> None:
        self.dataset = SimpleNamespace(counterfactual=self.counterfactual)

    def counterfactual(self, record: Record, change: dict) -> Record | None:
        number = int(record.key)
        if number == 3 or "Round" in change:
            return None
        edits = [value for value in self.attributes[0].values if value != record.attributes["colour"]]
        return Record(f"{10 * number + 1 + edits.index(change['colour'])}", None, {**record.attributes, **change})

    def labelled(self, record: Record) -> dict:
        return dict(record.attributes)

    def labels(self, records, encoder) -> torch.Tensor:
        rows = [encoder.encode(self.labelled(each), self.number) for each in records]
        return torch.stack(rows) if rows else torch.empty(0, 3)

    def pack(self, records, size, what, progress) -> SimpleNamespace:
        left_out = {2} if what == "train, edited" else set()  # One true picture cannot be read.

        def of(items):
            return [item for place, item in enumerate(items) if place not in left_out]

        pixels = [np.full((size, size, 3), int(record.key), np.uint8) for record in of(records)]
        return SimpleNamespace(pixels=np.asarray(pixels), of=of)


def test_the_truth_of_a_step_belongs_to_its_picture_and_target():
    register()
    source, known = Twins(), toys(8)
    encoder = (
        TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes={"toys": source.attributes})
    )
    records = [Record(f"{number}", None, each) for number, each in enumerate(known)]
    truths = find_truths([(source, records)], encoder, 8, print)
    assert truths.starts.tolist() == [0, 2, 3, 5, 5, 7, 9, 11, 13], "of picture 1 one was left out, of picture 3 all"
    data = Data.model_validate({"image_size": 8, "batch_size": 4, "targets": "paired"})
    pixels = np.stack([np.full((8, 8, 3), 10 * number, np.uint8) for number in range(8)])
    labels = torch.stack([encoder.encode(each, 0) for each in known])
    made, seen = Batches([pixels], [labels], encoder, data, 0, CPU, truths=truths), set()
    for step in range(30):
        batch = made(step)
        real, truth = (to_pixels(each)[:, 0, 0, 0].tolist() for each in (batch.real, batch.truth))
        for row in range(4):
            number = real[row] // 10
            before, after = encoder.decode(batch.source[row]), encoder.decode(batch.target[row])
            assert before == known[number] and truth[row] // 10 == number
            edits = [value for value in source.attributes[0].values if value != before["colour"]]
            assert after == {**before, "colour": edits[truth[row] % 10 - 1]}
            seen.add(truth[row])
    assert seen == {1, 2, 12, 21, 22, 41, 42, 51, 52, 61, 62, 71, 72}
    source.dataset.counterfactual = lambda record, change: None
    with pytest.raises(DataError, match="paired: toys knows no true picture after an edit"):
        find_truths([(source, records)], encoder, 8, print)


def test_a_truth_is_cut_and_mirrored_with_its_picture():
    register()
    attributes = {"toys": (Attribute("Round"),)}
    encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    pixels = np.random.default_rng(0).integers(0, 200, (6, 12, 12, 3), np.uint8)
    labels = [torch.stack([encoder.encode({"Round": value}, 0)] * 6) for value in (False, True)]
    truths = SimpleNamespace(
        packed=[SimpleNamespace(pixels=pixels + 50)],
        labels=labels[1],
        starts=np.arange(7),
        draw=lambda places, rng: places,
    )
    data = Data.model_validate({"image_size": 8, "load_size": 12, "batch_size": 4, "targets": "paired"})
    made = Batches([pixels], labels[:1], encoder, data, 0, CPU, truths=truths)
    for step in range(5):
        batch = made(step)
        assert torch.equal(batch.target, labels[1][:4])
        assert np.array_equal(to_pixels(batch.real) + 50, to_pixels(batch.truth))


def test_crops_that_show_little_of_their_picture_are_said() -> None:
    assert Data.model_validate({"image_size": 256, "load_size": 286}).note is None
    said = Data.model_validate({"image_size": 64, "load_size": 286}).note
    assert said is not None and said.startswith("data.load_size=286 for data.image_size=64: each crop shows 5% of its")
    assert Data.model_validate({"image_size": 360, "load_size": 1024}).note is None, "as CycleGAN's authors advise"
