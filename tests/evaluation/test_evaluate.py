"""Whole evaluations of translators whose results are known."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from toys import toy_run

from mdtranslate.api import Split
from mdtranslate.config.registry import registry
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.recipe_datasets import RecipeDataset
from mdtranslate.errors import CheckpointError, DataError, PluginError, RecipeError
from mdtranslate.evaluation import evaluate as evaluation
from mdtranslate.evaluation.evaluate import evaluate
from mdtranslate.evaluation.report_table import print_report
from mdtranslate.inference.translator import Translator

CPU = torch.device("cpu")
DATASETS = """
datasets.squares = { attributes = ["colour", "framed"] }
"""


class Perfect(Translator):
    """Returns the ground truth of an edit; recognises an image by its noise."""

    recipe_dataset: RecipeDataset

    def translate(self, real: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        dataset = self.recipe_dataset.dataset
        records = {self.noise(dataset.load(record)): record for record in dataset.records(Split.TEST)}
        fakes = []
        for image, label in zip(real, target, strict=True):
            record = records.get(self.noise((image.permute(1, 2, 0).numpy() + 1) * 127.5))
            truth = None if record is None else dataset.counterfactual(record, self.model.label_encoder.decode(label))
            if truth is None:
                fakes.append(image)
            else:
                fakes.append(torch.from_numpy(dataset.load(truth) / 127.5 - 1).permute(2, 0, 1).float())
        return torch.stack(fakes)

    @staticmethod
    def noise(pixels: np.ndarray) -> bytes:
        """Returns the noise of a row that no attribute paints."""
        return np.rint(pixels[1, 1:-1]).astype(np.uint8).tobytes()


@pytest.fixture
def run(tmp_path: Path, squares: RecipeDataset) -> RunFolder:
    return toy_run(tmp_path, DATASETS)


def quiet(what: str, done: int, total: int) -> None:
    pass


def load_perfect_translators(monkeypatch: pytest.MonkeyPatch, dataset: RecipeDataset) -> None:
    load = Translator.load

    def loaded(path: Path, device: torch.device) -> Translator:
        translator = load(path, device)
        translator.__class__ = Perfect
        translator.recipe_dataset = dataset
        return translator

    monkeypatch.setattr(evaluation.Translator, "load", loaded)


def test_perfect_translator(run: RunFolder, squares: RecipeDataset, pixel_classifier: None, monkeypatch) -> None:
    load_perfect_translators(monkeypatch, squares)
    (result,) = evaluate(run, CPU, progress=quiet).results
    # 20 test images: 7 red, 7 green, 6 blue; `framed` is known of 16, and true of half of them.
    assert result.edits == {"colour=red": 13, "colour=green": 13, "colour=blue": 14, "framed=no": 8, "framed=yes": 8}
    # The ground truth of image 1, green and without a frame, is unknown: it comes back unchanged.
    assert result.compared == {"colour=red": 12, "colour=green": 13, "colour=blue": 13, "framed=no": 8, "framed=yes": 7}
    accuracy = result.figures["edit-accuracy"]
    assert accuracy["colour=red/accuracy"] == pytest.approx(12 / 13)
    assert accuracy["colour=red/predicted/green"] == pytest.approx(1 / 13)
    assert accuracy["colour=green/accuracy"] == accuracy["framed=no/accuracy"] == 1
    # `bright` is not labelled in this run, but classified all the same.
    assert {name for name in accuracy if "/preserves/" in name} == {
        "colour/preserves/framed",
        "colour/preserves/bright",
        "framed/preserves/colour",
        "framed/preserves/bright",
    }
    assert accuracy["preservation"] == 1
    similarity = result.figures["counterfactual"]
    # Not `colour`: the untrained discriminator guesses `framed` where it is unknown, so the frame is redrawn.
    assert similarity["framed/psnr"] == pytest.approx(58.92, abs=0.01)
    assert similarity["framed/psnr of the identity baseline"] < 20
    assert result.figures["reconstruction"]["framed/l1"] == pytest.approx(0, abs=1e-6)


def test_report_and_grid(run: RunFolder, pixel_classifier: None) -> None:
    report = evaluate(run, CPU, progress=quiet)
    written = json.loads((run.path / "evaluation" / "report.json").read_text())
    assert written == report.json()
    body = written["datasets"]["squares"]
    assert next(iter(body)) == "classifier" and next(iter(body["classifier"])) == "accuracy_on_real_images"
    # Every metric that needs no setting.
    assert {"edit-accuracy", "reconstruction", "counterfactual", "distribution"} <= set(body["figures"])
    assert "face-identity" not in body["figures"]
    assert body["metadata"]["distribution"]["network"] == "classifier k"
    assert written["cost"]["images_per_second"] > 0 and set(written["cost"]["parameters"]) >= {"generator"}
    with Image.open(run.path / "evaluation" / "edits.png") as image:
        assert image.mode == "RGB" and image.width > image.height
    text = io.StringIO()
    print_report(report, Console(file=text, width=200))
    printed = text.getvalue()
    assert printed.index("realism (efficientnet-lite0)") < printed.index("75.0%") < printed.index("reconstruction")
    failed = [line for line in printed.splitlines() if line.startswith("colour=") and "predicted:" in line]
    assert failed  # An untrained network does not edit.


def test_unknown_figures_are_printed(run: RunFolder, pixel_classifier: None) -> None:
    report = evaluate(run, CPU, ["metrics.back=reconstruction"], progress=quiet)
    (result,) = report.results
    assert list(result.figures) == ["back"]
    result.figures["back"]["fid"] = 12.5
    text = io.StringIO()
    print_report(report, Console(file=text, width=200))
    assert "fid: 12.5" in text.getvalue() and "colour: " not in text.getvalue()
    assert result.json()["classifier"]["majority_share"]["colour"] == 0.35
    poor_classifier = replace(result, accuracy={"colour": 0.3})
    print_report(replace(report, results=(poor_classifier,)), Console(file=text, width=200))
    assert "colour: " in text.getvalue(), "a warning that the classifier is no better than a constant"


def test_unknown_labels_are_inferred_from_the_image(run: RunFolder, pixel_classifier: None, monkeypatch) -> None:
    source_values = []
    translate = Translator.translate

    def record_sources(self, real, source, target):
        source_values.extend(self.model.label_encoder.decode(label) for label in source)
        return translate(self, real, source, target)

    monkeypatch.setattr(Translator, "translate", record_sources)
    evaluate(run, CPU, progress=quiet)
    assert source_values and all(set(values) == {"colour", "framed"} for values in source_values)


def test_a_dataset_may_be_moved_but_must_have_the_same_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("old/cat", "old/dog", "new/cat", "new/dog", "other/cat", "other/cow"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    pets = f"datasets.pets = {{ name = 'folder', root = '{tmp_path / 'old'}' }}"
    classifier = "evaluation.classifier = { epochs = 1, min_images_per_epoch = 16, batch_size = 16 }"
    run = toy_run(tmp_path, f"{pets}\nmetrics.l1 = {{ name = 'reconstruction' }}\n{classifier}")
    (tmp_path / "old").rename(tmp_path / "gone")
    with pytest.raises(DataError, match=r"datasets\.pets\.root="):
        evaluate(run, CPU, progress=quiet)
    moved = f"datasets.pets.root={tmp_path / 'new'}"
    report = evaluate(run, CPU, [moved], progress=quiet)
    assert report.results[0].num_images > 0 and report.cost["training_seconds"] is None
    assert json.loads((run.path / "evaluation" / "report.json").read_text())["overrides"] == [moved]
    for override, message in (
        (f"datasets.pets.root={tmp_path / 'other'}", r"datasets\.pets: .*\(cat\|cow\).*\(cat\|dog\)"),
        ("datasets.pets.test=0.4", r"^datasets\.pets\.test: "),
        ("datasets.pets.attribute=kind", r"^datasets\.pets\.attribute: .*datasets\.pets\.root=FOLDER"),
        ("datasets.more.name=avatars", r"^datasets\.more\.name: "),
    ):
        with pytest.raises(RecipeError, match=message):
            evaluate(run, CPU, [override], progress=quiet)
    file = run.path / "recipe.toml"
    file.write_text(file.read_text().replace("[datasets.pets]", "[datasets.cats]"))
    with pytest.raises(RecipeError, match=r"pets, .* cats"):
        evaluate(run, CPU, [f"datasets.cats.root={tmp_path / 'new'}"], progress=quiet)


def test_a_missing_plugin_is_named(run: RunFolder, pixel_classifier: None) -> None:
    file = run.path / "recipe.toml"
    file.write_text(file.read_text().replace('name = "squares"', 'name = "sqares"'))
    with pytest.raises(RecipeError, match=r"recipe\.toml: .*'sqares'.*'squares'"):
        evaluate(run, CPU, progress=quiet)
    saved = run.translator / "translator.json"
    metadata = json.loads(saved.read_text())
    installed = registry().owner("dataset", "avatars").public_label
    metadata["trained"] = {"plugins": [installed, "plugin sqares (mdtranslate-sqares 0.3)"]}
    saved.write_text(json.dumps(metadata))
    with pytest.raises(PluginError, match=r"recipe\.toml: .* sqares \(mdtranslate-sqares 0\.3\)"):
        run.resolve_for_resume(())
    for damage in (5, None, "abc", {"plugins": 5}, {"plugins": [5, "a (b\n1)"]}):
        saved.write_text(json.dumps({**metadata, "trained": damage}))
        assert run.third_party_plugins == (["a (b 1)"] if isinstance(damage, dict) and damage["plugins"] != 5 else [])


def test_invalid_settings_and_runs(run: RunFolder, pixel_classifier: None, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^data\.image_size: "):
        evaluate(run, CPU, ["data.image_size=32"], progress=quiet)
    with pytest.raises(RecipeError, match=r"'reconstructoin'.*'reconstruction'"):
        evaluate(run, CPU, ["metrics.x=reconstructoin"], progress=quiet)
    for file in run.translator.iterdir():
        file.unlink()
    with pytest.raises(CheckpointError):
        evaluate(run, CPU, progress=quiet)
    assert not (run.path / "evaluation").exists()


def test_joint_edits_of_several_attributes(
    run: RunFolder, squares: RecipeDataset, pixel_classifier: None, monkeypatch
) -> None:
    load_perfect_translators(monkeypatch, squares)
    (result,) = evaluate(
        run, CPU, ["evaluation.max_attributes_per_edit=2", "metrics.right=edit-accuracy"], progress=quiet
    ).results
    joint = {name: count for name, count in result.edits.items() if "," in name or "+" in name}
    # `framed` is known of 16 images; a joint edit is applied to those that have neither of its values.
    assert len(joint) == 6 and all(0 < count < 8 for count in joint.values())
    figures = result.figures["right"]
    assert 0.9 < figures["colour+framed/accuracy"] <= 1
    assert not any("predicted" in name for name in figures if "colour=red" in name and "framed" in name)
    # Preservation is still that of edits of one attribute, so that it can be compared.
    assert figures["preservation"] == 1


def test_training_images_are_given_to_the_metrics_that_use_them(
    run: RunFolder, squares: RecipeDataset, pixel_classifier: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []

    def update_reference(self, real, known, labelled) -> None:
        batches.append((real, known, labelled))

    metric = registry().component("metric", "edit-magnitude")
    sample, sampled = evaluation.sample_reference, []
    monkeypatch.setattr(evaluation, "sample_reference", lambda *args: sampled.append(args) or sample(*args))
    evaluate(run, CPU, ["metrics.m=edit-magnitude"], progress=quiet)
    assert not sampled, "no metric uses them"
    monkeypatch.setattr(metric, "update_reference", update_reference)
    evaluate(run, CPU, ["metrics.m=edit-magnitude"], progress=quiet)
    ((real, known, labelled),) = batches
    records = list(squares.dataset.records(Split.TRAIN))
    assert known == [record.attributes for record in records] and labelled == ["colour", "framed"]
    images = [torch.from_numpy(squares.dataset.load(record) / 127.5 - 1).permute(2, 0, 1).float() for record in records]
    assert torch.allclose(real, torch.stack(images), atol=1e-6)
    samples = []
    for _ in range(2):
        batches.clear()
        evaluate(run, CPU, ["metrics.m=edit-magnitude", "evaluation.reference_images=10"], progress=quiet)
        ((real, _, _),) = batches
        positions = [next(n for n, image in enumerate(images) if torch.allclose(image, one, atol=1e-6)) for one in real]
        samples.append(positions)
    assert samples[0] == samples[1] == sorted({*samples[0]}) and len(samples[0]) == 10
    assert samples[0] != list(range(10)), "a random sample"
