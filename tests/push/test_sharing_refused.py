"""What is no sound shared model is refused in one line, and nothing is left of the attempt."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w
from pydantic import TypeAdapter
from sharing import make_run, refused, relist, reseal
from test_cli import run as typed
from tiny import tiny_model

from mdtranslate import Choice, Crop, Discriminator, Translator
from mdtranslate.config import manifest
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe_loader import resolve, to_tree
from mdtranslate.utils import timm_factory

Capture = pytest.CaptureFixture[str]


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
    os.truncate(folder / "recipe.toml", manifest.MAX_BYTES + 1)


def stranger(folder: Path) -> None:
    (folder / "translator" / "more.safetensors").write_bytes(b"not listed")


def nested(folder: Path) -> None:
    (folder / "translator" / "translator.json").write_text("[" * 100_000)
    relist(folder)


def bomb(folder: Path) -> None:
    metadata = json.loads((folder / "translator" / "translator.json").read_text())
    reseal(folder / "translator", "translator", image_size="large", crops=metadata["crops"])
    relist(folder)


SABOTAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no list": (
        lambda at: (at / "mdtranslate.json").unlink(),
        "shared/model: not a model of `mdtranslate push`",
    ),
    "a pickle": (lambda at: (at / "translator" / "weights.pt").write_bytes(b"x"), "'translator/weights.pt'"),
    "code": (lambda at: (at / "handler.py").write_text("import os"), "'handler.py'"),
    "a file nobody listed": (stranger, "shared/model/translator/more.safetensors: is not listed in mdtranslate.json"),
    "a link": (lambda at: link(at / "translator" / "weights.safetensors"), "weights.safetensors: is a link"),
    "a linked folder": (lambda at: (at / "more").symlink_to(at.parent), "shared/model/more: is a link"),
    "a pipe": (lambda at: os.mkfifo(at / "evaluation" / "pipe"), "shared/model/evaluation/pipe: is not a regular file"),
    "too large": (sparse, f"recipe.toml has {manifest.MAX_BYTES + 1:,} bytes; at most {manifest.MAX_BYTES:,}"),
    "a way out in the list": (climb, "'translator/../../outside.safetensors'"),
    "a way out in the translator": (climb_inside, "shared/model/translator/outside.safetensors: cannot be read"),
    "a list of another shape": (lambda at: reseal(at, files=[1]), "shared/model/mdtranslate.json: is damaged: files: "),
    "a missing file": (lambda at: (at / "recipe.toml").unlink(), "shared/model/recipe.toml: is missing"),
    "a missing translator": (
        lambda at: (at / "translator" / "translator.json").unlink(),
        "translator/translator.json: is missing",
    ),
    "nested without end": (nested, "shared/model/translator/translator.json: is damaged: "),
    "an impossible translator": (bomb, "shared/model/translator/translator.json: image_size: Input should be"),
    "no weights": (
        lambda at: (reseal(at / "translator", "translator", files=None), relist(at)),
        "shared/model/translator/translator.json: is damaged",
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


def test_files_beside_a_model_are_not_pulled(shared: Path, capsys: Capture) -> None:
    (shared / "README.md").write_text("Its owner wrote another card.")
    (shared / "LICENSE").write_text("MIT")
    (shared / ".git").mkdir()
    (shared / ".git" / "hooks.py").write_text("import os")
    assert typed(capsys, "pull", "shared/model")[0] == 0
    assert Path("model/README.md").read_text() == "Its owner wrote another card."
    assert not Path("model/LICENSE").exists() and not Path("model/.git").exists()


@pytest.mark.parametrize("gone", [True, False])
def test_a_translator_that_is_replaced_meanwhile_is_refused(
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
    assert err.startswith("error: one/translator: was replaced") and len(err.splitlines()) == 1


def test_a_folder_that_is_no_model_is_not_walked_through(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    below = Path("much/below")
    below.mkdir(parents=True)
    (below / "link").symlink_to("/")
    seen: list[Any] = []
    watched = SimpleNamespace(scandir=lambda at: seen.append(Path(at)) or os.scandir(at))
    monkeypatch.setattr("mdtranslate.sharing.pull.os", watched)
    code, line = refused(capsys, "pull", "much", "--out", "own")
    assert code == 65 and line.startswith("much: ") and "mdtranslate.json" in line
    assert seen == [Path("much")]


def test_a_run_is_no_shared_model_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    make_run(tmp_path / "one")
    code, line = refused(capsys, "pull", "one", "--out", "two")
    assert code == 65 and line.startswith("one: ") and line.endswith("accept one as it is")
    code, line = refused(capsys, "pull", "nowhere")
    assert code == 65 and line.startswith("nowhere: no such folder, and no model of this name")
    code, line = refused(capsys, "push", "nowhere", "somewhere")
    assert code == 65 and line.startswith("nowhere: no such folder, and no model of this name")


def test_nothing_is_written_over(shared: Path, capsys: Capture) -> None:
    code, line = refused(capsys, "push", "one", "shared/model")
    assert code == 2 and line.startswith("shared/model: ")
    code, line = refused(capsys, "pull", "shared/model", "--out", "one")
    assert code == 2 and line.startswith("--out one: ")
    code, line = refused(capsys, "push", "one", "two", "--private")
    assert code == 2 and "--private and --message" in line
    code, line = refused(capsys, "push", "one", "two", "--license", "MIT License")
    assert code == 2 and "--license MIT License: " in line


def test_the_folder_that_one_is_in_is_not_replaced(
    shared: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path("here").absolute()
    here.mkdir()
    monkeypatch.chdir(here)
    for words in (("pull", "../shared/model", "--out", "."), ("push", "../one", ".")):
        code, line = refused(capsys, *words)
        assert code == 2 and line.startswith(".: ")
        assert here.samefile(".")
    monkeypatch.chdir(here.parent)
    assert typed(capsys, "pull", "shared/model", "--out", "here")[0] == 0, "empty, and nobody is in it"


def test_a_link_stays_and_what_it_leads_to_is_filled(shared: Path, capsys: Capture) -> None:
    Path("far").mkdir()
    for words in (("pull", "shared/model", "--out", "link"), ("push", "one", "link")):
        shutil.rmtree("far")
        Path("far").mkdir()
        Path("link").unlink(missing_ok=True)
        Path("link").symlink_to("far")
        assert typed(capsys, *words)[0] == 0
        assert Path("link").is_symlink() and (Path("far") / manifest.MANIFEST).is_file()
        assert not [*Path().rglob(".*.part")]


def test_a_pull_that_fails_leaves_no_folders_above(shared: Path, capsys: Capture) -> None:
    change(shared / "recipe.toml")
    assert refused(capsys, "pull", "shared/model", "--out", "a/b/c")[0] == 65
    Path("a").mkdir()
    assert refused(capsys, "pull", "shared/model", "--out", "a/b/c")[0] == 65 and Path("a").is_dir()


def test_a_model_of_a_missing_plugin_names_it(shared: Path, capsys: Capture) -> None:
    generator = {"name": "her-generator", "channels": 4}
    reseal(shared / "translator", "translator", generator=generator, plugins=["plugin hers (hers-dist 1.2)"])
    relist(shared)
    code, line = refused(capsys, "pull", "shared/model")
    assert code == 69 and "'her-generator'" in line
    assert "plugin hers (hers-dist 1.2)" in line and line.startswith("shared/model/translator/")


def with_weights(folder: Path) -> None:
    """A shared model whose discriminator names a file, as who wants it opened elsewhere can write it."""
    model = tiny_model()
    choice = TypeAdapter(Choice[Discriminator]).validate_python({"name": "timm-discriminator", "model": "test_resnet"})
    discriminator = choice.build(label_encoder=model.label_encoder, image_size=32)
    model = Model(model.label_encoder, model.generator, discriminator)
    Translator(model, image_size=32, crops={"celeba": Crop()}).save(folder / "t")
    shutil.rmtree(folder / "translator")
    (folder / "t").rename(folder / "translator")
    metadata = json.loads((folder / "translator/translator.json").read_text())["discriminator"]
    reseal(folder / "translator", "translator", discriminator={**metadata, "weights": "/etc/hostname"})
    relist(folder)


def test_no_file_that_a_model_names_is_opened(shared: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with_weights(shared)
    read = list[Path]()
    monkeypatch.setattr(timm_factory, "read_state_dict", read.append)
    code, _, err = typed(capsys, "pull", "shared/model", "--out", "own")
    assert code == 0, err
    assert Translator.load(Path("own")).model.discriminator is not None
    assert not read


def test_paths_of_a_shared_recipe_are_not_read(shared: Path, capsys: Capture) -> None:
    """Only what the user names on the command line is."""
    features = 'metrics={fid={name="distribution", network={name="timm", model="resnet18", weights="theirs/w.pth"}}}'
    recipe = resolve("stargan", ['datasets={pets={name="folder", root="theirs"}}', features]).recipe
    (shared / "recipe.toml").write_text(tomli_w.dumps(to_tree(recipe)))
    relist(shared)
    assert typed(capsys, "pull", "shared/model", "--out", "own")[0] == 0
    code, line = refused(capsys, "evaluate", "own")
    assert code == 2 and "--out" in line, "what was shared stays as it is"
    code, line = refused(capsys, "evaluate", "own", "--out", "figures")
    places = "datasets.pets.root=theirs", "metrics.fid.network.weights=theirs/w.pth"
    assert code == 2 and all(place in line for place in places)
    code, line = refused(capsys, "evaluate", "own", "--out", "figures", *places)
    assert "there is no such folder" in line
    code, line = refused(capsys, "run", "own")
    assert code == 2 and "train.init=own" in line
