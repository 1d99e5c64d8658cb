"""A translator on images: files, sizes, edits of one dataset and of two."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import BOTH, tiny_translator
from translators import SOURCE, RecordingGenerator, labels, random_image, translator_with

from mdtranslate import Crop
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.transforms import CropAndResize
from mdtranslate.errors import DataError, RecipeError


def test_an_image_is_translated_like_its_tensor(translator):
    pixels = random_image(30, 50)
    translated = translator(pixels, source=SOURCE, hair="Blond_Hair", Eyeglasses=True)
    small = normalise(torch.from_numpy(CropAndResize(Crop(), 16)(pixels))[None])
    target = labels(translator, {"hair": "Blond_Hair", "Eyeglasses": True, "Male": True})
    expected = to_pixels(translator.translate(small, labels(translator, SOURCE), target))[0]
    assert np.array_equal(np.asarray(translated), expected)


def test_the_crop_is_that_of_the_dataset():
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    pixels = random_image(30, 50)
    assert np.array_equal(translator.generator_input(pixels), CropAndResize(Crop(), 16)(pixels[5:25, 15:35]))
    assert np.array_equal(translator.generator_input(pixels, dataset="rafd"), CropAndResize(Crop(), 16)(pixels))
    assert np.array_equal(translator.generator_input(pixels, size="native"), pixels)


def test_native_keeps_the_size_and_all_edits_equal_single_calls(translator):
    pixels = random_image(21, 34)
    every = translator.all_edits(pixels, source=SOURCE, size="native")
    assert list(every) == ["hair=Black_Hair", "hair=Blond_Hair", "Eyeglasses=yes", "Male=no"]
    for text, translated in every.items():
        name, _, value = text.partition("=")
        alone = translator(pixels, source=SOURCE, size="native", edits={name: value})
        assert translated.size == alone.size == (34, 21)
        assert (
            np.abs(np.asarray(translated, int) - np.asarray(alone, int)).max() <= 1
        )  # Batched sums may round otherwise.


def test_large_images_are_split_over_batches():
    probe = RecordingGenerator()
    translator = translator_with(generator=probe)
    every = translator.all_edits(random_image(64, 64), source=SOURCE, size="native")
    assert [len(shown) for shown in probe.inputs] == [2, 2]
    assert len(every) == 4


def test_files_images_and_arrays_give_the_same_result(tmp_path, translator):
    pixels = random_image(20, 20)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    translated = [translator(each, Male=True).tobytes() for each in (file, str(file), Image.open(file), pixels)]
    assert len(set(translated)) == 1
    grey = Image.fromarray(pixels).convert("LA")
    assert translator(grey, Male=True).mode == "RGB"


@pytest.mark.parametrize(
    "bad", [5, None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)], ids=str
)
def test_arrays_that_are_not_images_are_refused(translator, bad):
    with pytest.raises(DataError, match="is not an image"):
        translator(bad, Male=True)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"hiar": "Blond_Hair"}, "did you mean 'hair'"),
        ({"hair": "Blond"}, "hair .*'Blond'.*none, Black_Hair, Blond_Hair"),
        ({"hair": True}, "hair .*True"),
        ({"Male": None}, "Male .*None.*False, True"),
        ({"celeba.hair": "none", "hair": None}, "hair is set twice"),
        ({}, r"hair=none\|Black_Hair\|Blond_Hair, Eyeglasses=no\|yes"),
    ],
)
def test_what_cannot_be_set_is_named(translator, edits, message):
    with pytest.raises(RecipeError, match=message):
        translator(random_image(), edits=edits)


def test_a_wrong_size_word_is_refused(translator):
    with pytest.raises(RecipeError, match="'native'"):
        translator(random_image(), size="huge", Male=True)


@pytest.mark.parametrize("size", [None, "native"])
def test_edits_of_two_datasets_are_applied_one_after_the_other(joint, size):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True, "mood": "angry", "rafd.Male": True}
    both = joint(random_image(24, 24), source=known, size=size, edits={"mood": "sad", "hair": "Blond_Hair"})
    rest = {name: value for name, value in known.items() if name not in ("mood", "rafd.Male")}
    first = joint(random_image(24, 24), source={"mood": "angry", "rafd.Male": True}, size=size, mood="sad")
    then = joint(np.asarray(first), source=rest, size="native", hair="Blond_Hair")
    assert both.size == ((16, 16) if size is None else (24, 24))
    assert np.array_equal(np.asarray(both), np.asarray(then))


def test_attributes_of_two_datasets_are_distinguished(joint):
    assert joint.edits() == {
        "hair": ("none", "Black_Hair", "Blond_Hair"),
        "Eyeglasses": ("no", "yes"),
        "celeba.Male": ("no", "yes"),
        "mood": ("happy", "angry", "sad"),
        "rafd.Male": ("no", "yes"),
    }
    assert joint.edit_parser.parse({"mood": "sad"}) == {1: {"mood": "sad"}}
    assert (
        joint.edit_parser.parse({"rafd.Male": "yes"})
        == joint.edit_parser.parse({"Male": True}, "rafd")
        == {1: {"Male": True}}
    )
    for call, message in [
        (lambda: joint(random_image(), Male=True), r"celeba\.Male or rafd\.Male"),
        (lambda: joint(random_image(), dataset="raft", hair=None), "did you mean 'rafd'"),
        (lambda: joint(random_image(), source={"moods": "sad"}, hair=None), "'moods': did you mean 'mood'"),
    ]:
        with pytest.raises(RecipeError, match=message):
            call()
    every = joint.all_edits(random_image(), source={"rafd.Male": "no", "celeba.Male": "yes"})
    assert [text for text in every if "Male" in text] == ["celeba.Male=no", "rafd.Male=yes"]
    assert list(joint.all_edits(random_image(), dataset="rafd"))[:3] == ["mood=happy", "mood=angry", "mood=sad"]


def test_the_crop_of_dataset_is_used_for_edits_of_another(joint):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True}
    joint.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    shown = joint.generator_input(random_image(24, 30), dataset="rafd")
    assert not np.array_equal(shown, joint.generator_input(random_image(24, 30), dataset="celeba"))
    translated = joint(random_image(24, 30), dataset="rafd", source=known, hair="Blond_Hair")
    expected = joint(shown, size="native", source=known, hair="Blond_Hair")
    assert np.array_equal(np.asarray(translated), np.asarray(expected))
    assert joint.edit_parser.parse({"celeba.Male": True, "Male": False}, "rafd") == {
        0: {"Male": True},
        1: {"Male": False},
    }
