"""A whole evaluation, of translators whose answers are known."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from PIL import Image
from rich.console import Console
from toys import toy_run

from mdtranslate.api import Split
from mdtranslate.cli import main as cli
from mdtranslate.cli.evaluate import command
from mdtranslate.config.registry import registry
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.data.source import Source
from mdtranslate.errors import CheckpointError, DataError, PluginError, RecipeError, StorageError
from mdtranslate.evaluation import evaluate as evaluation
from mdtranslate.evaluation.attribute_classifier import Judged
from mdtranslate.evaluation.classifier_cache import Judge
from mdtranslate.evaluation.evaluate import evaluate
from mdtranslate.evaluation.report_table import show
from mdtranslate.inference.translator import Translator

CPU = torch.device("cpu")
DATASETS = """
datasets.squares = { attributes = ["colour", "framed"] }
"""


class Perfect(Translator):
    """Draws the true picture; knows which one by the labels and by where the noise of the picture comes from."""

    source: Source
    backwards = False

    def translate(self, real: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        dataset = self.source.dataset
        known = {}
        for record in dataset.records(Split.TEST):
            known[self.middle(dataset.load(record))] = record
        made = []
        for picture, label in zip(real, target, strict=True):
            record = known.get(self.middle((picture.permute(1, 2, 0).numpy() + 1) * 127.5))
            wanted = self.model.encoder.decode(label)
            if record is None or dataset.counterfactual(record, wanted) is None:
                made.append(picture)
                continue
            other = dataset.load(dataset.counterfactual(record, wanted))
            made.append(torch.from_numpy(other / 127.5 - 1).permute(2, 0, 1).float())
        return torch.stack(made)

    @staticmethod
    def middle(pixels: np.ndarray) -> bytes:
        """The noise at a place that no attribute paints."""
        return np.rint(pixels[1, 1:-1]).astype(np.uint8).tobytes()


@pytest.fixture
def run(tmp_path: Path, squares: Source) -> RunFolder:
    return toy_run(tmp_path, DATASETS)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that needs no training: it looks at the pixels that tell."""

    class Eyes(Judge):
        def predict(self, real: torch.Tensor) -> list[dict]:
            inside = real[:, :, 3:-3, 3:-3].mean((2, 3))
            return [
                {
                    "colour": ("red", "green", "blue")[int(colours.argmax())],
                    "framed": bool(picture[:, 0].mean() > 0.5),
                    "bright": bool(colours.max() > 0.3),
                }
                for picture, colours in zip(real, inside, strict=True)
            ]

    network = timm.create_model("test_resnet").eval()

    def obtain(sources: list[Source], size: int, device: torch.device, *rest: object) -> Judge:
        accuracy = {source.name: {"colour": 0.75} for source in sources}
        return Eyes(Judged(sources).attributes, network, device, {"network": "eyes", "key": "k"}, accuracy)

    monkeypatch.setattr(evaluation, "obtain_judge", obtain)


def quiet(what: str, done: int, total: int) -> None:
    pass


def perfect(monkeypatch: pytest.MonkeyPatch, source: Source) -> None:
    load = Translator.load

    def loaded(path: Path, device: torch.device) -> Translator:
        translator = load(path, device)
        translator.__class__ = Perfect
        translator.source = source
        return translator

    monkeypatch.setattr(evaluation.Translator, "load", loaded)


def test_perfect_translator(run: RunFolder, squares: Source, eyes: None, monkeypatch) -> None:
    perfect(monkeypatch, squares)
    (result,) = evaluate(run, CPU, progress=quiet).results
    # 20 test pictures: 7 red, 7 green, 6 blue; of 16 it is known whether they are framed, of half of these they are.
    assert result.edits == {"colour=red": 13, "colour=green": 13, "colour=blue": 14, "framed=no": 8, "framed=yes": 8}
    # Of picture 1, green and without a frame, the truth is not known: it comes back unchanged.
    assert result.compared == {"colour=red": 12, "colour=green": 13, "colour=blue": 13, "framed=no": 8, "framed=yes": 7}
    accuracy = result.figures["edit-accuracy"]
    assert accuracy["colour=red/accuracy"] == pytest.approx(12 / 13)
    assert accuracy["colour=red/judged/green"] == pytest.approx(1 / 13)
    assert accuracy["colour=green/accuracy"] == accuracy["framed=no/accuracy"] == 1
    # `bright` is not labelled in this run, and judged all the same.
    assert {name for name in accuracy if "/preserves/" in name} == {
        "colour/preserves/framed",
        "colour/preserves/bright",
        "framed/preserves/colour",
        "framed/preserves/bright",
    }
    assert accuracy["preservation"] == 1
    likeness = result.figures["counterfactual"]
    # Not `colour`: where `framed` is unknown, the untrained discriminator guesses it, and so the frame is redrawn.
    assert likeness["framed/psnr"] == pytest.approx(58.92, abs=0.01)
    assert likeness["framed/psnr of doing nothing"] < 20
    assert result.figures["reconstruction"]["framed/l1"] == pytest.approx(0, abs=1e-6)


