"""The dataset `avatars`: reproducible portraits with exact labels and counterfactuals."""

from __future__ import annotations

import hashlib
import pickle
import re
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from mdtranslate_avatars import draw, parts
from mdtranslate_avatars.dataset import Avatars
from numpy.typing import NDArray

from mdtranslate.api.dataset import Record, Split

SMALL = {"train": 40, "val": 20, "test": 20}
EVERY_VALUE = [(attribute.name, value) for attribute in parts.ATTRIBUTES for value in attribute.allowed_values]


def avatars(**settings: Any) -> Avatars:
    return Avatars(Avatars.Config(**{**SMALL, **settings}))


def digest(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def changed(one: NDArray[np.uint8], other: NDArray[np.uint8], by: int = 24) -> NDArray[np.bool_]:
    """Returns where two images differ by more than `by` grey levels, `(H, W)`."""
    return np.abs(one.astype(int) - other.astype(int)).max(axis=2) > by


def face(index: int = 0, **attributes: Any) -> draw.Portrait:
    portrait = draw.sample_portrait(0, index)
    return replace(portrait, attributes={**portrait.attributes, **attributes})


PLAIN_FACE = {
    "hair": "Brown_Hair",
    "Eyeglasses": False,
    "Facial_Hair": False,
    "skin": "Light_Skin",
    "expression": "neutral",
}


# Reproducibility.


def test_images_are_uint8_rgb_of_the_size_setting() -> None:
    for size in (32, 100):
        dataset = avatars(size=size)
        image = dataset.load(next(iter(dataset.records(Split.TRAIN))))
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8


def test_images_are_the_same_in_another_process_and_after_pickling() -> None:
    dataset = avatars(size=64)
    records = list(dataset.records(Split.TEST))[:3]
    digests = [digest(dataset.load(record)) for record in records]
    code = (
        "import hashlib; from mdtranslate_avatars.dataset import Avatars\n"
        "d = Avatars(Avatars.Config(train=1, val=1, test=3, size=64))\n"
        "print([hashlib.sha256(d.load(r).tobytes()).hexdigest() for r in d.records('test')])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == str(digests)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [digest(copy.load(record)) for record in records] == digests
    assert len(set(digests)) == 3


def test_images_depend_on_the_seed_but_not_on_counts() -> None:
    few, many = avatars(train=3), avatars(train=2000)
    assert list(few.records(Split.TRAIN)) == list(many.records(Split.TRAIN))[:3]
    assert len(list(many.records(Split.TRAIN))) == 2000
    assert few.version == many.version
    other = avatars(seed=1)
    assert all((few.load(r) != other.load(r)).any() for r in few.records(Split.TRAIN))


def test_the_version_depends_on_seed_and_size() -> None:
    assert len({avatars().version, avatars(seed=1).version, avatars(size=64).version}) == 3


def test_portraits_are_pinned() -> None:
    # If this changes, change draw.VERSION, too: otherwise stale cached images would be used.
    assert draw.VERSION == "1"
    portraits = repr([draw.sample_portrait(7, index) for index in range(12_000, 12_100)])
    assert hashlib.sha256(portraits.encode()).hexdigest()[:16] == "7c83bdae62906486"


# Labels.


def test_records_have_all_attributes_of_their_portrait() -> None:
    dataset = avatars()
    for split, first in zip(Split, (0, 10**8, 2 * 10**8), strict=True):
        for number, record in enumerate(dataset.records(split)):
            assert record.attributes == draw.sample_portrait(0, first + number).attributes
            assert list(record.attributes) == [attribute.name for attribute in dataset.attributes]
            assert all(attribute.index(record.attributes[attribute.name]) >= 0 for attribute in dataset.attributes)


def test_values_are_uniform_and_independent() -> None:
    records = list(avatars(train=3000).records(Split.TRAIN))
    for attribute in parts.ATTRIBUTES:
        counts = Counter(record.attributes[attribute.name] for record in records)
        assert set(counts) == set(attribute.allowed_values)
        expected = len(records) / len(attribute.allowed_values)
        assert all(0.8 * expected < count < 1.2 * expected for count in counts.values())
    for one, other in combinations(parts.ATTRIBUTES, 2):
        pairs = Counter((record.attributes[one.name], record.attributes[other.name]) for record in records)
        expected = len(records) / len(one.allowed_values) / len(other.allowed_values)
        assert len(pairs) == len(one.allowed_values) * len(other.allowed_values)
        assert all(0.6 * expected < count < 1.4 * expected for count in pairs.values())


def test_unlabelled_parts_are_independent_of_attributes() -> None:
    portraits = [draw.sample_portrait(0, index) for index in range(1500)]
    for name, value in EVERY_VALUE:
        same = [portrait for portrait in portraits if portrait.attributes[name] == value]
        assert {portrait.cut for portrait in same} == set(parts.CUTS)
        assert {portrait.glasses for portrait in same} == set(parts.GLASSES)
        assert {portrait.beard for portrait in same} == set(parts.BEARDS)
        assert {portrait.clothes for portrait in same} == set(parts.CLOTHES)
        assert len({portrait.background for portrait in same}) > 50
        assert np.ptp([portrait.shift_x for portrait in same]) > draw.SHIFT
        assert np.ptp([portrait.side for portrait in same]) > draw.SIDE * draw.ZOOM


def test_splits_share_no_keys_and_no_images() -> None:
    dataset = avatars()
    keys = {split: {record.key for record in dataset.records(split)} for split in Split}
    images = {split: {digest(dataset.load(record)) for record in dataset.records(split)} for split in Split}
    for one, other in combinations(Split, 2):
        assert not keys[one] & keys[other]
        assert not images[one] & images[other]
    assert [len(images[split]) for split in Split] == [40, 20, 20]


# Counterfactuals.


@pytest.mark.parametrize(("name", "value"), EVERY_VALUE)
def test_a_counterfactual_differs_in_that_attribute_only(name: str, value: Any) -> None:
    dataset = avatars(size=64)
    for record in list(dataset.records(Split.TEST))[:4]:
        other = dataset.counterfactual(record, {name: value})
        assert other.attributes == {**record.attributes, name: value}
        same = record.attributes[name] == value
        assert (other == record) is same
        assert (dataset.load(other) == dataset.load(record)).all() == same
        back = dataset.counterfactual(other, {name: record.attributes[name]})
        assert back == record


def test_the_key_of_a_counterfactual_gives_its_image() -> None:
    dataset = avatars(size=64)
    record = next(iter(dataset.records(Split.VAL)))
    color = next(value for value in parts.HAIR if value != record.attributes["hair"])
    other = dataset.counterfactual(record, {"hair": color, "Eyeglasses": not record.attributes["Eyeglasses"]})
    answer = "no" if record.attributes["Eyeglasses"] else "yes"
    assert other.key == f"val/000000?hair={color}&Eyeglasses={answer}"
    portrait = replace(draw.sample_portrait(0, 10**8), attributes=other.attributes)
    assert (dataset.load(other) == draw.render(portrait, 64)).all()


def test_a_record_without_attributes_has_those_of_its_key() -> None:
    dataset = avatars(size=64)
    record = next(iter(dataset.records(Split.TRAIN)))
    assert (dataset.load(Record(record.key)) == dataset.load(record)).all()


@pytest.mark.parametrize("attributes", [{"Male": True}, {"hair": "Grey_Hair"}, {"hair": None}, {"Eyeglasses": "yes"}])
def test_invalid_attributes_are_refused(attributes: Any) -> None:
    dataset = avatars()
    record = next(iter(dataset.records(Split.TRAIN)))
    with pytest.raises(ValueError, match=next(iter(attributes))):
        dataset.counterfactual(record, attributes)
    with pytest.raises(ValueError, match=next(iter(attributes))):
        dataset.load(Record(record.key, None, attributes))


@pytest.mark.parametrize("key", ["", "train", "other/000001", "train/-00001", "train/000000001", "../train/000001"])
def test_invalid_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        avatars().load(Record(key))


# Visibility.


@pytest.mark.parametrize("cut", parts.CUTS, ids=lambda cut: cut.name)
def test_every_haircut_shows_hair_colour_glasses_and_beard(cut: Any) -> None:
    plain = replace(face(3, **PLAIN_FACE), cut=cut)

    def shown(**attributes: Any) -> NDArray[np.uint8]:
        return draw.render(replace(plain, attributes={**PLAIN_FACE, **attributes}), 64)

    for one, other in combinations(parts.HAIR, 2):
        assert changed(shown(hair=one), shown(hair=other)).mean() > 0.03
    assert changed(shown(), shown(Eyeglasses=True)).mean() > 0.01
    assert changed(shown(), shown(Facial_Hair=True)).mean() > 0.01


@pytest.mark.parametrize("skin", parts.SKIN)
@pytest.mark.parametrize("hair", parts.HAIR)
def test_every_beard_is_visible_on_every_skin(skin: str, hair: str) -> None:
    shaven = face(3, **{**PLAIN_FACE, "skin": skin, "hair": hair})
    image = draw.render(shaven, 64)
    for beard in parts.BEARDS:
        bearded = replace(shaven, beard=beard, attributes={**shaven.attributes, "Facial_Hair": True})
        assert changed(image, draw.render(bearded, 64)).mean() > 0.008


@pytest.mark.parametrize("skin", parts.SKIN)
@pytest.mark.parametrize("bearded", [False, True])
def test_expressions_differ_visibly(skin: str, bearded: bool) -> None:
    attributes = {**PLAIN_FACE, "skin": skin, "Facial_Hair": bearded}
    images = {name: draw.render(face(1, **{**attributes, "expression": name}), 128) for name in parts.EXPRESSIONS}
    assert len(images) == 8
    for one, other in combinations(images, 2):
        assert changed(images[one], images[other]).sum() > 250, (one, other)


def test_expressions_share_at_most_one_of_three_parts() -> None:
    for one, other in combinations(parts.EXPRESSIONS.values(), 2):
        assert sum(a is b for a, b in zip(one, other, strict=True)) <= 1


def test_glasses_only_change_the_middle_of_the_face() -> None:
    for index in range(8):
        without, with_them = (draw.render(face(index, Eyeglasses=value), 128) for value in (False, True))
        rows = np.flatnonzero((without != with_them).any(axis=(1, 2)))
        assert rows.size > 10
        assert rows.min() > 30
        assert rows.max() < 100


def test_the_background_does_not_depend_on_attributes() -> None:
    for index in range(8):
        corners = [
            draw.render(replace(face(index, **{name: value}), cut=parts.CUTS[2]), 128)[:6, [0, -1]]
            for name, value in EVERY_VALUE
        ]
        assert all((corner == corners[0]).all() for corner in corners)


def test_replacing_masks_gives_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    portraits = [draw.sample_portrait(0, index) for index in range(20)]
    images = np.stack([draw.render(portrait, 128) for portrait in portraits]).astype(int)
    drawings = [draw.to_svg(portrait) for portrait in portraits]
    monkeypatch.setattr(draw, "_replace_masks", lambda content: content)
    assert all(len(short) < len(draw.to_svg(portrait)) for short, portrait in zip(drawings, portraits, strict=True))
    masked_images = np.stack([draw.render(portrait, 128) for portrait in portraits]).astype(int)
    difference = np.abs(images - masked_images)
    # With masks, each coloured shape has a dark fringe that is a fraction of a pixel wide.
    assert difference.mean() < 1
    assert (difference.max(axis=3) > 32).mean() < 0.02


# Dependencies.


def test_no_connection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    dataset = avatars(size=32)
    assert dataset.load(next(iter(dataset.records(Split.TRAIN)))).any()


def test_listing_imports_no_libraries_and_rendering_no_torch() -> None:
    code = (
        "import sys, mdtranslate_avatars as plugin\n"
        "assert plugin.register_datasets() == {'avatars': 'mdtranslate_avatars.dataset:Avatars'}\n"
        "assert not {'torch', 'python_avatars', 'resvg_py', 'PIL'} & set(sys.modules), 'listing'\n"
        "import mdtranslate_avatars.dataset\n"
        "assert 'torch' not in sys.modules, 'rendering'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_artist_is_credited() -> None:
    assert "Pablo Stanley" in (avatars().credit or "")
    assert "python-avatars" in (avatars().credit or "")
