"""Every model that ships with mdtranslate: complete, small, and of use without a network or a home directory."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hatchling.builders.wheel import WheelBuilder

from mdtranslate import Translator
from mdtranslate.config.manifest import LICENCE, MODEL_CARD, read_manifest
from mdtranslate.config.registry import registry
from mdtranslate.config.shipped_models import shipped_model
from mdtranslate.serve.demo import Demo
from mdtranslate.sharing.verification import verify
from mdtranslate.utils.image_io import read_image

ROOT = Path(__file__).parents[1]
MODELS = {
    name: registry().model(name) for name in registry().names("model") if registry().owner("model", name).is_builtin
}
MAX_BYTES = 6_000_000
"""Largest size of all models together in the wheel."""


def test_there_are_some() -> None:
    assert "avatars-64" in MODELS and all(folder.is_relative_to(ROOT) for folder in MODELS.values())


@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_was_pushed(name: str) -> None:
    verify(MODELS[name], name)
    assert not shipped_model(name).error


@pytest.mark.parametrize("name", MODELS)
def test_it_translates(name: str) -> None:
    translator = Translator.load(name)
    image = read_image(ROOT / "docs" / "images" / "portrait.png")
    original = translator.generator_input(image)
    edits = translator.all_edits(image)
    assert len(edits) >= 5
    changes = [np.abs(np.asarray(edit).astype(int) - original).mean() for edit in edits.values()]
    assert max(changes) > 2, "grey levels"


@pytest.mark.parametrize("name", MODELS)
def test_it_is_compact(name: str) -> None:
    weights = safetensors.torch.load_file(MODELS[name] / "translator" / "weights.safetensors")
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    changes = Translator.load(name).trained["compact"]
    assert changes["max_difference"] <= 2
    for dataset, shares in changes["accuracy"].items():
        for attribute, share in shares.items():
            assert share > changes["discriminator_accuracy"][dataset][attribute] - 0.03, attribute


def test_they_are_small() -> None:
    files = [file for folder in MODELS.values() for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MAX_BYTES


@pytest.mark.parametrize("name", MODELS)
def test_its_card_is_complete(name: str) -> None:
    card, manifest = (MODELS[name] / MODEL_CARD).read_text("utf-8"), read_manifest(MODELS[name])
    sections = dict(zip(*[iter(re.split(r"^## (.*)$", card, flags=re.MULTILINE)[1:])] * 2, strict=True))
    for title in ("Intended use", "Bias of the labels", "Evaluation", "Compact weights", "Training", "Data and terms"):
        assert len(sections[title].split()) > 20, title
    assert "not evaluated" not in card and re.search(r"\d% \| \d", sections["Evaluation"])
    assert "Recipe `" in sections["Training"] and "steps." in sections["Training"]
    for value in Translator.load(name).trained["plugins"]:
        assert value
    weights = manifest.files["translator/weights.safetensors"].sha256
    assert weights in sections["Training"]
    assert set(re.findall(r"^## (.*)$", manifest.notes, re.MULTILINE)) >= {"Intended use", "Bias of the labels"}
    is_of_people = any(dataset != "avatars" for dataset in shipped_model(name).datasets)
    assert bool(manifest.terms) == is_of_people == (LICENCE in manifest.files)
    assert ("Terms of this model" if is_of_people else "Licence of this model: mit") in sections["Data and terms"]


@pytest.mark.parametrize("name", MODELS)
def test_the_demo_shows_its_figures_and_images_of_datasets_without_files(name: str) -> None:
    demo = Demo(Translator.load(name), MODELS[name])
    assert demo.info["evaluations"] and not demo.info["note"]
    if shipped_model(name).datasets == ["avatars"]:
        assert len(demo.samples) == 8 and not demo.missing_samples


def test_all_files_are_in_the_wheel(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if "/models/" in name}
    expected = {
        file.relative_to(ROOT / "plugins").as_posix(): file.read_bytes()
        for folder in MODELS.values()
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert packed == expected


def test_a_newcomer_without_a_home_directory_translates_at_once(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is downloaded, cached or written but the translations."""
    program = (
        "import os, socket, sys\n"
        "os.environ.pop('HOME', None); os.environ.pop('XDG_CACHE_HOME', None)\n"
        "def fail(*_, **__): raise AssertionError('the network')\n"
        "socket.socket.connect = socket.getaddrinfo = fail\n"
        "from mdtranslate.cli.main import main\nmain(sys.argv[1:])\n"
    )
    done = command("translate", "avatars-64", str(ROOT / "docs/images/portrait.png"), "--all", start=("-c", program))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and "6 images written to translated" in done.stdout
    assert not (tmp_path / "cache").exists()
