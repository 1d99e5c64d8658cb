"""Grids of pictures."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny import CELEBA, tiny_translator
from translators import SOURCE, ScoreOnlyDiscriminator, labels, random_image

from mdtranslate import Translator
from mdtranslate.config.model_bundle import Model
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.inference.grid import _cell_size, draw_grid, sample_grid


def cell(grid, row, column, side=96, gap=4):
    """A cell of a grid of square pictures; the rows stand at its lower end, so count from there."""
    pixels = np.asarray(grid)
    left = gap + column * (side + gap)
    return pixels[pixels.shape[0] - (row + 1) * (side + gap) :][:side, left : left + side]


def test_a_grid_shows_every_image_in_its_cell():
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    rows = np.broadcast_to(colours[:, :, None, None], (2, 2, 16, 16, 3))
    grid = draw_grid(rows, ["source", "hair=Blond_Hair"])
    for row in range(2):
        for column in range(2):
            assert (cell(grid, 1 - row, column) == colours[row, column]).all()
    assert draw_grid(rows, ["", ""], footer="Faces: nobody").height > draw_grid(rows, ["", ""]).height
    with pytest.raises(ValueError, match="1 titles for 2 columns"):
        draw_grid(rows, ["source"])


def test_long_titles_keep_to_their_columns():
    rows = np.zeros((1, 3, 96, 96, 3), np.uint8)
    titles = ["x", "W" * 60 + "=" + "W_" * 40, "x"]
    grid = np.asarray(draw_grid(rows, titles))
    top = grid[: grid.shape[0] - 104]
    dark = np.flatnonzero((top < 128).any((0, 2)))
    middle = dark[(dark > 60) & (dark < 240)]
    assert middle.min() >= 104
    assert middle.max() < 200


@pytest.mark.parametrize(
    ("size", "expected"), [((16, 16), (96, 96)), ((128, 128), (128, 128)), ((4000, 2000), (512, 256))]
)
def test_images_in_grids_are_neither_tiny_nor_huge(size, expected):
    assert _cell_size(*size) == expected


@pytest.mark.parametrize("tells", [True, False])
def test_a_sample_grid_has_a_column_per_edit_and_shows_those_of_other_datasets(joint, tells):
    if not tells:
        mute = ScoreOnlyDiscriminator(None, label_encoder=joint.label_encoder, image_size=16)
        model = Model(joint.label_encoder, joint.model.generator, mute)
        joint = Translator(model, image_size=16, crops={}, credit=joint.credit)
    images = np.stack([random_image(seed=1), random_image(seed=2)])
    rows = torch.stack(
        [joint.label_encoder.encode({**SOURCE}, 0), joint.label_encoder.encode({"mood": "sad", "Male": False}, 1)]
    )
    before = copy.deepcopy(joint.model.generator.state_dict())
    grid = sample_grid(joint, images, rows)
    # source, hair (2), Eyeglasses, Male (of both), mood (3)
    assert grid.width == 4 + 8 * 100
    in_bfloat16 = [bool((cell(grid.crop((0, 0, grid.width, _foot(grid))), 0, each) == 255).all()) for each in range(8)]
    upper = [bool((cell(grid.crop((0, 0, grid.width, _foot(grid))), 1, each) == 255).all()) for each in range(8)]
    # Without a classifier nobody knows the other dataset's labels of a picture.
    assert in_bfloat16 == [False, *[not tells] * 3, False, False, False, False]
    assert upper == [False, False, False, False, False, *[not tells] * 3]
    assert all(torch.equal(value, before[key]) for key, value in joint.model.generator.state_dict().items())


def _foot(grid):
    """Where the footer of one line begins."""
    return grid.height - 14 - 4


def test_a_sample_grid_shows_the_translations(translator):
    images = np.stack([random_image(96, 96)])
    translator = tiny_translator(CELEBA)
    grid = sample_grid(translator, images, labels(translator, SOURCE))
    body = grid.crop((0, 0, grid.width, _foot(grid)))
    assert np.array_equal(cell(body, 0, 0), images[0])
    target = labels(translator, {**SOURCE, "Male": False})
    translated = to_pixels(
        translator.translate(normalise(torch.from_numpy(images)), labels(translator, SOURCE), target)
    )[0]
    assert np.abs(cell(body, 0, 4).astype(int) - translated).max() <= 1
