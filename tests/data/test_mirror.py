"""Flips swap mirrored attribute values, in training and for the attribute classifier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from mdtranslate_stargan.rafd import RaFD

from mdtranslate import Attribute
from mdtranslate.config.schema import ClassifierTraining, Data
from mdtranslate.data.batches import Batches
from mdtranslate.data.concat import ConcatImages
from mdtranslate.data.mirrored_labels import MirroredLabels, mirrored_codes, refuse_mirroring
from mdtranslate.errors import RecipeError
from mdtranslate.evaluation.attribute_classifier import accuracy, small_network, train_classifier
from mdtranslate.evaluation.classified_attributes import LabelledImages
from mdtranslate.testing import sample_components as sample

GAZE = Attribute("gaze", ("frontal", "left", "right"), mirrored=(("left", "right"),))
GLASSES = Attribute("Eyeglasses")


def side_of(image: torch.Tensor) -> str:
    """Which half of an image [3, S, S] is bright."""
    left, right = image[0].chunk(2, dim=1)
    return "left" if left.mean() > right.mean() else "right"


def bright(side: str, size: int = 16) -> np.ndarray:
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[:, : size // 2] = 255
    return pixels if side == "left" else pixels[:, ::-1]


def test_batches_have_the_labels_of_their_images() -> None:
    label_encoder = sample.build_label_encoder({"faces": (GAZE, GLASSES)})
    known: list[dict[str, Any]] = [
        {"gaze": side, "Eyeglasses": flag} for side in ("left", "right") for flag in (True, False)
    ]
    pixels = np.stack([bright(each["gaze"]) for each in known])
    labels = torch.stack([label_encoder.encode(each, 0) for each in known])
    made = Batches([pixels], [labels], label_encoder, Data(image_size=16, batch_size=4), 0, torch.device("cpu"))
    sides = set()
    for step in range(20):
        batch = made(step)
        for image, label in zip(batch.real, batch.source, strict=True):
            assert label_encoder.decode(label)["gaze"] == side_of(image)
            sides.add(side_of(image))
    assert sides == {"left", "right"}


def test_labels_are_mirrored_with_their_image_or_not_flipped() -> None:
    label_encoder = sample.build_label_encoder({"faces": (GAZE,), "few": (replace(GAZE, values=("frontal", "left")),)})
    mirror = MirroredLabels.build(label_encoder)
    assert mirror is not None
    rows = [("left", 0), ("frontal", 0), ("left", 1), ("frontal", 1)]
    source = torch.stack([label_encoder.encode({"gaze": value}, number) for value, number in rows])
    target = source.roll(1, 0)
    (first, second), flip = mirror((source, target), np.array([True, False, True, True]))
    assert flip.tolist() == [True, False, False, False], "no image of the second dataset looks right"
    assert label_encoder.decode(first[0]) == {"gaze": "right"} and label_encoder.decode(second[0]) == {
        "gaze": "frontal"
    }
    assert torch.equal(first[1:], source[1:]) and torch.equal(second[1:], target[1:])
    assert MirroredLabels.build(sample.build_label_encoder()) is None


def test_codes() -> None:
    one_sided = replace(GAZE, name="turn", values=("frontal", "left"))
    codes = torch.tensor([[1, 0, 0], [2, 1, 1], [0, -1, -1], [-1, 0, 1]])
    swapped, possible = mirrored_codes((GAZE, GLASSES, one_sided), codes)
    assert swapped[:, :2].tolist() == [[2, 0], [1, 1], [0, -1], [-1, 0]]
    assert possible.tolist() == [True, False, True, False]


def test_classifier_learns_left_and_right_from_mirrored_images() -> None:
    sides = ["left", "right"] * 32
    noise = np.random.default_rng(0).integers(0, 60, (64, 16, 16, 3))
    pixels = (np.stack([bright(side) for side in sides]) * 0.7 + noise).astype(np.uint8)
    gaze = replace(GAZE, values=("left", "right"))
    codes = torch.tensor([[gaze.values.index(side)] for side in sides])
    examples = LabelledImages(ConcatImages([pixels]), codes, "x")
    training = ClassifierTraining(epochs=1, min_images_per_epoch=1_200, max_images_per_epoch=1_200, flip=True)  # type: ignore[call-arg]

    def reached(attribute: Attribute) -> float:
        network, _ = train_classifier(
            lambda: small_network([attribute]),
            examples,
            None,
            [attribute],
            0,
            torch.device("cpu"),
            lambda *_: None,
            training,
            "",
        )
        return accuracy(network, examples, [attribute], torch.device("cpu"))["gaze"]

    assert reached(gaze) > 0.95
    assert reached(replace(gaze, mirrored=())) < 0.9, "without the declaration half of what it is told is wrong"


def test_rafd_declares_mirrored_values() -> None:
    config = RaFD.Config(angles=("000", "045", "090", "135", "180"))  # type: ignore[call-arg]
    own = {each.name: each for each in RaFD(config).attributes}
    assert own["gaze"].mirrored_value("left") == "right" and own["gaze"].mirrored_value("frontal") == "frontal"
    assert [own["angle"].mirrored_value(each) for each in own["angle"].values] == ["180", "135", "090", "045", "000"]
    assert own["expression"].mirrored_value("happy") == "happy"


@pytest.mark.parametrize("pairs", [(("left", "left"),), (("left", "right"), ("right", "frontal"))])
def test_mirrored_values_must_be_distinct_pairs(pairs: Any) -> None:
    with pytest.raises(ValueError, match="mirrored of gaze"):
        replace(GAZE, mirrored=pairs)


def test_domain_pairs_are_mirrored_together() -> None:
    label_encoder = sample.build_label_encoder({"faces": (GAZE,)})
    sides = [side for side in GAZE.values for _ in range(4)]
    pixels = np.zeros((12, 16, 16, 3), np.uint8)
    labels = torch.stack([label_encoder.encode({"gaze": side}, 0) for side in sides])
    made = Batches(
        [pixels],
        [labels],
        label_encoder,
        Data(image_size=16, batch_size=8, targets="domain-pairs"),
        0,
        torch.device("cpu"),
    )
    for step in range(20):
        source, target = made.labels_at(step)
        ways = {
            (label_encoder.decode(one)["gaze"], label_encoder.decode(other)["gaze"])
            for one, other in zip(source, target, strict=True)
        }
        assert len(ways) == 2, "half of a step goes one way, and half the other"


def test_mirroring_transforms_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"data\.augment\[1\]: HorizontalFlip .*gaze.*data\.flip"):
        refuse_mirroring([{"name": "Blur"}, {"name": "HorizontalFlip"}], sample.build_label_encoder({"faces": (GAZE,)}))
    refuse_mirroring([{"name": "HorizontalFlip"}], sample.build_label_encoder())


def test_attributes_equal_those_without_mirrored() -> None:
    assert replace(GAZE, mirrored=()) == GAZE
