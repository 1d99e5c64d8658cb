"""Files for other programs give the translator's pictures, and say what labels mean."""

from __future__ import annotations

import json
import re
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
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.errors import RecipeError
from mdtranslate.inference.export import ExportedGenerator, export

SMALL = ["data.image_size=32", "generator.channels=4", "generator.blocks=1", "discriminator.channels=4"]


def translator(*overrides: str) -> Translator:
    recipe = resolve("stargan", [*SMALL, "discriminator.layers=3", *overrides]).recipe
    attributes = {"toys": (Attribute("hair", ("dark", "light")), Attribute("Round"))}
    model = Model.build(
        recipe.label_encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=32
    )
    model.generator.eval().requires_grad_(False)
    return Translator(model, image_size=32, crops={"toys": Crop()}, trained={"recipe": "stargan"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    translator().save(home / "model")
    return home


def label(metadata: Any, **values: str) -> Any:
    """Builds a label as the metadata of the file describes."""
    labels = metadata["labels"]["toys"]
    result = list(labels["unknown"])
    for name, value in values.items():
        for place, (known, unknown) in enumerate(
            zip(labels["attributes"][name][value], labels["unknown"], strict=True)
        ):
            if known != unknown:
                result[place] = known
    return np.array([result], np.float32)


def test_an_onnx_file_gives_the_translators_images(saved: Path) -> None:
    done = mdtranslate("export", "model", "--to", "onnx", "--size", "free", cwd=saved)
    assert done.returncode == 0 and "onnxruntime" in done.stdout, done.stderr
    assert not done.stderr, "exporters talk to themselves"
    file = onnx.load(saved / "model.onnx")
    metadata = json.loads({each.key: each.value for each in file.metadata_props}["mdtranslate"])
    sides = [dim.dim_param or dim.dim_value for dim in file.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"] and metadata["side"] == {
        "multiple_of": 4,
        "min": 8,
        "max": 4096,
    }
    session = onnxruntime.InferenceSession(str(saved / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    image = (pixels.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
    before, after = label(metadata, hair="dark", Round="no"), label(metadata, hair="light", Round="no")
    (out,) = session.run(["translated"], {"image": image, "source": before, "target": after})
    output = np.rint((out[0].transpose(1, 2, 0) + 1) * 127.5).astype(np.int64)
    loaded = Translator.load(saved / "model")
    wanted = loaded(pixels, source={"hair": "dark", "Round": False}, hair="light", size="native")
    assert np.abs(output - np.asarray(wanted)).max() <= 1 and np.abs(output - pixels).max() > 1
    again = mdtranslate("export", "model", "--to", "onnx", cwd=saved)
    assert again.returncode == 2 and "model.onnx: " in again.stderr


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        (["generator.palette=0"], 0),
        (["generator.palette=3"], 1e-4),  # Products of matrices round differently in batches of other sizes.
        (["generator=stargan-generator"], 0),
    ],
    ids=str,
)
def test_a_torch_program_gives_the_translators_images(tmp_path: Path, settings: list[str], bound: float) -> None:
    loaded, file = translator(*settings), tmp_path / "a.pt2"
    check = re.search(r"in torch: differ by at most (\S+) grey levels", export(loaded, "torch", file, 32, None))
    assert check and float(check[1]) <= bound
    extra = {"mdtranslate.json": ""}
    program = torch.export.load(str(file), extra_files=extra).module()
    metadata = json.loads(extra["mdtranslate.json"])
    assert metadata["size"] == 32 and metadata["batch"] is None and metadata["crops"]["toys"]
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    source, target = (
        torch.from_numpy(label(metadata, hair=hair, Round="yes")).expand(5, -1).clone() for hair in ("dark", "light")
    )
    real = normalise(torch.from_numpy(pixels))
    wanted = to_pixels(loaded.translate(real, source, target))
    assert np.abs(to_pixels(program(real, source, target)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_network_down_to_one_value_is_exported_for_any_size(tmp_path: Path, kind: Any) -> None:
    recipe = resolve("pix2pix", ["data.image_size=32", "generator=unet-generator", "generator.channels=4"]).recipe
    model = Model.build(
        recipe.label_encoder, recipe.generator, None, attributes={"toys": (Attribute("Round"),)}, image_size=32
    )
    loaded = Translator(model, image_size=32, crops={"toys": Crop()})
    assert "128 x 64" in export(loaded, kind, tmp_path / "a", None, None)


def test_a_file_is_called_as_its_run(saved: Path) -> None:
    translator().save(saved / "model-0.001")
    done = mdtranslate("export", "model-0.001", "--to", "torch", cwd=saved)
    assert done.returncode == 0 and (saved / "model-0.001.pt2").exists(), done.stderr


def test_what_no_graph_can_hold_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = resolve("diat", ["data.image_size=32", "generator.member.channels=4", "generator.member.blocks=1"]).recipe
    attributes = {"toys": (Attribute("Round"),)}
    model = Model.build(recipe.label_encoder, recipe.generator, None, attributes=attributes, image_size=32)
    bank = Translator(model, image_size=32, crops={"toys": Crop()})
    with pytest.raises(RecipeError, match="'per-target' cannot be exported") as caught:
        export(bank, "torch", tmp_path / "a.pt2", 32, None)
    assert "\n" not in str(caught.value) and capfd.readouterr().err == "", "torch prints the graph that failed"
    for size in (30, 4):
        with pytest.raises(RecipeError, match=rf"--size {size}: .*multiple of 4, at least 8"):
            export(translator(), "torch", tmp_path / "a.pt2", size, 1)
    monkeypatch.setattr(ExportedGenerator, "forward", lambda self, image, source, target: image * torch.randn(1))
    with pytest.raises(RecipeError, match="grey levels"):
        export(translator(), "torch", tmp_path / "a.pt2", 32, 1)
    assert not [*tmp_path.iterdir()], "nothing is left"
