"""A dataset of 12-bit scans, from its files to a translation: the range belongs to the dataset and the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import mdtranslate

from mdtranslate import Translator

SMALL = [
    *("generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"),
    *("data.image_size=32", "data.batch_size=4", "data.workers=0", "train.steps=2", "train.validate_every=0"),
]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for domain, low in (("T1", 500), ("T2", 2_500)):
        (tmp_path / "scans" / domain).mkdir(parents=True)
        for number in range(12):
            values = draw.integers(low, low + 1_500, (32, 32)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / "scans" / domain / f"{number}.png")
    return tmp_path


def table(**settings: str) -> str:
    options = "".join(f", {key}={value}" for key, value in settings.items())
    return f'datasets={{mri={{name="folder", root="scans"{options}}}}}'


def test_run_on_12_bit_scans(scans: Path) -> None:
    plain = mdtranslate("run", "stargan", table(), *SMALL, "--out", "plain", cwd=scans)
    assert plain.returncode == 0 and "datasets.mri.range=[0, 4095]" in plain.stderr
    ranged = mdtranslate("run", "stargan", table(range="[0, 4095]"), *SMALL, "--out", "run", cwd=scans)
    assert ranged.returncode == 0 and "range" not in ranged.stderr

    translator = Translator.load(scans / "run")
    pixels = translator.prepare_image(scans / "scans/T1/0.png").generator_input("mri")
    assert abs(pixels.mean() - 255 * 1_250 / 4_095) < 4
    assert translator.ranges == {"mri": (0, 4095)}

    again = mdtranslate("run", "run", "train.steps=3", "datasets.mri.range=[0, 4095]", cwd=scans)
    assert again.returncode == 0, again.stderr
    other = mdtranslate("run", "run", "train.steps=4", "datasets.mri.range=[0, 3000]", cwd=scans)
    assert other.returncode == 65 and "dataset mri" in other.stderr, "the content decides"

    done = mdtranslate("translate", "run", "scans/T1/0.png", "--set", "domain=T2", "--out", "out", cwd=scans)
    assert done.returncode == 0, done.stderr
    report = mdtranslate("doctor", "stargan", table(), *SMALL, "--json", cwd=scans)
    kinds = {each["kind"]: each for each in json.loads(report.stdout)["findings"]}
    assert len(kinds["little-range"]["files"]) > 10
