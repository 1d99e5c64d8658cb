"""A shared model is the run's model, with a card that tells the truth, and nothing else of the machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import Field
from sharing import RECIPE, SECRET, everything, make_run, refused, report
from test_cli import run as typed
from tiny import tiny_model, tiny_translator
from translators import random_image

import mdtranslate
from mdtranslate import Attribute, Crop, Generator, Translator
from mdtranslate.config.choice import Choice
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.registry import Registry
from mdtranslate.config.toml_tree import read_toml
from mdtranslate.sharing.redaction import remove_paths

Capture = pytest.CaptureFixture[str]


def test_what_is_pulled_translates_as_the_run_does(shared: Path, capsys: Capture) -> None:
    code, out, err = typed(capsys, "pull", "shared/model")
    assert (code, err) == (0, "") and "next: mdtranslate translate model PHOTO --all" in out
    assert everything(Path("model")) == everything(shared)
    original, pulled = Translator.load("one"), Translator.load("model")
    for edit in ({"hair": "Blond_Hair"}, {"Male": True}):
        pair = [np.asarray(each(random_image(), edits=edit)) for each in (original, pulled)]
        assert np.array_equal(*pair) and not np.array_equal(pair[0], random_image())
    assert np.asarray(Image.open("model/samples/000020.png")).max() == 200, "the newest grid"
    assert sorted(everything(Path("model"))) == [
        "README.md",
        "evaluation/report.json",
        "mdtranslate.json",
        "recipe.toml",
        "samples/000020.png",
        "translator/translator.json",
        "translator/weights.safetensors",
    ]
    # And so it can be handed on.
    assert typed(capsys, "push", "model", "again/model", "--license", "mit")[0] == 0
    assert everything(Path("again/model")) == everything(shared)
    assert typed(capsys, "pull", "again/model", "--out", "deep/er")[0] == 0 and Translator.load("deep/er")


def test_what_is_to_be_typed_next_can_be(shared: Path, capsys: Capture) -> None:
    assert "pull 'my model'\n" in typed(capsys, "push", "one", "my model")[1]
    assert "translate 'our model' PHOTO --all\n" in typed(capsys, "pull", "my model", "--out", "our model")[1]


def test_facts_of_the_machine_are_removed(shared: Path) -> None:
    run = everything(Path("one"))
    assert all(b"ann-smith" in run[name] for name in ("recipe.toml", "evaluation/report.json", "samples/000020.png")), (
        "else this shows nothing"
    )
    for name, content in everything(shared).items():
        for word in ("ann-smith", SECRET, str(Path.cwd()), str(Path.home() / "x")[:-1]):
            assert word.encode() not in content, (name, word)
    tree = read_toml(shared / "recipe.toml")
    assert tree["datasets"]["celeba"] == {"root": "celeba", "nested": [{"file": "table.csv"}]}
    assert tree["train"] == {"steps": 20, "init": "first"} and RECIPE["train"]["init"] != "first"
    assert tree["evaluation"]["classifier"]["weights"] == "classifier.pth"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/ann/data/celeba", "celeba"),
        ("/home/ann/data/celeba/", "celeba"),
        ("~/celeba", "celeba"),
        ("~ann", "."),
        ("../ann/celeba", "celeba"),
        ("runs/../../ann/celeba", "celeba"),
        ("file:///home/ann/celeba", "celeba"),
        ("C:\\Users\\ann\\celeba", "celeba"),
        ("\\\\server\\ann\\celeba", "celeba"),
        ("/", "."),
        (str(Path.home()), "."),
        ("data/celeba", "data/celeba"),
        ("owner/name", "owner/name"),
        ("Black_Hair", "Black_Hair"),
        ("c:hair", "c:hair"),
        ("Avatars by Pablo Stanley (avataaars.com), drawn with python-avatars", None),
        ("images of CelebA (Liu et al. 2015), for non-commercial research only", None),
        (f"drawn from {Path.home()}/celeba", "drawn from ~/celeba"),
        (0.5, 0.5),
    ],
)
def test_paths_are_shortened_to_their_last_part(text: Any, kept: Any) -> None:
    kept = text if kept is None else kept
    assert remove_paths({"a": [{"b": text}]}) == {"a": [{"b": kept}]}


def test_a_name_that_holds_the_users_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    text = ["/mnt/data/portals", "/backup/al", "/data/alba.csv", "in /home/alba/x or /mnt/home/al", "in /home/al."]
    assert remove_paths(text) == ["portals", ".", "alba.csv", "in /home/alba/x or /mnt/home/al", "in ~."]


def test_names_are_no_paths(capsys: Capture) -> None:
    """Of attributes and values, whatever they are called: a model that calls them otherwise would be damaged."""
    attributes = (Attribute("/hair", ("~ann", "../dark")), Attribute("x:y"))
    tiny_translator({"toys": attributes}).save(Path("flat"))
    assert typed(capsys, "push", "flat", "shared")[0] == 0
    assert typed(capsys, "pull", "shared", "--out", "own")[0] == 0
    assert Translator.load("own").label_encoder.attributes == (attributes,)


def test_the_card_tells_what_hugging_face_reads_and_the_figures(shared: Path) -> None:
    card = (shared / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "mit",
        "library_name": "mdtranslate",
        "pipeline_tag": "image-to-image",
        "tags": ["mdtranslate", "image-to-image", "gan"],
    }
    assert "](samples/000020.png)" in body
    assert "after step 20.*" in body and "eld-out" not in body
    assert "**celeba**: 31 test images (1 more " in body and ", 31 edits." in body
    assert "| hair | 98.7% | 40.0% | 0.42 | 87.6% | -1.2 dB |" in body
    assert "| Male | 50.0% | 50.0% |  | 25.0% |  |" in body and "**Gap closed (lite): 0.42**" in body
    assert "76.5%" in body
    assert "- Faces: nobody" in body and "| celeba | hair, Eyeglasses, Male |" in body
    assert 'root = "celeba"' in body and "Recipe `tiny`, 7 steps." in body
    assert "mdtranslate translate model PHOTO --all\n" in body
    assert "plugins: plugin stargan (" in body and mdtranslate.__version__ in body


def test_what_was_not_measured_is_not_claimed(tmp_path: Path, capsys: Capture) -> None:
    run = make_run(tmp_path / "one", evaluated=False)
    assert typed(capsys, "push", "one", "first", "--no-picture")[0] == 0
    card = Path("first/README.md").read_text()
    assert "was not evaluated" in card and "![" not in card and "license" not in card
    assert not Path("first/samples").exists() and not Path("first/evaluation").exists()
    (run / "evaluation").mkdir()
    (run / "evaluation" / "report.json").write_text(json.dumps(report({"weights.safetensors": "of an earlier step"})))
    assert typed(capsys, "push", "one", "second")[0] == 0
    card = Path("second/README.md").read_text()
    assert "other weights" in card and "87.6%" not in card
    assert not Path("second/evaluation").exists()
    for damaged, key in (('{"datasets": {"celeba": {}}}', "datasets.celeba.classifier"), ("{", "datasets")):
        (run / "evaluation" / "report.json").write_text(damaged)
        code, line = refused(capsys, "push", "one", "third")
        assert code == 65 and f"report.json: {key}: Field required" in line and "mdtranslate evaluate one" in line


def test_a_translator_without_a_run_is_shared_too(capsys: Capture) -> None:
    tiny_translator().save(Path("flat"))
    assert typed(capsys, "push", "flat", "shared")[0] == 0
    assert typed(capsys, "pull", "shared", "--out", "own")[0] == 0
    assert Translator.load("own").trained == {"recipe": "tiny", "step": 7} and not Path("own/recipe.toml").exists()


def test_the_newest_grid_that_can_be_read_and_is_small_enough_is_taken(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "one")
    (run / "samples" / "000030.png").write_bytes(b"half a picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(run / "samples" / "000025.png")
    monkeypatch.setattr("mdtranslate.sharing.push.MAX_SAMPLE_GRID_BYTES", 4096)
    assert typed(capsys, "push", "one", "shared")[0] == 0
    assert [each.name for each in Path("shared/samples").iterdir()] == ["000020.png"]


class Copier(Generator):
    """Gives back what it is shown. Its first weights are of a file, and one is inside another."""

    name = "copier"

    class Config(Generator.Config):
        weights: Path | None = Field(None, description="a file")
        table: Path = Field(Path("table.csv"), description="another, which it needs")
        of: Choice[Generator] | None = Field(None, description="the one inside")

    def __init__(self, config: Any, *, label_encoder: Any, image_size: int) -> None:
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        if config.weights is not None:
            config.weights.read_bytes()

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image


class Hers:
    @mdtranslate.hookimpl
    def register_backbones(self) -> list[type]:
        return [Copier]


def test_files_of_first_weights_are_not_asked_for_elsewhere(
    tmp_path: Path, capsys: Capture, fresh_registry: Registry
) -> None:
    fresh_registry.register(Hers(), "hers")
    file = tmp_path / "first.pth"
    file.write_bytes(b"")
    inner = Choice(Copier, Copier.Config(weights=file, table=tmp_path / "labels.csv"))
    one = Copier(Copier.Config(weights=file, of=inner), label_encoder=tiny_model().label_encoder, image_size=16)
    Translator(Model(tiny_model().label_encoder, one, None), image_size=16, crops={"celeba": Crop()}).save(Path("run"))
    assert typed(capsys, "push", "run", "shared")[0] == 0
    file.unlink()
    assert typed(capsys, "pull", "shared", "--out", "own")[0] == 0
    metadata = json.loads(Path("own/translator/translator.json").read_text())["generator"]
    inside = {"name": "copier", "weights": None, "table": "labels.csv", "of": None}
    assert metadata == {"name": "copier", "weights": None, "table": "table.csv", "of": inside}


def test_plugins_inside_others_and_of_files_are_named_without_their_folder(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    plugin = tmp_path / "hers.py"
    plugin.write_text(
        "import mdtranslate, mdtranslate_stargan.networks as ours\n"
        "class Own(ours.StarGANGenerator):\n    name = 'her-generator'\n"
        "@mdtranslate.hookimpl\ndef register_backbones():\n    return [Own]\n"
    )
    program = (
        "import sys, json, pathlib\n"
        "from mdtranslate.config.registry import set_plugin_files\n"
        f"set_plugin_files((pathlib.Path({str(plugin)!r}),))\n"
        "from mdtranslate.config.recipe_loader import resolve\n"
        "from mdtranslate import Attribute, Crop, Translator\n"
        "from mdtranslate.config.model_bundle import Model\n"
        "small = ['data.image_size=32', 'generator.member.name=her-generator', 'generator.member.channels=4']\n"
        "recipe = resolve('diat', small).recipe\n"
        "own = {'toys': (Attribute('Round'),)}\n"
        "model = Model.build(recipe.label_encoder, recipe.generator, None, attributes=own, image_size=32)\n"
        "Translator(model, image_size=32, crops={'toys': Crop()}).save(pathlib.Path('run'))\n"
        "print(json.loads(pathlib.Path('run/translator.json').read_text())['plugins'])\n"
    )
    done = command(start=("-c", program))
    assert done.returncode == 0, done.stderr
    plugins = done.stdout.strip()
    assert "'plugin hers (hers.py)'" in plugins and "plugin basics (mdtranslate " in plugins, plugins
    assert str(tmp_path) not in plugins
