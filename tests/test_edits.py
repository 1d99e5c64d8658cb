"""Edits of attributes that several datasets share."""

from __future__ import annotations

import pytest
from mdtranslate_stargan.mask_vector import MaskVector

from mdtranslate.api import Attribute
from mdtranslate.errors import RecipeError
from mdtranslate.inference.edit_parser import EditParser

TWO = {
    "celeba": [Attribute("Male"), Attribute("Young")],
    "rafd": [Attribute("mood", ("sad", "happy")), Attribute("Male")],
}


def parser(**settings: object) -> EditParser:
    return EditParser(MaskVector(MaskVector.Config(**settings), attributes=TWO))


def test_a_shared_attribute_needs_no_dataset_before_it_and_takes_one() -> None:
    edits = parser(shared=["Male"])
    assert list(edits.values_by_name()) == ["Male", "Young", "mood"]
    assert edits.parse({"Male": "yes"}) == edits.parse({"celeba.Male": True}) == {0: {"Male": True}}
    assert edits.parse({"rafd.Male": "yes"}) == edits.parse({"Male": "yes"}, "rafd") == {1: {"Male": True}}
    assert edits.parse({"Male": "yes", "mood": "sad"}) == {1: {"mood": "sad", "Male": True}}, "in one pass"
    with pytest.raises(RecipeError, match=r"Male"):
        edits.parse({"celeba.Male": "yes", "rafd.Male": "no"})
    assert edits.format_edit(1, {"Male": True}) == "Male=yes"
    with pytest.raises(RecipeError, match=r"celeba\.Male or rafd\.Male"):
        parser().parse({"Male": "yes"})
