"""The attribute classifier: it learns what can be seen, is reproducible, and is trained once."""

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
from toys import classifier_training

from mdtranslate.api import Attribute, Dataset, Record, Split
from mdtranslate.config.schema import ClassifierTraining
from mdtranslate.data.batches import normalise
from mdtranslate.data.concat import ConcatImages
from mdtranslate.data.recipe_datasets import RecipeDataset
from mdtranslate.errors import DataError
from mdtranslate.evaluation import attribute_classifier, classifier_cache
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier, build_network
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes, LabelledImages, load_labelled_images
from mdtranslate.evaluation.classifier_cache import load_or_train_classifier

CPU = torch.device("cpu")
QUICK = classifier_training(epochs=3, min_images_per_epoch=320, batch_size=16)
ONE_STEP = {"epochs": 1, "min_images_per_epoch": 16, "batch_size": 16}


class Trained(Exception):
    """Raised where a classifier would be trained."""


def train(dataset: RecipeDataset, training: ClassifierTraining = QUICK) -> AttributeClassifier:
    return load_or_train_classifier([dataset], 16, CPU, lambda what, done, total: None, training)


@pytest.fixture
def training_raises(monkeypatch: pytest.MonkeyPatch):
    def raise_trained(*args: object) -> None:
        raise Trained

    return lambda: monkeypatch.setattr(classifier_cache, "train_classifier", raise_trained)


def test_every_attribute_is_learned_and_the_classifier_is_cached(squares: RecipeDataset, training_raises) -> None:
    state = torch.random.get_rng_state()
    classifier = train(squares)
    assert torch.equal(torch.random.get_rng_state(), state)
    # `bright` is not labelled in this run, but classified all the same.
    assert set(classifier.accuracy["squares"]) == {"colour", "framed", "bright"}
    assert min(classifier.accuracy["squares"].values()) >= 0.9
    records = list(squares.dataset.records(Split.TEST))[:7]
    real = normalise(torch.from_numpy(np.stack([squares.dataset.load(record) for record in records])))
    predictions = classifier.predict(real)
    is_correct = [
        prediction[name] == value
        for record, prediction in zip(records, predictions, strict=True)
        for name, value in record.attributes.items()
    ]
    assert sum(is_correct) >= 0.9 * len(is_correct)
    assert "framed" in predictions[0] and "framed" not in records[0].attributes

    training_raises()
    cached = train(squares)
    assert cached.accuracy == classifier.accuracy
    assert cached.metadata == classifier.metadata
    assert cached.predict(real) == predictions
    # Labelling other attributes in the run does not change the classifier; other training settings do.
    train(replace(squares, attributes=squares.dataset.attributes[2:]))
    with pytest.raises(Trained):
        train(squares, classifier_training(epochs=4, min_images_per_epoch=320, batch_size=16))


def test_a_damaged_classifier_is_trained_again(squares: RecipeDataset, cache: Path) -> None:
    training = classifier_training(**ONE_STEP)
    first = train(squares, training)
    (file,) = cache.rglob("network.safetensors")
    intact = file.read_bytes()
    file.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    second = train(squares, training)
    assert file.read_bytes() == intact, "the same classifier, bit for bit"
    assert second.metadata["val_accuracy"] == first.metadata["val_accuracy"]


def test_other_labels_give_another_classifier(squares: RecipeDataset, monkeypatch, training_raises) -> None:
    training = classifier_training(**ONE_STEP)
    train(squares, training)
    records = squares.dataset.records

    def relabelled(split: Split) -> Iterator[Record]:
        for record in records(split):
            yield replace(record, attributes={**record.attributes, "bright": True})

    monkeypatch.setattr(squares.dataset, "records", relabelled)
    training_raises()
    with pytest.raises(Trained):
        train(replace(squares), training)  # A copy, because a dataset lists each split once.


