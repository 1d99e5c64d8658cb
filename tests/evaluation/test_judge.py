"""The judge learns what can be seen, is the same each time, and is trained once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from pydantic import ValidationError
from toys import judging

from mdtranslate.api import Attribute, Dataset, Record, Split, Value
from mdtranslate.config.schema import Judging
from mdtranslate.data.batches import normalise
from mdtranslate.data.concat import Pictures
from mdtranslate.data.source import Source
from mdtranslate.errors import DataError
from mdtranslate.evaluation import attribute_classifier as classifier
from mdtranslate.evaluation import classifier_cache as judges
from mdtranslate.evaluation.attribute_classifier import Examples, Judged
from mdtranslate.evaluation.classifier_cache import Judge, obtain_judge

CPU = torch.device("cpu")
QUICK = judging(rounds=3, least=320, batch_size=16)


def obtain(source: Source, training: Judging = QUICK) -> Judge:
    return obtain_judge([source], 16, CPU, lambda what, done, total: None, training)


def known(record: Record) -> list[tuple[str, Value]]:
    return list(record.attributes.items())


def no_training(*args: object) -> None:
    raise AssertionError("a judge was trained")


def test_judge_learns_every_attribute_and_is_cached(squares: Source, cache: Path, monkeypatch) -> None:
    state = torch.random.get_rng_state()
    judge = obtain(squares)
    assert torch.equal(torch.random.get_rng_state(), state)
    # `bright` is not labelled in this run, and judged all the same.
    assert set(judge.accuracy["squares"]) == {"colour", "framed", "bright"}
    assert min(judge.accuracy["squares"].values()) >= 0.9
    records = list(squares.dataset.records(Split.TEST))[:7]
    real = normalise(torch.from_numpy(np.stack([squares.dataset.load(record) for record in records])))
    seen = judge.predict(real)
    agree = [each[name] == value for record, each in zip(records, seen, strict=True) for name, value in known(record)]
    assert sum(agree) >= 0.9 * len(agree)
    assert "framed" in seen[0] and "framed" not in records[0].attributes

    monkeypatch.setattr(judges, "train_classifier", no_training)
    again = obtain(squares)
    assert again.accuracy == judge.accuracy
    assert again.facts == judge.facts
    assert again.predict(real) == seen
    # Another choice of what the run labels is no other judge; other training is.
    obtain(replace(squares, attributes=squares.dataset.attributes[2:]))
    with pytest.raises(AssertionError, match="was trained"):
        obtain(squares, judging(rounds=4, least=320, batch_size=16))


def test_damaged_judge_is_trained_again(squares: Source, cache: Path) -> None:
    short = judging(rounds=1, least=16, batch_size=16)
    first = obtain(squares, short)
    (file,) = cache.rglob("network.safetensors")
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    second = obtain(squares, short)
    assert file.read_bytes() == good  # the same judge, bit for bit
    assert second.facts["val_accuracy"] == first.facts["val_accuracy"]


def test_other_labels_are_another_judge(squares: Source, monkeypatch) -> None:
    short = judging(rounds=1, least=16, batch_size=16)
    obtain(squares, short)
    records = squares.dataset.records

    def relabelled(split: Split) -> Iterator[Record]:
        for record in records(split):
            yield replace(record, attributes={**record.attributes, "bright": True})

    monkeypatch.setattr(squares.dataset, "records", relabelled)
    monkeypatch.setattr(judges, "train_classifier", no_training)
    with pytest.raises(AssertionError, match="was trained"):
        obtain(replace(squares), short)  # As another run has it: each lists a split once.


def test_accuracy_leaves_unknown_labels_out() -> None:
    attributes = (Attribute("colour", ("red", "blue")), Attribute("framed"), Attribute("bright"))

    class Always(torch.nn.Module):
        """Sees blue, no frame, bright."""

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 1, 1, 0, 0, 1]]).expand(len(pictures), -1)

    codes = torch.tensor([[1, -1, -1], [0, 0, -1], [1, 1, -1], [1, -1, -1]])
    examples = Examples(Pictures([np.zeros((4, 8, 8, 3), np.uint8)]), codes, "")
    assert classifier.accuracy(Always(), examples, attributes, CPU) == {"colour": 0.75, "framed": 0.5}
    assert Judge(attributes, Always(), CPU, {}).predict(torch.zeros(1, 3, 8, 8)) == [
        {"colour": "blue", "framed": False, "bright": True}
    ]


def test_best_round_is_kept_not_the_last(squares: Source, monkeypatch) -> None:
    reached = iter([0.5, 0.9, 0.7])
    states = []

    def accuracy(network, examples, attributes, device) -> dict[str, float]:
        states.append({name: each.clone() for name, each in network.state_dict().items()})
        return {"colour": next(reached)}

    monkeypatch.setattr(classifier, "accuracy", accuracy)
    parts = [(squares, squares.records(Split.TRAIN))]
    examples = classifier.examples(Judged([squares]), parts, "train", 16, lambda what, done, total: None)
    training = judging(rounds=3, least=16, batch_size=16)
    make, known = partial(classifier.build, squares.dataset.attributes, training, 16), squares.dataset.attributes
    network, best = classifier.train_classifier(
        make, examples, examples, known, 0, CPU, lambda *args: None, training, "judge"
    )
    assert best == {"colour": 0.9}
    assert all(torch.equal(each, states[1][name]) for name, each in network.state_dict().items())
    assert not all(torch.equal(each, states[2][name]) for name, each in network.state_dict().items())


def test_optional_attribute_has_none_as_a_class() -> None:
    class Bald(Dataset):
        name = "bald"
        attributes = (Attribute("hair", ("black", "blond"), optional=True), Attribute("Male"))

        def records(self, split: Split) -> Iterator[Record]:
            yield Record("a", None, {"hair": None, "Male": True})
            yield Record("b", None, {"hair": "blond"})

    source = Source("bald", 0, Bald(Bald.Config()), Bald.attributes)
    judged = Judged([source])
    codes = judged.codes(list(Bald(Bald.Config()).records(Split.TRAIN)), source)
    assert codes.tolist() == [[0, 1], [2, -1]]
    with pytest.raises(DataError, match=r"dataset bald, picture c: 'red' is no value of hair"):
        judged.codes([Record("c", None, {"hair": "red"})], source)


def test_moved_pictures_stay_within_reach() -> None:
    picture = np.zeros((64, 16, 16, 3), np.uint8)
    picture[:, 8, 8] = 255
    possible = np.arange(64) % 4 > 0
    moved, mirrored = classifier._moved(picture, judging(), np.random.default_rng(0), possible)
    assert mirrored.any() and not mirrored[~possible].any()
    _, rows, columns, _ = np.nonzero(moved)
    assert set(rows) == {7, 8, 9}
    assert set(columns) == {6, 7, 8, 9}  # mirrored, 8 becomes 7


def test_any_network_of_timm_can_be_the_judge(squares: Source, tmp_path: Path) -> None:
    short = {"rounds": 1, "least": 16, "batch_size": 16}
    own = Judging.model_validate({**short, "flip": True, "model": "test_resnet"})
    first = obtain(squares, own)
    assert first.facts["network"] == "test_resnet" and first.facts["weights"] == "random weights"
    assert first.facts["key"] != obtain(squares, judging(**short)).facts["key"]
    file = tmp_path / "weights.pth"
    torch.manual_seed(5)
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), file)  # Of 1,000 classes.
    told = own.model_copy(update={"weights": file})
    second = obtain(squares, told)
    assert second.facts["weights"].startswith("weights sha256 ") and second.facts["key"] != first.facts["key"]
    moved = file.rename(tmp_path / "elsewhere.pth")
    assert obtain(squares, own.model_copy(update={"weights": moved})).facts == second.facts, "bytes matter, not places"
    attributes = squares.dataset.attributes
    started = classifier.build(attributes, own.model_copy(update={"weights": moved}), 16).state_dict()
    assert torch.equal(started["conv1.0.weight"], torch.load(moved, weights_only=True)["conv1.0.weight"])
    sees = classifier.build(attributes, Judging.model_validate({"model": "vit_tiny_patch16_224"}), 32)
    assert sees(torch.zeros(1, 3, 32, 32)).shape == (1, sum(len(each.allowed) for each in attributes))
    with pytest.raises(ValidationError, match="timm has no network 'resnet19'; did you mean 'resnet18'"):
        Judging.model_validate({"model": "resnet19"})
