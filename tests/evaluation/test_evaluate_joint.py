"""Evaluation of a run on several datasets: attributes of one are edited in images of the other."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from rich.console import Console
from toys import toy_run

from mdtranslate.api import Attribute, Record
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.recipe_datasets import RecipeDataset
from mdtranslate.evaluation import evaluate as evaluation
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes
from mdtranslate.evaluation.evaluate import evaluate
from mdtranslate.evaluation.report_table import print_report
from mdtranslate.inference.translator import Translator

CPU = torch.device("cpu")
DATASETS = """
datasets.colours = { name = "squares", attributes = ["colour"] }
datasets.frames = { name = "squares", attributes = ["framed"] }
"""


@pytest.fixture
def run(tmp_path: Path, squares: RecipeDataset) -> RunFolder:
    return toy_run(tmp_path, DATASETS)


@pytest.fixture
def constant_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the classifier by one that predicts red, framed and bright for every image."""

    class Constant(AttributeClassifier):
        def predict(self, real: torch.Tensor) -> list[dict]:
            return [{"colour": "red", "framed": True, "bright": True} for _ in real]

    network = timm.create_model("test_resnet").eval()

    def load(datasets: list[RecipeDataset], *rest: object) -> AttributeClassifier:
        return Constant(
            ClassifiedAttributes(datasets).attributes, network, CPU, {"key": "k"}, {"colours": {"colour": 0.5}}
        )

    monkeypatch.setattr(evaluation, "load_or_train_classifier", load)


def test_edits_of_the_other_dataset_are_transferred(run: RunFolder, constant_classifier: None, monkeypatch) -> None:
    edits = []
    translate = Translator.translate

    def record_edits(self, real, source, target):
        label_encoder = self.label_encoder
        pairs = zip(
            label_encoder.dataset_index(source).tolist(), label_encoder.dataset_index(target).tolist(), strict=True
        )
        edits.extend((*pair, *label_encoder.decode(label)) for pair, label in zip(pairs, target, strict=True))
        return translate(self, real, source, target)

    monkeypatch.setattr(Translator, "translate", record_edits)
    report = evaluate(run, CPU, progress=lambda *args: None)
    colours, frames = report.results
    # 20 images each: 7 red, 7 green, 6 blue; `framed` is known of 16, and true of half of them. The 4 whose value is
    # unknown get transferred edits of it, but no edits of their own dataset.
    assert colours.edits == {
        "colour=red": 13, "colour=green": 13, "colour=blue": 14, "framed=no": 12, "framed=yes": 12,
    }  # fmt: skip
    assert frames.edits["framed=yes"] == 8 and frames.edits["colour=red"] == 13
    assert colours.transferred == {"framed": "frames"} and frames.transferred == {"colour": "colours"}
    assert colours.compared["framed=yes"] == 11  # The ground truth of image 1 is unknown.
    # Source and target labels are those of the dataset whose attribute is edited.
    assert set(edits) == {(0, 0, "colour"), (1, 1, "framed")}
    accuracy = colours.figures["edit-accuracy"]
    assert accuracy["framed=yes/accuracy"] == 1 and accuracy["framed=no/accuracy"] == 0
    red = sum(n % 3 == 0 for n in range(20) for has in (True, False) if n % 5 == 0 or has == (n % 2 == 1))
    assert accuracy["framed/preserves/colour"] == pytest.approx(red / 24)
    names = sorted(file.name for file in (run.path / "evaluation").iterdir())
    assert names == [
        "edits-colours-frames.png", "edits-colours.png", "edits-frames-colours.png", "edits-frames.png", "report.json",
    ]  # fmt: skip
    written = json.loads((run.path / "evaluation" / "report.json").read_text())
    assert written["datasets"]["colours"]["transferred"] == {"framed": "frames"}
    text = io.StringIO()
    print_report(report, Console(file=text, width=200))
    assert "framed (of frames)" in text.getvalue()


def test_attributes_are_shared_only_if_their_values_are_equal(squares: RecipeDataset) -> None:
    hair, other_hair, young = Attribute("hair", ("a", "b")), Attribute("hair", ("b", "c")), Attribute("Young")

    def build(name: str, index: int, *attributes: Attribute) -> RecipeDataset:
        dataset = type("Some", (type(squares.dataset),), {"attributes": attributes})(squares.dataset.config)
        return replace(squares, name=name, index=index, dataset=dataset, attributes=attributes)

    first, second = build("first", 0, hair, young), build("second", 1, other_hair, young)
    classified = ClassifiedAttributes([first, second])
    assert [attribute.name for attribute in classified.attributes] == ["first.hair", "Young", "second.hair"]
    record = Record("x", None, {"hair": "b", "Young": True})
    assert classified.values_of(record, second) == {"second.hair": "b", "Young": True}
    assert classified.dataset_name("second.hair", second) == "hair"
    assert classified.dataset_name("second.hair", first) is None
    assert classified.class_indices([Record("x", None, {"hair": "b"})], first).tolist() == [[1, -1, -1]]
