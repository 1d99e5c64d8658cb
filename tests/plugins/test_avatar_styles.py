"""Styles of the dataset `avatars`."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from mdtranslate_avatars.dataset import Avatars
from mdtranslate_avatars.styles import STYLES
from pydantic import ValidationError

from mdtranslate.api.dataset import Split


def avatars(**settings: Any) -> Avatars:
    return Avatars(Avatars.Config(train=40, val=20, test=20, **settings))


def test_a_style_changes_the_image_and_not_the_person() -> None:
    plain, film = avatars(), avatars(style="film")
    people = list(plain.records(Split.TRAIN))
    assert people == list(film.records(Split.TRAIN))
    assert plain.version != film.version
    backgrounds, blue = set(), []
    for person in people[:12]:
        original, processed = plain.load(person).astype(int), film.load(person).astype(int)
        assert processed.shape == original.shape and np.array_equal(processed, film.load(person))
        backgrounds.add(tuple(processed[2:14, 2:14].mean((0, 1)).round(-1)))
        # The face stays in place: dark regions of one image are dark in the other.
        face = np.s_[48:96, 40:88]
        grey = [image[face].mean(2).ravel() for image in (original, processed)]
        assert np.corrcoef(*grey)[0, 1] > 0.8
        blue.append([image[face][..., 2].mean() / image[face].mean() for image in (original, processed)])
    assert np.subtract(*np.mean(blue, 0)) > 0.05  # Tinted: less blue.
    assert len(backgrounds) < 4  # A single background; some corners show hair.


def test_grain_is_kept_by_edits_and_differs_between_images() -> None:
    film = avatars(style="film")
    one, two = list(film.records(Split.TEST))[:2]
    corner = np.s_[:10, :10]
    after = film.counterfactual(one, {"expression": "sad" if one.attributes["expression"] != "sad" else "happy"})
    before, edited = film.load(one), film.load(after)
    assert np.array_equal(before[corner], edited[corner]) and not np.array_equal(before, edited)
    grain = [film.load(record)[corner].astype(float) for record in (one, two)]
    assert grain[0].std() > 3
    assert abs(np.corrcoef(*(noise[..., 0].ravel() - noise[..., 0].mean() for noise in grain))[0, 1]) < 0.5


def test_the_pixels_of_a_style_are_pinned() -> None:
    film = avatars(style="film", size=32)
    flat = np.full((4, 4, 3), 200, np.uint8)
    assert hashlib.sha256(STYLES["film"].process(flat, 0, 7).tobytes()).hexdigest()[:16] == "7eb9f84deb35e2f7"
    assert film.version.endswith("-size32-film")
    with pytest.raises(ValidationError, match="'plain' or 'film'"):
        avatars(style="sepia")
