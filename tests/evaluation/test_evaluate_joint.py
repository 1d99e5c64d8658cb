"""An evaluation of a run over several datasets: what one labels is tried on the pictures of the other."""

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
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.data.source import Source
from mdtranslate.evaluation import evaluate as evaluation
from mdtranslate.evaluation.attribute_classifier import Judged
from mdtranslate.evaluation.classifier_cache import Judge
from mdtranslate.evaluation.evaluate import evaluate
from mdtranslate.evaluation.report_table import show
from mdtranslate.inference.translator import Translator

CPU = torch.device("cpu")
DATASETS = """
datasets.colours = { name = "squares", attributes = ["colour"] }
datasets.frames = { name = "squares", attributes = ["framed"] }
"""


@pytest.fixture
def run(tmp_path: Path, squares: Source) -> RunFolder:
    return toy_run(tmp_path, DATASETS)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that sees a red frame, bright, in every picture."""

    class Blind(Judge):
        def predict(self, real: torch.Tensor) -> list[dict]:
            return [{"colour": "red", "framed": True, "bright": True} for _ in real]

    network = timm.create_model("test_resnet").eval()

    def obtain(sources: list[Source], *rest: object) -> Judge:
        return Blind(Judged(sources).attributes, network, CPU, {"key": "k"}, {"colours": {"colour": 0.5}})

    monkeypatch.setattr(evaluation, "obtain_judge", obtain)


def test_edits_of_the_other_dataset_are_transferred(run: RunFolder, blind: None, monkeypatch) -> None:
    asked = []
    translate = Translator.translate

    def watched(self, real, source, target):
        encoder = self.encoder
        pairs = zip(encoder.dataset(source).tolist(), encoder.dataset(target).tolist(), strict=True)
        asked.extend((*pair, *encoder.decode(each)) for pair, each in zip(pairs, target, strict=True))
        return translate(self, real, source, target)

    monkeypatch.setattr(Translator, "translate", watched)
    report = evaluate(run, CPU, progress=lambda *args: None)
    colours, frames = report.results
    # 20 pictures each: 7 red, 7 green, 6 blue; of 16 the frame is known, and half of those have one. Of a colour's
    # own pictures nothing unknown is edited; a frame that nobody labelled there is put on all that have none for sure.
    assert colours.edits == {
        "colour=red": 13, "colour=green": 13, "colour=blue": 14, "framed=no": 12, "framed=yes": 12,
    }  # fmt: skip
    assert frames.edits["framed=yes"] == 8 and frames.edits["colour=red"] == 13
    assert colours.transferred == {"framed": "frames"} and frames.transferred == {"colour": "colours"}
    assert colours.compared["framed=yes"] == 11  # The truth of picture 1 is not known.
    # A picture is taken for one of the dataset whose attribute is edited, before and after.
    assert set(asked) == {(0, 0, "colour"), (1, 1, "framed")}
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
    show(report, Console(file=text, width=200))
    assert "framed (of frames)" in text.getvalue()


def test_a_judge_shares_what_is_the_same_and_parts_what_only_has_the_same_name(squares: Source) -> None:
    hair, other, young = Attribute("hair", ("a", "b")), Attribute("hair", ("b", "c")), Attribute("Young")

    def source(name: str, number: int, *attributes: Attribute) -> Source:
        dataset = type("Some", (type(squares.dataset),), {"attributes": attributes})(squares.dataset.config)
        return replace(squares, name=name, number=number, dataset=dataset, attributes=attributes)

    first, second = source("first", 0, hair, young), source("second", 1, other, young)
    judged = Judged([first, second])
    assert [each.name for each in judged.attributes] == ["first.hair", "Young", "second.hair"]
    assert judged.known(Record("x", None, {"hair": "b", "Young": True}), second) == {"second.hair": "b", "Young": True}
    assert judged.own("second.hair", second) == "hair" and judged.own("second.hair", first) is None
    assert judged.codes([Record("x", None, {"hair": "b"})], first).tolist() == [[1, -1, -1]]
