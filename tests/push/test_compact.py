"""Compact models: float16 weights and a small classifier of source labels, with everything that a model is used for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from kills import OVERRIDES
from PIL import Image
from sharing import refused
from test_cli import run as typed
from translators import ScoreOnlyDiscriminator, random_image

from mdtranslate import Translator
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.recipe_datasets import attributes_by_dataset, build_datasets
from mdtranslate.evaluation.evaluate import evaluate
from mdtranslate.serve.demo import Demo
from mdtranslate.sharing import compact
from mdtranslate.sharing.push import push
from mdtranslate.training import small_discriminator
from mdtranslate.utils.json_metadata import load_metadata

Capture = pytest.CaptureFixture[str]
CPU = torch.device("cpu")
SETTINGS = [*OVERRIDES, "datasets.avatars.train=256", "datasets.avatars.val=32", "discriminator.channels=16"]
TINY_EVALUATION = [
    "evaluation.classifier.epochs=1",
    "evaluation.classifier.min_images_per_epoch=64",
    "evaluation.classifier.max_images_per_epoch=64",
]


def make_run(folder: Path) -> Path:
    """Writes a run whose networks were never trained."""
    resolved = resolve("stargan", SETTINGS)
    recipe = resolved.recipe
    datasets = build_datasets(recipe)
    networks = recipe.label_encoder, recipe.generator, recipe.discriminator
    model = Model.build(*networks, attributes=attributes_by_dataset(datasets), image_size=32)
    crops = {dataset.name: dataset.dataset.crop for dataset in datasets}
    Translator(model, image_size=32, crops=crops, trained={"recipe": "stargan", "step": 0}).save(folder / "translator")
    RunFolder(folder).write_recipe(resolved)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache and few training steps for the tests of this module."""
    folder = tmp_path_factory.mktemp("compact")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(small_discriminator, "STEPS", 200)
        patch.setattr(compact, "STEPS", 200)
        yield folder