def test_report_and_picture(run: RunFolder, eyes: None) -> None:
    report = evaluate(run, CPU, progress=quiet)
    written = json.loads((run.path / "evaluation" / "report.json").read_text())
    assert written == report.json()
    body = written["datasets"]["squares"]
    assert next(iter(body)) == "judge" and next(iter(body["judge"])) == "accuracy_on_real_pictures"
    # Every metric that needs no setting.
    assert {"edit-accuracy", "reconstruction", "counterfactual", "distribution"} <= set(body["figures"])
    assert "face-identity" not in body["figures"]
    assert body["facts"]["distribution"]["network"] == "judge k"
    assert written["cost"]["pictures_per_second"] > 0 and set(written["cost"]["parameters"]) >= {"generator"}
    with Image.open(run.path / "evaluation" / "edits.png") as image:
        assert image.mode == "RGB" and image.width > image.height
    text = io.StringIO()
    show(report, Console(file=text, width=200))
    shown = text.getvalue()
    assert shown.index("the judge on real test pictures") < shown.index("after an edit (row) the judge sees")
    assert "75.0%" in shown
    worst = [line for line in shown.splitlines() if line.startswith("colour=") and "seen as" in line]
    assert worst  # An untrained network does not edit; the report says what it is taken for.


def test_a_strangers_figure_is_shown(run: RunFolder, eyes: None) -> None:
    report = evaluate(run, CPU, ["metrics.back=reconstruction"], progress=quiet)
    (result,) = report.results
    assert list(result.figures) == ["back"]
    result.figures["back"]["fid"] = 12.5
    text = io.StringIO()
    show(report, Console(file=text, width=200))
    assert "fid: 12.5" in text.getvalue() and "means nothing" not in text.getvalue()
    assert result.json()["judge"]["share_of_commonest_value"]["colour"] == 0.35
    show(replace(report, results=(replace(result, accuracy={"colour": 0.3}),)), Console(file=text, width=200))
    assert "colour: the judge is right no more often than a guess, so its word on edits of colour" in text.getvalue()


def test_unknown_labels_are_inferred_from_the_picture(run: RunFolder, eyes: None, monkeypatch) -> None:
    sources = []
    translate = Translator.translate

    def watched(self, real, source, target):
        sources.extend(self.model.encoder.decode(each) for each in source)
        return translate(self, real, source, target)

    monkeypatch.setattr(Translator, "translate", watched)
    evaluate(run, CPU, progress=quiet)
    assert sources and all(set(each) == {"colour", "framed"} for each in sources)


