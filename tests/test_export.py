"""Files for other programs give the translator's pictures, and say what labels mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from runs import mdtranslate

from mdtranslate import Attribute, Crop, Translator
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import resolve
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.errors import RecipeError
from mdtranslate.inference.export import Shipped, export

SMALL = ["data.image_size=32", "generator.channels=4", "generator.blocks=1", "discriminator.channels=4"]


def translator(*overrides: str) -> Translator:
    recipe = resolve("stargan", [*SMALL, "discriminator.layers=3", *overrides]).recipe
    attributes = {"toys": (Attribute("hair", ("dark", "light")), Attribute("Round"))}
    model = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=32)
    model.generator.eval().requires_grad_(False)
    return Translator(model, image_size=32, crops={"toys": Crop()}, trained={"recipe": "stargan"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    translator().save(home / "model")
    return home


def label(facts: Any, **values: str) -> Any:
    """A label as the file's own facts say that one is made."""
    own = facts["labels"]["toys"]
    made = list(own["unknown"])
    for name, value in values.items():
        for place, (known, unknown) in enumerate(zip(own["attributes"][name][value], own["unknown"], strict=True)):
            if known != unknown:
                made[place] = known
    return np.array([made], np.float32)


def test_a_file_of_onnx_makes_the_translators_pictures(saved: Path) -> None:
    done = mdtranslate("export", "model", "--to", "onnx", "--size", "free", cwd=saved)
    assert done.returncode == 0 and "read by onnxruntime: within" in done.stdout, done.stderr
    assert not done.stderr, "exporters talk to themselves"
    file = onnx.load(saved / "model.onnx")
    facts = json.loads({each.key: each.value for each in file.metadata_props}["mdtranslate"])
    sides = [dim.dim_param or dim.dim_value for dim in file.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"] and facts["sides"] == {"multiple_of": 4, "least": 8, "most": 4096}
    session = onnxruntime.InferenceSession(str(saved / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    image = (pixels.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
    before, after = label(facts, hair="dark", Round="no"), label(facts, hair="light", Round="no")
    (out,) = session.run(["translated"], {"image": image, "source": before, "target": after})
    found = np.rint((out[0].transpose(1, 2, 0) + 1) * 127.5).astype(np.int64)
    own = Translator.load(saved / "model")
    wanted = own(pixels, source={"hair": "dark", "Round": False}, hair="light", size="native")
    assert np.abs(found - np.asarray(wanted)).max() <= 1 and np.abs(found - pixels).max() > 1
    again = mdtranslate("export", "model", "--to", "onnx", cwd=saved)
    assert again.returncode == 2 and "model.onnx: is there already" in again.stderr


@pytest.mark.parametrize("generator", ["conditional-unet", "stargan-generator"])
def test_a_program_of_torch_makes_the_translators_pictures(tmp_path: Path, generator: str) -> None:
    own, file = translator(f"generator={generator}"), tmp_path / "a.pt2"
    assert "read by torch: within 0" in export(own, "torch", file, 32, None)
    extra = {"mdtranslate.json": ""}
    program = torch.export.load(str(file), extra_files=extra).module()
    facts = json.loads(extra["mdtranslate.json"])
    assert facts["size"] == 32 and facts["batch"] is None and facts["crops"]["toys"]
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    source, target = (
        torch.from_numpy(label(facts, hair=hair, Round="yes")).expand(5, -1).clone() for hair in ("dark", "light")
    )
    real = normalise(torch.from_numpy(pixels))
    wanted = to_pixels(own.translate(real, source, target))
    assert np.abs(to_pixels(program(real, source, target)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_network_down_to_one_value_is_exported_for_any_size(tmp_path: Path, kind: Any) -> None:
    recipe = resolve("pix2pix", ["data.image_size=32", "generator=unet-generator", "generator.channels=4"]).recipe
    model = Model.build(
        recipe.encoder, recipe.generator, None, attributes={"toys": (Attribute("Round"),)}, image_size=32
    )
    own = Translator(model, image_size=32, crops={"toys": Crop()})
    assert "3 pictures of 128 x 64" in export(own, kind, tmp_path / "a", None, None)


def test_a_file_is_called_as_its_run(saved: Path) -> None:
    translator().save(saved / "model-0.001")
    done = mdtranslate("export", "model-0.001", "--to", "torch", cwd=saved)
    assert done.returncode == 0 and (saved / "model-0.001.pt2").exists(), done.stderr


def test_what_no_graph_can_hold_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = resolve("diat", ["data.image_size=32", "generator.of.channels=4", "generator.of.blocks=1"]).recipe
    attributes = {"toys": (Attribute("Round"),)}
    model = Model.build(recipe.encoder, recipe.generator, None, attributes=attributes, image_size=32)
    bank = Translator(model, image_size=32, crops={"toys": Crop()})
    with pytest.raises(RecipeError, match="generator 'per-target' cannot be exported: no graph can hold it") as caught:
        export(bank, "torch", tmp_path / "a.pt2", 32, None)
    assert "\n" not in str(caught.value) and capfd.readouterr().err == "", "torch prints the graph that failed"
    for size in (30, 4):
        with pytest.raises(RecipeError, match=f"--size {size}: sides must be multiples of 4 from 8 on"):
            export(translator(), "torch", tmp_path / "a.pt2", size, 1)
    monkeypatch.setattr(Shipped, "forward", lambda self, image, source, target: image * torch.randn(1))
    with pytest.raises(RecipeError, match="grey levels from the translator's"):
        export(translator(), "torch", tmp_path / "a.pt2", 32, 1)
    assert not [*tmp_path.iterdir()], "nothing is left"
