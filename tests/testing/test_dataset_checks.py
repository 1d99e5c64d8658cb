"""Each check of datasets fails on one that was made to break it, and all pass on one that was not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import bad_datasets
import bad_pictures
import numpy as np
import pytest
from bad_datasets import Good
from bad_pictures import Truths
from PIL import Image

from mdtranslate.testing import suite
from mdtranslate.testing.shapes import Shapes

DATASET = suite("dataset")
BAD = {**bad_datasets.BAD, **bad_pictures.BAD}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures of each species in each split."""
    draw = np.random.default_rng(0)
    for number, place in enumerate(f"{split}/{kind}" for split in ("train", "val", "test") for kind in ("cat", "dog")):
        (tmp_path / "pets" / place).mkdir(parents=True)
        for each in range(2):
            pixels = draw.integers(0, 256, (12, 10, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / place / f"{2 * number + each}.png")
    return tmp_path / "pets"


def test_there_is_one_for_each_check_and_they_are_many() -> None:
    assert BAD.keys() == DATASET.checks.keys()
    assert len(BAD) >= 40


@pytest.mark.parametrize("cls", [Good, Truths, Shapes])
def test_what_keeps_the_contract_passes(cls, root: Path) -> None:
    given = cls(cls.Config.model_validate({"root": root} if issubclass(cls, Good) else {}))
    found = {each.name: each for each in DATASET.results(given)}
    assert [each.text() for each in found.values() if each.state == "failed"] == []
    if cls is Truths:
        assert not [name for name, each in found.items() if each.state == "left out"]


@pytest.mark.parametrize("name", DATASET.checks)
def test_each_check_fails_on_what_breaks_it(name: str, root: Path) -> None:
    cls = BAD[name]
    if name == "config_is_a_model_of_settings":
        config = SimpleNamespace(root=root, attributes=None)
    elif "limit" in cls.Config.model_fields:
        config = cls.Config(root=root, limit=None)
    else:
        config = cls.Config(root=root)
    result = DATASET.checks[name].on(DATASET.prepare(cls(config)))
    assert result.state == "failed", result.text()
    assert result.came and "\n" not in result.came
    assert result.expected in result.text() and result.why in result.text()