def test_a_dataset_may_lie_elsewhere_and_must_label_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for place in ("here/cat", "here/dog", "there/cat", "there/dog", "other/cat", "other/cow"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(20):
            pixels = draw.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    pets = f"datasets.pets = {{ name = 'folder', root = '{tmp_path / 'here'}' }}"
    judge = "evaluation.judge = { rounds = 1, least = 16, batch_size = 16 }"
    own = toy_run(tmp_path, f"{pets}\nmetrics.l1 = {{ name = 'reconstruction' }}\n{judge}")
    (tmp_path / "here").rename(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no such folder; datasets\.pets\.root=PATH says where it lies here"):
        evaluate(own, CPU, progress=quiet)
    elsewhere = f"datasets.pets.root={tmp_path / 'there'}"
    report = evaluate(own, CPU, [elsewhere], progress=quiet)
    assert report.results[0].pictures > 0 and report.cost["training_seconds"] is None
    assert json.loads((own.path / "evaluation" / "report.json").read_text())["overrides"] == [elsewhere]
    for text, said in (
        (f"datasets.pets.root={tmp_path / 'other'}", "labels domain .cat.cow., and .* trained with domain .cat.dog."),
        ("datasets.pets.test=0.4", "can change only metrics, evaluation, and where a dataset of the run lies"),
        ("datasets.pets.attribute=kind", r"lies: metrics.*datasets\.pets\.root=FOLDER"),
        ("datasets.more.name=avatars", "can change only metrics"),
    ):
        with pytest.raises(RecipeError, match=said):
            evaluate(own, CPU, [text], progress=quiet)
    file = own.path / "recipe.toml"
    file.write_text(file.read_text().replace("[datasets.pets]", "[datasets.cats]"))
    with pytest.raises(RecipeError, match="was trained on pets, and its recipe has cats"):
        evaluate(own, CPU, ["datasets.cats.root=" + str(tmp_path / "there")], progress=quiet)


def test_a_plugin_that_is_not_there_is_named(run: RunFolder, eyes: None) -> None:
    file = run.path / "recipe.toml"
    file.write_text(file.read_text().replace('name = "squares"', 'name = "sqares"'))
    with pytest.raises(RecipeError, match=r"recipe.toml: .*: no dataset is called 'sqares': did you mean 'squares'"):
        evaluate(run, CPU, progress=quiet)
    saved = run.translator / "translator.json"
    facts = json.loads(saved.read_text())
    there = registry().owner("dataset", "avatars").public
    facts["trained"] = {"plugins": [there, "plugin sqares (mdtranslate-sqares 0.3)"]}
    saved.write_text(json.dumps(facts))
    with pytest.raises(PluginError, match=r"recipe.toml: wants plugin sqares .mdtranslate-sqares 0\.3., not installed"):
        run.resolve(())
    for damage in (5, None, "abc", {"plugins": 5}, {"plugins": [5, "a (b\n1)"]}):
        saved.write_text(json.dumps({**facts, "trained": damage}))
        assert run.strangers == (["a (b 1)"] if isinstance(damage, dict) and damage["plugins"] != 5 else [])


def test_mistakes(run: RunFolder, eyes: None, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data.image_size: an evaluation can change only metrics"):
        evaluate(run, CPU, ["data.image_size=32"], progress=quiet)
    with pytest.raises(RecipeError, match="no metric is called 'reconstructoin': did you mean 'reconstruction'"):
        evaluate(run, CPU, ["metrics.x=reconstructoin"], progress=quiet)
    for file in run.translator.iterdir():
        file.unlink()
    with pytest.raises(CheckpointError):
        evaluate(run, CPU, progress=quiet)
    assert not (run.path / "evaluation").exists()


def test_command_prints_json(run: RunFolder, eyes: None, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(run.path), "--device", "cpu", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["datasets"]["squares"]["pictures"] == 20
    done = CliRunner().invoke(command, [str(run.path), "--device", "cpu"], catch_exceptions=False)
    assert "reconstruction L1" in done.stdout
    with pytest.raises(RecipeError, match="is no run"):
        CliRunner().invoke(command, [str(tmp_path / "nothing")], catch_exceptions=False)


def test_several_attributes_edited_at_once(run: RunFolder, squares: Source, eyes: None, monkeypatch) -> None:
    perfect(monkeypatch, squares)
    (result,) = evaluate(run, CPU, ["evaluation.together=2", "metrics.right=edit-accuracy"], progress=quiet).results
    both = {name: count for name, count in result.edits.items() if "," in name or "+" in name}
    # Of 16 pictures it is known whether they are framed; both things change in those that have neither.
    assert len(both) == 6 and all(0 < count < 8 for count in both.values())
    figures = result.figures["right"]
    assert 0.9 < figures["colour+framed/accuracy"] <= 1
    assert not any("judged" in name for name in figures if "colour=red" in name and "framed" in name)
    # Preservation stays that of edits of one attribute, so that it can be compared.
    assert figures["preservation"] == 1


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """`mdtranslate evaluate ...` in this process: exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", *words, "--device", "cpu"])
    return (caught.value.code, *capsys.readouterr())  # type: ignore[return-value]


def test_the_report_may_lie_elsewhere(run: RunFolder, eyes: None, capsys, tmp_path: Path) -> None:
    code, out, _ = typed(capsys, str(run.path), "--out", str(tmp_path / "new" / "aside"))
    assert code == 0 and str(tmp_path / "new" / "aside") in out
    assert {each.name for each in (tmp_path / "new" / "aside").iterdir()} == {"report.json", "edits.png"}


def test_where_nothing_can_be_written_nothing_is_measured(run: RunFolder, capsys, monkeypatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode, **more: not mode & os.W_OK)
    monkeypatch.setattr(evaluation, "measure", lambda *args, **more: pytest.fail("measured"))
    code, _, err = typed(capsys, str(run.path))
    assert code == 74 and "--out" in err and str(run.path) in err


def test_figures_are_shown_though_they_cannot_be_written(run: RunFolder, eyes: None, capsys, monkeypatch) -> None:
    def full(*args: object) -> None:
        raise StorageError("evaluation: cannot be written: no space left on device")

    monkeypatch.setattr(evaluation, "write", full)
    code, out, err = typed(capsys, str(run.path))
    assert code == 74 and "no space left" in err
    assert "colour" in out and "%" in out
