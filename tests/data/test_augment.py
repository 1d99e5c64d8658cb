"""Augmentation: seeded per image, errors that name the transform, and reproducible batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import mdtranslate
from test_batches import batches, toys

from mdtranslate.data.augment import Augment
from mdtranslate.errors import RecipeError

JITTER = {"name": "ColorJitter", "brightness": [0.5, 1.5], "p": 1.0}


def image_records(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)


def test_augmentation_depends_on_image_and_seed_alone() -> None:
    augment = Augment.build([JITTER, {"name": "GaussNoise", "p": 0.5}], 16)
    assert augment is not None and Augment.build([], 16) is None
    shown, seeds = image_records(), np.array([1, 2, 3, 1], np.uint32)
    made = augment(shown, seeds)
    assert made.dtype == np.uint8 and made.shape == shown.shape
    assert not any(np.array_equal(a, b) for a, b in zip(made, shown, strict=True))
    assert np.array_equal(augment(shown[::-1], seeds[::-1])[::-1], made)
    again = Augment.build([JITTER, {"name": "GaussNoise", "p": 0.5}], 16)
    assert np.array_equal(again(shown[2:3], seeds[2:3])[0], made[2])
    same = augment(np.repeat(shown[:1], 2, axis=0), np.array([5, 6], np.uint32))
    assert not np.array_equal(*same)


def test_augmented_batch_is_a_function_of_the_step() -> None:
    plain, one, other = (batches([toys(12)]) for _ in range(3))
    one.augment, other.augment = Augment.build([JITTER], 16), Augment.build([JITTER], 16)
    first = one(3).real
    one(4)
    assert np.array_equal(other(3).real, first) and np.array_equal(one(3).real, first)
    assert not np.array_equal(plain(3).real, first)
    assert np.array_equal(plain(3).target, one(3).target), "what else is drawn stays as it was"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"p": 0.5}, r"^data\.augment\[0\]: has no name"),
        ({"name": "ColorJiter"}, r"albumentations has no transform 'ColorJiter'; did you mean 'ColorJitter'\?$"),
        ({"name": "__version__"}, "has no transform '__version__'; its documentation lists them$"),
        ({"name": "ColorJitter", "brigthness": 0.2}, "ColorJitter refuses its arguments: .*brigthness"),
        ({"name": "ColorJitter", "p": 2}, "ColorJitter refuses its arguments: "),
    ],
)
def test_unknown_transforms_and_arguments_are_refused(table: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Augment.build([table], 16)
    assert "\n" not in str(caught.value)


def test_transforms_are_drawn_independently() -> None:
    """Twice a flip with p = 0.5: each of the four outcomes a quarter of the time, as two coins have it."""
    flips = Augment.build([{"name": "HorizontalFlip", "p": 0.5}, {"name": "VerticalFlip", "p": 0.5}], 8)
    shown = image_records(1)[:, :8, :8]
    made = flips(np.repeat(shown, 400, axis=0), np.arange(400, dtype=np.uint32))
    outcomes = [shown[0][::rows, ::columns] for rows in (1, -1) for columns in (1, -1)]
    counts = [sum(np.array_equal(each, outcome) for each in made) for outcome in outcomes]
    assert sum(counts) == 400 and all(70 < count < 130 for count in counts), counts


def test_transform_that_changes_the_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Augment.build([{"name": "HorizontalFlip", "p": 1.0}], 16)
    with monkeypatch.context() as patch:  # What passes the trial and fails later names its key, too.
        patch.setattr(type(late.compose), "__call__", lambda self, **image: 1 / 0)
        with pytest.raises(RecipeError, match=r"^data\.augment .* 16 pixels: division by zero$"):
            late(image_records(), np.arange(4, dtype=np.uint32))
    with pytest.raises(RecipeError, match=r"^data\.augment\[0\]: Resize .*uint8 \[16, 16, 3\] .*uint8 \[8, 8, 3\]"):
        Augment.build([{"name": "Resize", "height": 8, "width": 8}], 16)
    with pytest.raises(RecipeError, match="16 pixels: "):
        Augment.build([{"name": "RandomCrop", "height": 64, "width": 64}], 16)


def test_augmentation_trains_and_is_recorded(tmp_path: Path) -> None:
    settings = [f"datasets.avatars.{split}=8" for split in ("train", "val", "test")]
    tiny = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "data.image_size=32"]
    settings += [*tiny, "discriminator.layers=4", "data.batch_size=4", "train.steps=4", "train.save_every=2"]
    augment = 'data.augment=[{name="ColorJitter", hue=[-0.1, 0.1], p=0.5}]'
    done = mdtranslate("run", "stargan", *settings, augment, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ColorJitter" in (tmp_path / "run" / "recipe.toml").read_text()
    done = mdtranslate("run", "run", "train.steps=6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = mdtranslate("run", "stargan", "--dry-run", augment, cwd=tmp_path)
    assert augment.replace(" ", "") in done.stdout.replace(" ", "")
    done = mdtranslate("run", "stargan", *settings, augment.replace("Jitter", "Jiter"), "--out", "x", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'ColorJitter'?" in done.stderr
