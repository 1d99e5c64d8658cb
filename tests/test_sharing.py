"""A shared model is the run's model and nothing else of the machine, and what is no sound one is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import Field
from sharing import RECIPE, SECRET, everything, make_run, relist, report, reseal
from test_cli import run as typed
from tiny import register, tiny_model, tiny_translator
from translators import picture

import mdtranslate
from mdtranslate import Crop, Generator, Translator
from mdtranslate.choice import Choice
from mdtranslate.model import Model
from mdtranslate.recipes import read_toml
from mdtranslate.registry import Registry
from mdtranslate.sharing import layout
from mdtranslate.sharing.private import without_places

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shared(tmp_path: Path, capsys: Capture) -> Path:
    make_run(tmp_path / "one")
    code, out, err = typed(capsys, "push", "one", "shared/model", "--license", "mit")
    assert (code, err) == (0, "") and "others take it with: mdtranslate pull shared/model" in out
    return tmp_path / "shared" / "model"


def refused(capsys: Capture, *arguments: str) -> tuple[int, str]:
    """The exit code and the line of a command that must fail and change nothing on the disk."""
    before = sorted(Path().rglob("*"))
    code, out, err = typed(capsys, *arguments)
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: "), err
    assert sorted(Path().rglob("*")) == before
    return code, err.removeprefix("error: ").strip()


def test_what_is_pulled_translates_as_the_run_does(shared: Path, capsys: Capture) -> None:
    code, out, err = typed(capsys, "pull", "shared/model")
    assert (code, err) == (0, "") and "next: mdtranslate translate model PHOTO --all" in out
    assert everything(Path("model")) == everything(shared)
    own, theirs = Translator.load("one"), Translator.load("model")
    for edit in ({"hair": "Blond_Hair"}, {"Male": True}):
        pair = [np.asarray(each(picture(), edits=edit)) for each in (own, theirs)]
        assert np.array_equal(*pair) and not np.array_equal(pair[0], picture())
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


def test_nothing_of_the_machine_is_told(shared: Path) -> None:
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
    assert tree["evaluation"]["judge"]["weights"] == "judge.pth"


@pytest.mark.parametrize(
    ("told", "kept"),
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
        ("Avatars by Pablo Stanley (avataaars.com), drawn with python-avatars", None),
        ("pictures of CelebA (Liu et al. 2015), for non-commercial research only", None),
        (f"drawn from {Path.home()}/celeba", "drawn from ~/celeba"),
        (0.5, 0.5),
    ],
)
def test_of_a_path_elsewhere_the_last_part_is_told(told: Any, kept: Any) -> None:
    kept = told if kept is None else kept
    assert without_places({"a": [{"b": told}]}) == {"a": [{"b": kept}]}


def test_the_card_tells_what_hugging_face_reads_and_the_figures(shared: Path) -> None:
    card = (shared / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "mit",
        "library_name": "mdtranslate",
        "pipeline_tag": "image-to-image",
        "tags": ["mdtranslate", "image-to-image", "gan"],
    }
    assert "![Each row: a picture, then the same picture after each edit](samples/000020.png)" in body
    assert "**celeba**: 31 test pictures, 1 more cannot be read, 31 edits." in body
    assert "| hair | 98.7% | 87.6% | -1.2 dB |" in body and "| Male | 50.0% | 25.0% |  |" in body
    assert "judged as it was in 76.5%" in body
    assert "- Faces: nobody" in body and "| celeba | hair, Eyeglasses, Male |" in body
    assert 'root = "celeba"' in body and "Recipe `tiny`, 7 steps." in body
    assert "mdtranslate translate model PHOTO --all\n" in body
    assert "It needs: plugin stargan (" in body and mdtranslate.__version__ in body


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
    assert "trained on after it was evaluated" in card and "87.6%" not in card
    assert not Path("second/evaluation").exists()
    (run / "evaluation" / "report.json").write_text('{"datasets": {"celeba": {}}}')
    code, line = refused(capsys, "push", "one", "third")
    assert code == 65 and "report.json: datasets.celeba.judge: Field required; mdtranslate evaluate" in line


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
    monkeypatch.setattr("mdtranslate.sharing.push.MOST_PICTURE", 4096)
    assert typed(capsys, "push", "one", "shared")[0] == 0
    assert [each.name for each in Path("shared/samples").iterdir()] == ["000020.png"]


def change(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def link(file: Path) -> None:
    file.rename(file.parents[3] / "elsewhere")
    file.symlink_to(file.parents[3] / "elsewhere")


def climb(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    outside.write_bytes(b"weights")
    files = json.loads((folder / "mdtranslate.json").read_text())["files"]
    files["translator/../../outside.safetensors"] = files["recipe.toml"]
    reseal(folder, files=files)


def climb_inside(folder: Path) -> None:
    reseal(folder / "translator", "translator", files={"../../../outside.safetensors": "0"})
    relist(folder)


def sparse(folder: Path) -> None:
    os.truncate(folder / "recipe.toml", layout.MOST + 1)


def stranger(folder: Path) -> None:
    (folder / "translator" / "more.safetensors").write_bytes(b"not listed")


def nested(folder: Path) -> None:
    (folder / "translator" / "translator.json").write_text("[" * 100_000)
    relist(folder)


def bomb(folder: Path) -> None:
    facts = json.loads((folder / "translator" / "translator.json").read_text())
    reseal(folder / "translator", "translator", image_size="large", crops=facts["crops"])
    relist(folder)


SABOTAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no list": (lambda at: (at / "mdtranslate.json").unlink(), "shared/model: holds no mdtranslate.json, so it is no"),
    "a pickle": (lambda at: (at / "translator" / "weights.pt").write_bytes(b"x"), "'translator/weights.pt' is no part"),
    "code": (lambda at: (at / "handler.py").write_text("import os"), "'handler.py' is no part of a shared model"),
    "a file nobody listed": (stranger, "shared/model/translator/more.safetensors: is not listed in mdtranslate.json"),
    "a link": (lambda at: link(at / "translator" / "weights.safetensors"), "weights.safetensors: is a link, and no"),
    "a linked folder": (lambda at: (at / "more").symlink_to(at.parent), "shared/model/more: is a link, and no part"),
    "a pipe": (lambda at: os.mkfifo(at / "evaluation" / "pipe"), "shared/model/evaluation/pipe: is no file, and no"),
    "too large": (sparse, f"recipe.toml has {layout.MOST + 1:,} bytes; {layout.MOST:,} are allowed"),
    "a way out in the list": (climb, "'translator/../../outside.safetensors' is no part of a shared model"),
    "a way out in the translator": (climb_inside, "shared/model/translator/outside.safetensors: cannot be read"),
    "a list of another shape": (lambda at: reseal(at, files=[1]), "shared/model/mdtranslate.json: is damaged: files: "),
    "a missing file": (lambda at: (at / "recipe.toml").unlink(), "shared/model/recipe.toml: is missing"),
    "a missing translator": (lambda at: (at / layout.TRANSLATOR).unlink(), "translator/translator.json: is missing"),
    "nested without end": (nested, "shared/model/translator/translator.json: is damaged: "),
    "an impossible translator": (bomb, "shared/model/translator/translator.json: image_size: Input should be"),
    "no weights": (
        lambda at: (reseal(at / "translator", "translator", files=None), relist(at)),
        "shared/model/translator/translator.json: names no files of weights",
    ),
    **{
        f"a bit of {name}": (lambda at, name=name: change(at / name), f"shared/model/{name}: is damaged: ")
        for name in (
            "mdtranslate.json",
            "recipe.toml",
            "evaluation/report.json",
            "samples/000020.png",
            "translator/translator.json",
            "translator/weights.safetensors",
        )
    },
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_what_is_no_sound_model_is_refused_in_one_line(shared: Path, capsys: Capture, what: str) -> None:
    sabotage, message = SABOTAGE[what]
    sabotage(shared)
    code, line = refused(capsys, "pull", "shared/model")
    assert code == 65 and message in line, line
    assert ".part" not in line, "a folder that is gone by now"


def test_what_is_beside_a_model_stays_there(shared: Path, capsys: Capture) -> None:
    (shared / "README.md").write_text("Its owner wrote another card.")
    (shared / "LICENSE").write_text("MIT")
    (shared / ".git").mkdir()
    (shared / ".git" / "hooks.py").write_text("import os")
    assert typed(capsys, "pull", "shared/model")[0] == 0
    assert Path("model/README.md").read_text() == "Its owner wrote another card."
    assert not Path("model/LICENSE").exists() and not Path("model/.git").exists()


@pytest.mark.parametrize("gone", [True, False])
def test_a_translator_that_a_training_replaces_meanwhile_is_not_half_of_each(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    run, copy = make_run(tmp_path / "one"), shutil.copyfile

    def late(source: Path, target: Path, **more: Any) -> Any:
        if source.parent == Path("one/translator"):
            source.unlink()
            if not gone:
                source.write_bytes(b"those of a later step")
        return copy(source, target, **more)

    monkeypatch.setattr(shutil, "copyfile", late)
    before = sorted(set(run.parent.iterdir()))
    code, out, err = typed(capsys, "push", "one", "shared")
    assert (code, out) == (65, "") and sorted(set(run.parent.iterdir())) == before
    assert err == "error: one/translator: was replaced while it was read, as a run that trains does; push again\n"


def test_a_folder_that_is_no_model_is_not_walked_through(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    below = Path("much/below")
    below.mkdir(parents=True)
    (below / "link").symlink_to("/")
    seen: list[Any] = []
    watched = SimpleNamespace(scandir=lambda at: seen.append(Path(at)) or os.scandir(at))
    monkeypatch.setattr("mdtranslate.sharing.pull.os", watched)
    code, line = refused(capsys, "pull", "much", "--out", "own")
    assert (code, line) == (65, "much: holds no mdtranslate.json, so it is no model that `mdtranslate push` wrote")
    assert seen == [Path("much")]


def test_a_run_is_no_shared_model_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    make_run(tmp_path / "one")
    code, line = refused(capsys, "pull", "one", "--out", "two")
    assert code == 65 and line.endswith("no model that `mdtranslate push` wrote; one is read as it is")
    code, line = refused(capsys, "pull", "nowhere")
    assert (code, line) == (65, "nowhere: there is no such folder")
    code, line = refused(capsys, "push", "nowhere", "somewhere")
    assert (code, line) == (65, "nowhere: there is no such folder")


def test_nothing_is_written_over(shared: Path, capsys: Capture) -> None:
    code, line = refused(capsys, "push", "one", "shared/model")
    assert code == 2 and line.startswith("shared/model: is there already, and nothing is ever written over")
    code, line = refused(capsys, "pull", "shared/model", "--out", "one")
    assert code == 2 and line.startswith("--out one: is there already")
    code, line = refused(capsys, "push", "one", "two", "--private")
    assert code == 2 and "--private and --message are for hf://OWNER/NAME" in line
    code, line = refused(capsys, "push", "one", "two", "--license", "MIT License")
    assert code == 2 and "--license MIT License: write it as Hugging Face does" in line


def test_a_model_of_a_missing_plugin_names_it(shared: Path, capsys: Capture) -> None:
    generator = {"name": "her-generator", "channels": 4}
    reseal(shared / "translator", "translator", generator=generator, plugins=["plugin hers (hers-dist 1.2)"])
    relist(shared)
    code, line = refused(capsys, "pull", "shared/model")
    assert code == 69 and "no backbone is called 'her-generator'" in line
    assert "(trained with plugin hers (hers-dist 1.2))" in line and line.startswith("shared/model/translator/")


class Copier(Generator):
    """Gives back what it is shown. Its first weights are of a file, and one is inside another."""

    name = "copier"

    class Config(Generator.Config):
        weights: Path | None = Field(None, description="a file")
        table: Path = Field(Path("table.csv"), description="another, which it needs")
        of: Choice[Generator] | None = Field(None, description="the one inside")

    def __init__(self, config: Any, *, encoder: Any, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
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
    one = Copier(Copier.Config(weights=file, of=inner), encoder=tiny_model().encoder, image_size=16)
    Translator(Model(tiny_model().encoder, one, None), image_size=16, crops={"celeba": Crop()}).save(Path("run"))
    assert typed(capsys, "push", "run", "shared")[0] == 0
    file.unlink()
    assert typed(capsys, "pull", "shared", "--out", "own")[0] == 0
    facts = json.loads(Path("own/translator/translator.json").read_text())["generator"]
    inside = {"name": "copier", "weights": None, "table": "labels.csv", "of": None}
    assert facts == {"name": "copier", "weights": None, "table": "table.csv", "of": inside}


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
        "from mdtranslate.registry import use_files\n"
        f"use_files((pathlib.Path({str(plugin)!r}),))\n"
        "from mdtranslate.recipes import resolve\n"
        "from mdtranslate import Attribute, Crop, Translator\n"
        "from mdtranslate.model import Model\n"
        "small = ['data.image_size=32', 'generator.of.name=her-generator', 'generator.of.channels=4']\n"
        "recipe = resolve('diat', small).recipe\n"
        "own = {'toys': (Attribute('Round'),)}\n"
        "model = Model.build(recipe.encoder, recipe.generator, None, attributes=own, image_size=32)\n"
        "Translator(model, image_size=32, crops={'toys': Crop()}).save(pathlib.Path('run'))\n"
        "print(json.loads(pathlib.Path('run/translator.json').read_text())['plugins'])\n"
    )
    done = command(start=("-c", program))
    assert done.returncode == 0, done.stderr
    found = done.stdout.strip()
    assert "'plugin hers (hers.py)'" in found and "plugin basics (mdtranslate " in found, found
    assert str(tmp_path) not in found