def test_accuracy_leaves_unknown_labels_out() -> None:
    attributes = (Attribute("colour", ("red", "blue")), Attribute("framed"), Attribute("bright"))

    class Constant(torch.nn.Module):
        """Predicts blue, not framed, bright."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 1, 1, 0, 0, 1]]).expand(len(images), -1)

    class_indices = torch.tensor([[1, -1, -1], [0, 0, -1], [1, 1, -1], [1, -1, -1]])
    images = LabelledImages(ConcatImages([np.zeros((4, 8, 8, 3), np.uint8)]), class_indices, "")
    accuracies = attribute_classifier.accuracy(Constant(), images, attributes, CPU)
    assert accuracies == {"colour": 0.75, "framed": 0.5}
    assert AttributeClassifier(attributes, Constant(), CPU, {}).predict(torch.zeros(1, 3, 8, 8)) == [
        {"colour": "blue", "framed": False, "bright": True}
    ]


def test_the_best_epoch_is_kept_not_the_last(squares: RecipeDataset, monkeypatch) -> None:
    accuracies = iter([0.5, 0.9, 0.7])
    states = []

    def accuracy(network, images, attributes, device) -> dict[str, float]:
        states.append({name: weight.clone() for name, weight in network.state_dict().items()})
        return {"colour": next(accuracies)}

    monkeypatch.setattr(attribute_classifier, "accuracy", accuracy)
    parts = [(squares, squares.records(Split.TRAIN))]
    images = load_labelled_images(ClassifiedAttributes([squares]), parts, "train", 16, lambda *args: None)
    training = classifier_training(epochs=3, min_images_per_epoch=16, batch_size=16)
    attributes = squares.dataset.attributes
    make_network = partial(build_network, attributes, training, 16)
    network, best = attribute_classifier.train_classifier(
        make_network, images, images, attributes, 0, CPU, lambda *args: None, training, "classifier"
    )
    assert best == {"colour": 0.9}
    assert all(torch.equal(weight, states[1][name]) for name, weight in network.state_dict().items())
    assert not all(torch.equal(weight, states[2][name]) for name, weight in network.state_dict().items())


def test_none_is_a_class_of_an_optional_attribute() -> None:
    class Bald(Dataset):
        name = "bald"
        attributes = (Attribute("hair", ("black", "blond"), optional=True), Attribute("Male"))

        def records(self, split: Split) -> Iterator[Record]:
            yield Record("a", None, {"hair": None, "Male": True})
            yield Record("b", None, {"hair": "blond"})

    dataset = RecipeDataset("bald", 0, Bald(Bald.Config()), Bald.attributes)
    classified = ClassifiedAttributes([dataset])
    class_indices = classified.class_indices(list(Bald(Bald.Config()).records(Split.TRAIN)), dataset)
    assert class_indices.tolist() == [[0, 1], [2, -1]]
    with pytest.raises(DataError, match=r"bald.* c: .*hair.*'red'"):
        classified.class_indices([Record("c", None, {"hair": "red"})], dataset)


def test_shifts_are_small_and_only_some_images_are_mirrored() -> None:
    pixels = np.zeros((64, 16, 16, 3), np.uint8)
    pixels[:, 8, 8] = 255
    can_mirror = np.arange(64) % 4 > 0
    shifted, is_mirrored = attribute_classifier._shift_and_mirror(
        pixels, classifier_training(), np.random.default_rng(0), can_mirror
    )
    assert is_mirrored.any() and not is_mirrored[~can_mirror].any()
    _, rows, columns, _ = np.nonzero(shifted)
    assert set(rows) == {7, 8, 9}
    assert set(columns) == {6, 7, 8, 9}  # Mirrored, 8 becomes 7.


def test_the_network_can_be_any_of_timm(squares: RecipeDataset, tmp_path: Path) -> None:
    training = ClassifierTraining.model_validate({**ONE_STEP, "flip": True, "model": "test_resnet"})
    random = train(squares, training)
    assert random.metadata["network"] == "test_resnet" and "random" in random.metadata["weights"]
    assert random.metadata["key"] != train(squares, classifier_training(**ONE_STEP)).metadata["key"]
    file = tmp_path / "weights.pth"
    torch.manual_seed(5)
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), file)  # With 1,000 classes.
    initialised = train(squares, training.model_copy(update={"weights": file}))
    assert "sha256" in initialised.metadata["weights"]
    assert initialised.metadata["key"] != random.metadata["key"]
    moved = training.model_copy(update={"weights": file.rename(tmp_path / "elsewhere.pth")})
    assert train(squares, moved).metadata == initialised.metadata, "the content of the file counts, not its path"
    attributes = squares.dataset.attributes
    weights = build_network(attributes, moved, 16).state_dict()
    assert torch.equal(weights["conv1.0.weight"], torch.load(moved.weights, weights_only=True)["conv1.0.weight"])
    vit = build_network(attributes, ClassifierTraining.model_validate({"model": "vit_tiny_patch16_224"}), 32)
    num_logits = sum(len(attribute.allowed_values) for attribute in attributes)
    assert vit(torch.zeros(1, 3, 32, 32)).shape == (1, num_logits)
    with pytest.raises(ValidationError, match=r"'resnet19'.*'resnet18'"):
        ClassifierTraining.model_validate({"model": "resnet19"})
