"""Runs and translators of every file format since the first stable one still load (docs/stability.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdtranslate import Translator
from mdtranslate.cli.main import main
from mdtranslate.utils import json_metadata

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("format-*"))
EDIT = {"hair": "Blond_Hair"}


def test_every_format_has_a_fixture() -> None:
    assert [folder.name for folder in FIXTURES] == [f"format-{number}" for number in range(2, json_metadata.FORMAT + 1)]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda folder: folder.name)
def test_its_translator_translates_as_it_did(fixture: Path) -> None:
    translator = Translator.load(fixture / "run" / "translator", device="cpu")
    translated = np.asarray(translator(fixture / "image.png", **EDIT)).astype(int)
    expected = np.asarray(Image.open(fixture / "translated.png")).astype(int)
    assert np.abs(translated - expected).max() <= 1  # Processors round differently.
    assert np.abs(translated - np.asarray(Image.open(fixture / "image.png")).astype(int)).mean() > 1


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda folder: folder.name)
def test_its_run_is_resumed(fixture: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fixture / "run", run)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(run), "train.steps=32", "--device", "cpu"])
    assert ended.value.code in (0, None)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [8, 16, 24, 32]
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["000024", "000032"]
