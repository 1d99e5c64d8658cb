"""Looks of the drawn portraits: the same person as another camera has it, for models that learn from several sets."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from mdtranslate_avatars.dataset import Avatars
from pydantic import ValidationError

from mdtranslate.api.dataset import Split


def avatars(**settings: Any) -> Avatars:
    return Avatars(Avatars.Config(train=40, val=20, test=20, **settings))


def test_a_look_changes_the_picture_and_not_the_person() -> None:
    plain, film = avatars(), avatars(look="film")
    people = list(plain.records(Split.TRAIN))
    assert people == list(film.records(Split.TRAIN))
    assert plain.version != film.version
    grounds, blue = set(), []
    for person in people[:12]:
        drawn, developed = plain.load(person).astype(int), film.load(person).astype(int)
        assert developed.shape == drawn.shape and np.array_equal(developed, film.load(person))
        grounds.add(tuple(developed[2:14, 2:14].mean((0, 1)).round(-1)))
        # The face stays where it is: what is dark in the one is dark in the other.
        face = np.s_[48:96, 40:88]
        grey = [each[face].mean(2).ravel() for each in (drawn, developed)]
        assert np.corrcoef(*grey)[0, 1] > 0.8
        blue.append([each[face][..., 2].mean() / each[face].mean() for each in (drawn, developed)])
    assert np.subtract(*np.mean(blue, 0)) > 0.05  # Tinted: less blue.
    assert len(grounds) < 4  # One ground, seen through the hair here and there.


def test_the_grain_is_the_pictures_own_and_an_edit_keeps_it() -> None:
    film = avatars(look="film")
    one, two = list(film.records(Split.TEST))[:2]
    corner = np.s_[:10, :10]
    after = film.counterfactual(one, {"expression": "sad" if one.attributes["expression"] != "sad" else "happy"})
    before, edited = film.load(one), film.load(after)
    assert np.array_equal(before[corner], edited[corner]) and not np.array_equal(before, edited)
    grain = [film.load(each)[corner].astype(float) for each in (one, two)]
    assert grain[0].std() > 3
    assert abs(np.corrcoef(*(each[..., 0].ravel() - each[..., 0].mean() for each in grain))[0, 1]) < 0.5


def test_the_pixels_of_a_look_are_pinned() -> None:
    film = avatars(look="film", size=32)
    flat = np.full((4, 4, 3), 200, np.uint8)
    from mdtranslate_avatars.styles import LOOKS

    assert hashlib.sha256(LOOKS["film"].develop(flat, 0, 7).tobytes()).hexdigest()[:16] == "7eb9f84deb35e2f7"
    assert film.version.endswith("-size32-film")
    with pytest.raises(ValidationError, match="'plain' or 'film'"):
        avatars(look="sepia")