@pytest.fixture(scope="module")
def run(cache: Path) -> Path:
    """An evaluated run."""
    folder = make_run(cache / "one")
    evaluate(RunFolder(folder), CPU, TINY_EVALUATION, progress=lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def model(run: Path, cache: Path) -> Path:
    """The compact model of the run."""
    push(run, str(cache / "small"), include_sample_grid=False, compact_on=CPU)
    return cache / "small"


def test_weights_are_halved_and_translations_stay(run: Path, model: Path) -> None:
    stored, full = (safetensors.torch.load_file(path / "translator" / "weights.safetensors") for path in (model, run))
    assert {value.dtype for value in stored.values()} == {torch.float16}
    generator = {key for key in full if key.startswith("generator.")}
    assert generator and all(torch.equal(stored[key], full[key].half()) for key in generator)
    original, small = Translator.load(run), Translator.load(model)
    assert all(
        param.dtype == torch.float32 for network in small.model.networks.values() for param in network.parameters()
    )
    source = {"hair": "Black_Hair", "Eyeglasses": False, "Facial_Hair": True}
    pair = [
        np.asarray(each(random_image(), source=source, hair="Blond_Hair")).astype(int) for each in (original, small)
    ]
    assert 0 <= np.abs(pair[0] - pair[1]).max() <= 2
    sizes = [(path / "translator" / "weights.safetensors").stat().st_size for path in (model, run)]
    assert sizes[0] < 0.3 * sizes[1]


def test_a_small_classifier_infers_source_labels(run: Path, model: Path) -> None:
    small, original = Translator.load(model), Translator.load(run)
    assert small.model.discriminator is not None and original.model.discriminator is not None
    assert type(small.model.discriminator) is type(original.model.discriminator)
    assert small.model.discriminator.config.channels == 4
    changes = small.trained["compact"]
    accuracy, before = changes["accuracy"]["avatars"], changes["discriminator_accuracy"]["avatars"]
    assert sorted(accuracy) == sorted(before) == ["Eyeglasses", "Facial_Hair", "hair"]
    # The run's own was never trained.
    assert sum(accuracy.values()) > sum(before.values()) + 0.5 and accuracy["hair"] > 0.6
    datasets = build_datasets(RunFolder(run).saved_recipe().recipe)
    measured = small_discriminator.inference_accuracy(small, datasets, lambda *_: None)["avatars"]
    assert measured == pytest.approx(accuracy, abs=0.04), "float16 changes next to nothing"
    assert changes["parameters"] == sum(param.numel() for param in small.model.discriminator.parameters())
    assert changes["images"] == 32 and changes["max_difference"] <= 2 and changes["weights"] == "float16"


def test_the_figures_are_those_of_the_compact_weights(run: Path, model: Path) -> None:
    original, report = (json.loads((path / "evaluation" / "report.json").read_text()) for path in (run, model))
    assert report["weights"] == load_metadata(model / "translator", "translator")["files"] != original["weights"]
    figures = [each["datasets"]["avatars"]["figures"]["edit-accuracy"] for each in (original, report)]
    assert figures[0].keys() == figures[1].keys()
    card = (model / "README.md").read_text()
    assert "512 test images" not in card and "8 test images" in card and "## Compact weights" in card
    assert f"`weights.safetensors` `{report['weights']['weights.safetensors']}`" in card
    assert "| avatars.hair | " in card and "takes the generator only" in card


def test_it_is_pulled_translated_exported_and_served(model: Path, tmp_path: Path, capsys: Capture) -> None:
    Image.fromarray(random_image(32, 32)).save("photo.png")
    assert typed(capsys, "pull", str(model), "--out", "own")[0] == 0
    code, out, err = typed(capsys, "translate", "own", "photo.png", "--all")
    assert (code, err) == (0, "") and "photo.all.png" in out, "no --from is needed"
    code, _, err = typed(capsys, "export", "own", "--to", "torch")
    assert code == 0, err
    code, _, err = typed(capsys, "evaluate", "own", *TINY_EVALUATION, "--out", "figures", "--device", "cpu")
    assert code == 0 and Path("figures/report.json").is_file(), err
    demo = Demo(Translator.load("own"), Path("own"))
    assert demo.inspect(Path("photo.png").read_bytes(), {}, None)["required"] == []
    assert demo.info["evaluations"]


def test_a_run_starts_from_its_generator(model: Path, capsys: Capture) -> None:
    code, _, err = typed(capsys, "run", "stargan", *SETTINGS, f"train.init={model}", "train.steps=2", "--out", "new")
    assert code == 0, err
    assert f"train.init={model}: the discriminator starts anew" in err
    assert "do not fit" not in err, "the generator is of the same shape"
    # Two steps with a moving average change each weight by little.
    trained, initial = (Translator.load(path).model.generator.state_dict() for path in ("new", str(model)))
    assert all(torch.allclose(trained[key], initial[key], atol=0.02) for key in initial)


def test_a_discriminator_that_classifies_nothing_is_left_out(cache: Path) -> None:
    recipe = resolve("stargan", SETTINGS).recipe
    datasets = build_datasets(recipe)
    networks = recipe.label_encoder, recipe.generator, None
    model = Model.build(*networks, attributes=attributes_by_dataset(datasets), image_size=32)
    scores = ScoreOnlyDiscriminator(None, label_encoder=model.label_encoder, image_size=32)
    translator = Translator(Model(model.label_encoder, model.generator, scores), image_size=32, crops={})
    replaced = compact._replace_discriminator(translator, recipe, datasets, CPU, lambda *_: None)
    assert replaced == (None, {})


def test_a_weight_out_of_range_keeps_its_precision() -> None:
    network = torch.nn.BatchNorm2d(2)
    network.running_var[0] = 1e6
    half: Any = compact._to_half(network)  # type: ignore[type-var]
    assert half.running_var.dtype == torch.float32 and half.weight.dtype == torch.float16
    assert half.num_batches_tracked.dtype == torch.int64 and network.weight.dtype == torch.float32


def test_what_is_no_run_cannot_be_made_compact(run: Path, model: Path, capsys: Capture) -> None:
    code, line = refused(capsys, "push", str(model), "again", "--compact")
    assert code == 2 and "a shared model" in line
    code, line = refused(capsys, "push", str(run / "translator"), "again", "--compact")
    assert code == 2 and "not a run" in line


TEXTS = {
    "--terms missing": "cannot be read",
    "--notes missing": "cannot be read",
    "--terms empty": "0 bytes",
    "--notes large": "at most",
    "--terms binary": "not a text in UTF-8",
}


@pytest.mark.parametrize("words", TEXTS)
def test_terms_and_notes_that_cannot_be_used(run: Path, capsys: Capture, words: str) -> None:
    option, file = words.split()
    Path("empty").touch()
    Path("large").write_text("x" * 300_000)
    Path("binary").write_bytes(b"\xff\xfe")
    code, line = refused(capsys, "push", str(run), "there", option, file)
    assert code == 2 and line.startswith(f"{words}: ") and TEXTS[words] in line


def test_terms_and_notes_are_in_the_card_and_stay(run: Path, capsys: Capture) -> None:
    Path("terms.txt").write_text("\nFor *tests* only\n\nAnd nothing else.\n")
    Path("notes.md").write_text("## Intended use\n\nTests.\n")
    code, _, err = typed(capsys, "push", str(run), "one", "--terms", "terms.txt", "--notes", "notes.md")
    assert code == 0, err
    card = Path("one/README.md").read_text()
    assert "license: other\nlicense_link: LICENSE\n" in card and "**For \\*tests\\* only**" in card
    assert "\n## Intended use\n\nTests.\n" in card
    assert typed(capsys, "pull", "one", "--out", "two")[0] == 0
    assert Path("two/LICENSE").read_text() == Path("terms.txt").read_text()
    assert typed(capsys, "push", "two", "again/one")[0] == 0
    assert Path("again/one/README.md").read_text() == card
    assert Path("again/one/LICENSE").read_text() == Path("terms.txt").read_text()
    Path("two/LICENSE").write_text("None.")
    code, line = refused(capsys, "push", "two", "third")
    assert code == 65 and line.startswith("two/LICENSE: is damaged")
