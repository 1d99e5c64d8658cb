"""What the demo tells its page, without HTTP."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import make_run, mute, png
from tiny import BOTH, tiny_translator

from mdtranslate import Crop, Record, Translator
from mdtranslate.config.registry import registry
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.serve.demo import MAX_CACHED_IMAGES, Demo
from mdtranslate.serve.model_info import model_info
from mdtranslate.sharing.push import push
from mdtranslate.utils.image_io import read_image

ALL = {"hair": "Black_Hair", "Eyeglasses": "no", "Male": "yes"}


def pixels(address: str) -> Any:
    head, _, data = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


@pytest.fixture(scope="module")
def plain(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Of a translator that lies without a run."""
    return Demo(translator, tmp_path_factory.mktemp("none"))


def test_controls_are_named_as_on_the_command_line(plain: Demo) -> None:
    hair, glasses, male = plain.model()["controls"]
    assert hair == {
        "name": "hair",
        "values": ["none", "Black_Hair", "Blond_Hair"],
        "is_binary": False,
        "datasets": ["celeba"],
        "edits": ["Black_Hair", "Blond_Hair"],
    }
    assert glasses["values"] == glasses["edits"] == ["no", "yes"] and glasses["is_binary"] and male["name"] == "Male"


def test_what_the_page_shows_is_what_the_translator_makes(plain: Demo, translator: Translator) -> None:
    content = png()
    image = read_image(BytesIO(content))
    inspected = plain.inspect(content, {"Eyeglasses": "yes"}, None)
    assert inspected["required"] == [] and [*inspected["source"]] == ["hair", "Eyeglasses", "Male"]
    assert inspected["source"]["Eyeglasses"] == "yes"
    assert np.array_equal(pixels(inspected["original"]), translator.generator_input(image))
    translated = plain.translate(content, {"hair": "Blond_Hair", "Male": "no"}, inspected["source"], None)
    wanted = translator(image, source=inspected["source"], hair="Blond_Hair", Male=False)
    assert np.array_equal(pixels(translated["translated"]), np.asarray(wanted))
    assert np.array_equal(pixels(translated["original"]), translator.generator_input(image))


def test_with_several_datasets_the_crop_is_that_of_the_edit(tmp_path: Path) -> None:
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(), "rafd": Crop(side=0.5)}
    demo, content = Demo(translator, tmp_path), png()
    image = read_image(BytesIO(content))
    model = demo.model()
    assert [each["name"] for each in model["controls"]] == ["hair", "Eyeglasses", "celeba.Male", "mood", "rafd.Male"]
    source = demo.inspect(content, {}, None)["source"]
    assert [*source] == ["hair", "Eyeglasses", "celeba.Male", "mood", "rafd.Male"]
    translated = demo.translate(content, {"mood": "sad"}, source, None)
    assert np.array_equal(pixels(translated["original"]), translator.generator_input(image, dataset="rafd"))
    like = demo.translate(content, {"mood": "sad"}, source, "celeba")
    assert np.array_equal(pixels(like["original"]), translator.generator_input(image, dataset="celeba"))
    assert np.array_equal(
        pixels(demo.inspect(content, {}, "rafd")["original"]), translator.generator_input(image, dataset="rafd")
    )
    both = demo.translate(content, {"mood": "sad", "hair": "Blond_Hair"}, source, None)
    assert np.array_equal(pixels(both["original"]), translator.generator_input(image, dataset="rafd"))


def test_attributes_that_cannot_be_inferred_are_required(tmp_path: Path) -> None:
    demo, content = Demo(mute(), tmp_path), png()
    inspected = demo.inspect(content, {"Male": "no"}, None)
    assert inspected["required"] == ["hair", "Eyeglasses"] and inspected["source"] == {"Male": "no"}
    assert demo.inspect(content, ALL, None)["required"] == []
    with pytest.raises(RecipeError, match="hair, Eyeglasses: unknown"):
        demo.translate(content, {"Male": "yes"}, inspected["source"], None)


