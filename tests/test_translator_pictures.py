"""A translator on pictures: files, sizes, edits of one dataset and of two."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import BOTH, tiny_translator
from translators import SOURCE, Probe, labels, picture, with_parts

from mdtranslate import Crop
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.transforms import Preparation
from mdtranslate.errors import DataError, RecipeError


def test_a_picture_is_translated_as_its_tensor_is(translator):
    pixels = picture(30, 50)
    made = translator(pixels, source=SOURCE, hair="Blond_Hair", Eyeglasses=True)
    small = normalise(torch.from_numpy(Preparation(Crop(), 16)(pixels))[None])
    target = labels(translator, {"hair": "Blond_Hair", "Eyeglasses": True, "Male": True})
    expected = to_pixels(translator.translate(small, labels(translator, SOURCE), target))[0]
    assert np.array_equal(np.asarray(made), expected)


def test_the_crop_is_that_of_the_dataset():
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    pixels = picture(30, 50)
    assert np.array_equal(translator.prepare(pixels), Preparation(Crop(), 16)(pixels[5:25, 15:35]))
    assert np.array_equal(translator.prepare(pixels, dataset="rafd"), Preparation(Crop(), 16)(pixels))
    assert np.array_equal(translator.prepare(pixels, size="native"), pixels)


def test_native_keeps_the_size_and_every_edit_equals_its_own_call(translator):
    pixels = picture(21, 34)
    every = translator.all_edits(pixels, source=SOURCE, size="native")
    assert list(every) == ["hair=Black_Hair", "hair=Blond_Hair", "Eyeglasses=yes", "Male=no"]
    for text, made in every.items():
        name, _, value = text.partition("=")
        alone = translator(pixels, source=SOURCE, size="native", edits={name: value})
        assert made.size == alone.size == (34, 21)
        assert np.abs(np.asarray(made, int) - np.asarray(alone, int)).max() <= 1  # Batched sums may round otherwise.


def test_large_pictures_are_split_over_batches():
    probe = Probe()
    translator = with_parts(generator=probe)
    every = translator.all_edits(picture(64, 64), source=SOURCE, size="native")
    assert [len(shown) for shown in probe.shown] == [2, 2]
    assert len(every) == 4


def test_files_images_and_arrays_are_the_same_picture(tmp_path, translator):
    pixels = picture(20, 20)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    made = [translator(each, Male=True).tobytes() for each in (file, str(file), Image.open(file), pixels)]
    assert len(set(made)) == 1
    grey = Image.fromarray(pixels).convert("LA")
    assert translator(grey, Male=True).mode == "RGB"


@pytest.mark.parametrize(
    "bad", [5, None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)], ids=str
)
def test_arrays_that_are_no_pictures_are_refused(translator, bad):
    with pytest.raises(DataError, match="is no picture"):
        translator(bad, Male=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hiar": "Blond_Hair"}, "did you mean 'hair'"),
        ({"hair": "Blond"}, "'Blond' is no value of hair; it has none, Black_Hair, Blond_Hair"),
        ({"hair": True}, "True is no value of hair"),
        ({"Male": None}, "None is no value of Male; it has False, True"),
        ({"celeba.hair": "none", "hair": None}, "hair is given twice"),
        ({}, r"nothing to change; what can be set: hair=none\|Black_Hair\|Blond_Hair, Eyeglasses=no\|yes"),
    ],
)
def test_what_cannot_be_set_is_named(translator, given, message):
    with pytest.raises(RecipeError, match=message):
        translator(picture(), edits=given)


def test_a_wrong_size_word_is_refused(translator):
    with pytest.raises(RecipeError, match="'native'"):
        translator(picture(), size="huge", Male=True)


@pytest.mark.parametrize("size", [None, "native"])
def test_edits_of_two_datasets_are_made_one_after_the_other(joint, size):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True, "mood": "angry", "rafd.Male": True}
    both = joint(picture(24, 24), source=known, size=size, edits={"mood": "sad", "hair": "Blond_Hair"})
    rest = {name: value for name, value in known.items() if name not in ("mood", "rafd.Male")}
    first = joint(picture(24, 24), source={"mood": "angry", "rafd.Male": True}, size=size, mood="sad")
    then = joint(np.asarray(first), source=rest, size="native", hair="Blond_Hair")
    assert both.size == ((16, 16) if size is None else (24, 24))
    assert np.array_equal(np.asarray(both), np.asarray(then))


def test_datasets_are_told_apart(joint):
    assert joint.edits() == {
        "hair": ("none", "Black_Hair", "Blond_Hair"),
        "Eyeglasses": ("no", "yes"),
        "celeba.Male": ("no", "yes"),
        "mood": ("happy", "angry", "sad"),
        "rafd.Male": ("no", "yes"),
    }
    assert joint.words.read({"mood": "sad"}) == {1: {"mood": "sad"}}
    assert joint.words.read({"rafd.Male": "yes"}) == joint.words.read({"Male": True}, "rafd") == {1: {"Male": True}}
    for call, message in [
        (lambda: joint(picture(), Male=True), r"celeba\.Male and rafd\.Male"),
        (lambda: joint(picture(), dataset="raft", hair=None), "did you mean 'rafd'"),
        (lambda: joint(picture(), source={"moods": "sad"}, hair=None), "'moods': did you mean 'mood'"),
    ]:
        with pytest.raises(RecipeError, match=message):
            call()
    every = joint.all_edits(picture(), source={"rafd.Male": "no", "celeba.Male": "yes"})
    assert [text for text in every if "Male" in text] == ["celeba.Male=no", "rafd.Male=yes"]
    assert list(joint.all_edits(picture(), dataset="rafd"))[:3] == ["mood=happy", "mood=angry", "mood=sad"]


def test_a_picture_like_one_dataset_keeps_its_crop_for_the_edits_of_another(joint):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True}
    joint.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    shown = joint.prepare(picture(24, 30), dataset="rafd")
    assert not np.array_equal(shown, joint.prepare(picture(24, 30), dataset="celeba"))
    made = joint(picture(24, 30), dataset="rafd", source=known, hair="Blond_Hair")
    expected = joint(shown, size="native", source=known, hair="Blond_Hair")
    assert np.array_equal(np.asarray(made), np.asarray(expected))
    assert joint.words.read({"celeba.Male": True, "Male": False}, "rafd") == {0: {"Male": True}, 1: {"Male": False}}
