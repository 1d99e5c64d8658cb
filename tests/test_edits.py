"""What people write of attributes that several datasets share."""

from __future__ import annotations

import pytest
from mdtranslate_stargan.mask_vector import MaskVector

from mdtranslate.api import Attribute
from mdtranslate.errors import RecipeError
from mdtranslate.inference.edit_parser import Edits

TWO = {
    "celeba": [Attribute("Male"), Attribute("Young")],
    "rafd": [Attribute("mood", ("sad", "happy")), Attribute("Male")],
}


def edits(**settings: object) -> Edits:
    return Edits(MaskVector(MaskVector.Config(**settings), attributes=TWO))


def test_a_shared_attribute_needs_no_dataset_before_it_and_takes_one() -> None:
    words = edits(shared=["Male"])
    assert list(words.table()) == ["Male", "Young", "mood"]
    assert words.read({"Male": "yes"}) == words.read({"celeba.Male": True}) == {0: {"Male": True}}
    assert words.read({"rafd.Male": "yes"}) == words.read({"Male": "yes"}, "rafd") == {1: {"Male": True}}
    assert words.read({"Male": "yes", "mood": "sad"}) == {1: {"mood": "sad", "Male": True}}, "in one pass"
    with pytest.raises(RecipeError, match=r"Male is given twice"):
        words.read({"celeba.Male": "yes", "rafd.Male": "no"})
    assert words.write(1, {"Male": True}) == "Male=yes"
    with pytest.raises(RecipeError, match=r"celeba\.Male and rafd\.Male"):
        edits().read({"Male": "yes"})