def test_mistakes_are_the_translators(plain: Demo) -> None:
    content = png()
    for call in (
        lambda: plain.inspect(content, {"hear": "none"}, None),
        lambda: plain.inspect(content, {}, "celeb"),
        lambda: plain.translate(content, {"hair": "green"}, {}, None),
        lambda: plain.translate(content, {}, {}, None),
        lambda: plain.translate(content, {"hair": "none"}, {"Male": "perhaps"}, None),
    ):
        with pytest.raises(RecipeError):
            call()
    for bad in (b"no picture", content[:200], b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        with pytest.raises(DataError, match=r"^image: "):
            plain.inspect(bad, {}, None)


def test_few_images_are_cached(plain: Demo) -> None:
    for seed in range(MAX_CACHED_IMAGES + 3):
        plain.inspect(png(seed), ALL, None)
    assert len(plain._cache) == MAX_CACHED_IMAGES


def test_samples_of_a_run(run: Path) -> None:
    demo = Demo(Translator.load(run), run)
    samples = demo.model()["samples"]
    assert demo.missing_samples == [] and len(samples) == len(demo.samples) == 8
    assert samples[0]["key"] == "test/000000" and {*samples[0]["known"]} == {"hair", "Eyeglasses", "Facial_Hair"}
    inspected = demo.inspect(demo.samples[0].png, demo.samples[0].known, None)
    assert inspected["source"] == samples[0]["known"] and pixels(inspected["original"]).shape == (32, 32, 3)


def test_unreadable_samples_are_skipped(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, damaged = registry().component("dataset", "avatars"), ["test/000000", "test/000003"]
    load = source.load

    def some(self: Any, record: Record) -> Any:
        if record.key in damaged:
            raise KeyError("no such eye")
        return load(self, record)

    monkeypatch.setattr(source, "load", some)
    demo = Demo(Translator.load(run), run)
    assert demo.missing_samples == [] and [each.key for each in demo.samples] == [
        f"test/{n:06d}" for n in (1, 2, 4, 5, 6, 7)
    ]
    damaged += [f"test/{number:06d}" for number in range(8)]
    demo = Demo(Translator.load(run), run)
    (line,) = demo.missing_samples
    assert demo.samples == [] and "avatars" in line and line.endswith("KeyError: 'no such eye'")
    monkeypatch.setattr(source, "records", lambda self, split: {}["no such list"])
    assert Demo(Translator.load(run), run).missing_samples[0].endswith("KeyError: 'no such list'")


def test_datasets_of_a_shared_model_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run")
    push(folder, str(tmp_path / "shared"), include_sample_grid=False)
    built: list[Any] = []
    monkeypatch.setattr("mdtranslate.serve.demo_samples.build_datasets", built.append)
    demo = Demo(Translator.load(tmp_path / "shared"), tmp_path / "shared")
    assert demo.samples == [] and built == [] and "shared model" in demo.missing_samples[0]
    assert demo.inspect(png(), {}, None)["required"] == []


def test_missing_samples_are_explained(tmp_path: Path, translator: Translator) -> None:
    folder = make_run(tmp_path / "run")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace('name = "avatars"', f'name = "folder"\nroot = "{tmp_path}/gone"'))
    for line in ("seed", "train", "val", "test", "size", "style"):
        text = (folder / "recipe.toml").read_text()
        head, rest = text.split("[label_encoder]", 1)
        kept = [each for each in head.splitlines() if not each.startswith(f"{line} =")]
        (folder / "recipe.toml").write_text("\n".join([*kept, "[label_encoder]"]) + rest)
    demo = Demo(Translator.load(folder), folder)
    assert demo.samples == [] and len(demo.missing_samples) == 1
    assert str(tmp_path / "gone") in demo.missing_samples[0]
    alone = Demo(translator, folder / "translator")
    (line,) = alone.missing_samples
    assert line.startswith(f"{folder / 'translator'}: ") and "without its run" in line


def test_model_info(run: Path, plain: Demo, tmp_path: Path) -> None:
    metadata = dict(plain.info["facts"])
    assert (
        metadata["Recipe"] == "tiny"
        and metadata["Trained for"] == "7 steps"
        and metadata["Image size"] == "16 × 16 pixels"
    )
    assert (
        metadata["Datasets"] == "celeba"
        and metadata["Credit"] == "Faces: nobody"
        and "generator" in metadata["Parameters"]
    )
    assert "without its run" in plain.info["note"]
    folder = make_run(tmp_path / "run")
    translator = Translator.load(folder)
    assert f"mdtranslate evaluate {folder}" in Demo(translator, folder).info["note"]
    (folder / "evaluation").mkdir()
    file = folder / "evaluation" / "report.json"
    result = {
        "classifier": {"accuracy_on_real_images": {"skin": 0.5, "hair": 1.0}},
        "edited": ["hair"],
        "edits": {"hair=Black_Hair": 9},
        "left_out": [],
        "images": 9,
        "figures": {"edit-accuracy": {"hair/accuracy": 0.75, "skin/accuracy": float("nan")}},
    }
    weights = json.loads((folder / "translator" / "translator.json").read_text())["files"]
    file.write_text(json.dumps({"weights": weights, "datasets": {"avatars": result}}))
    info = Demo(translator, folder).info
    assert info["note"] == ""
    assert info["evaluations"] == [
        {"dataset": "avatars", "images": 9, "rows": [("hair", 1.0, 0.75), ("skin", 0.5, None)]}
    ]
    for other in ({"weights": dict.fromkeys(weights, "of an earlier step")}, {}):
        file.write_text(json.dumps({**other, "datasets": {"avatars": result}}))
        info = Demo(translator, folder).info
        assert info["evaluations"] == [] and "other weights" in info["note"]
        assert info["note"].endswith(f"mdtranslate evaluate {folder}")
    spaced = make_run(tmp_path / "my run")
    assert model_info(translator, spaced)["note"].endswith(f"mdtranslate evaluate '{spaced}'")
    for damaged in ("{", "{}", '{"datasets": {"avatars": {}}}', '{"datasets": []}', "[" * 100_000):
        file.write_text(damaged)
        info = Demo(translator, folder).info
        assert info["evaluations"] == [] and str(file) in info["note"] and "mdtranslate evaluate" in info["note"]
