"""Models that plugins ship are found by name wherever a run is taken, and what is wrong with them is one line."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from test_cli import run as typed
from tiny import tiny_translator
from translators import random_image

from mdtranslate import Translator
from mdtranslate.config import shipped_models
from mdtranslate.config.command_line import format_command
from mdtranslate.config.manifest import read_manifest
from mdtranslate.config.registry import Registry, registry, set_plugin_files
from mdtranslate.config.shipped_models import format_run, resolve_run
from mdtranslate.errors import CheckpointError, MdtranslateError
from mdtranslate.sharing.push import Statements, push

Capture = pytest.CaptureFixture[str]
Command = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]

SOURCE = (
    "from pathlib import Path\nfrom mdtranslate import hookimpl\n"
    "@hookimpl\ndef register_models(): return [Path(__file__).parent / '{name}']\n"
)
TERMS = "Non-commercial research only\n\nThe whole text.\n"


def write_plugin(folder: Path) -> Path:
    """Writes a plugin file and the model `faces-16` that it ships; returns the file."""
    tiny_translator().save(folder / "flat")
    push(folder / "flat", str(folder / "faces-16"), Statements(terms=TERMS), include_sample_grid=False)
    file = folder / "shipping.py"
    file.write_text(SOURCE.format(name="faces-16"))
    return file


@pytest.fixture(autouse=True)
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; a registry, and warnings, of this test's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shipped_models._log.cache_clear()
    yield folder
    set_plugin_files(())


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin file that ships the model `faces-16`, which is registered."""
    folder = tmp_path / "plugin"
    folder.mkdir()
    file = write_plugin(folder)
    set_plugin_files((file,))
    return file


def test_a_name_is_a_model_and_a_path_is_a_folder(plugin: Path, cwd: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = plugin.parent / "faces-16"
    assert resolve_run("faces-16") == model and resolve_run("nowhere/faces-16") == Path("nowhere/faces-16")
    assert Translator.load("faces-16").image_size == 16 and not (cwd / "faces-16").exists()
    caplog.clear()
    tiny_translator(image_size=32).save(Path("faces-16"))
    assert resolve_run("faces-16") == model, "the name wins, so that what it means does not depend on where one is"
    assert "./faces-16" in caplog.text
    assert Translator.load("./faces-16").image_size == 32
    assert Translator.load(Path("faces-16")).image_size == 32 and Translator.load(f"faces-16{os.sep}").image_size == 32
    Path("faces-16").rename("other")
    assert Translator.load("other").image_size == 32
    for text in (".", ".."):
        assert resolve_run(text) == Path(text)


def test_messages_name_runs_so_that_they_can_be_typed(plugin: Path) -> None:
    for text in ("faces-16", "./faces-16", "runs/one", "/tmp"):
        assert format_run(resolve_run(text)) == text
    assert format_command("evaluate", Path("faces-16")).endswith("evaluate ./faces-16")


@pytest.mark.parametrize(
    ("text", "hint"), [("faces-61", "did you mean 'faces-16'?"), ("something", "`mdtranslate models`")]
)
def test_an_unknown_name_is_neither(plugin: Path, capsys: Capture, text: str, hint: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        Translator.load(text)
    assert str(caught.value).startswith(f"{text}: no such folder, and no model of this name: ") and hint in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    for words in (("translate", text, "x.png", "--all"), ("serve", text), ("evaluate", text), ("push", text, "there")):
        code, out, err = typed(capsys, *words)
        assert (code, out) == (65, "") and text in err and len(err.splitlines()) == 1
    for path in (f"{text}/x", f"./{text}"):
        with pytest.raises(CheckpointError, match=r"no such folder$"):
            Translator.load(path)


def test_every_command_that_takes_a_run_takes_a_name(plugin: Path, capsys: Capture) -> None:
    Image.fromarray(random_image()).save("photo.png")
    code, _, err = typed(capsys, "translate", "faces-16", "photo.png", "--set", "hair=Blond_Hair")
    assert code == 0 and Path("translated/photo.hair=Blond_Hair.png").is_file(), err
    code, out, err = typed(capsys, "export", "faces-16", "--to", "torch")
    assert code == 0 and Path("faces-16.pt2").is_file(), err
    assert typed(capsys, "push", "faces-16", "copy")[0] == 0
    manifest = read_manifest(Path("copy"))
    assert manifest.terms == "Non-commercial research only" and Path("copy/LICENSE").read_text() == TERMS
    code, out, err = typed(capsys, "pull", "faces-16")
    assert code == 0 and "translate ./faces-16 PHOTO" in out and Path("faces-16/LICENSE").read_text() == TERMS
    code, _, err = typed(capsys, "run", "faces-16")
    assert code == 2, "a folder of this name is no run"
    shutil.rmtree("faces-16")
    code, _, err = typed(capsys, "run", "faces-16")
    assert code == 2 and "train.init=faces-16" in err


def test_terms_are_shown_at_the_first_use_and_in_the_list(
    plugin: Path, caplog: pytest.LogCaptureFixture, capsys: Capture
) -> None:
    for _ in range(2):
        Translator.load("faces-16")
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].name == "mdtranslate"
    assert "faces-16: Non-commercial research only; see " in caplog.text and "LICENSE" in caplog.text
    assert "terms   Non-commercial research only" in typed(capsys, "models")[1]
    card = typed(capsys, "models", "faces-16")[1]
    assert "**Non-commercial research only**" in card and str(plugin.parent / "faces-16" / "LICENSE") in card


def test_the_command_line_shows_terms_on_standard_error(plugin: Path, command: Command, tmp_path: Path) -> None:
    Image.fromarray(random_image()).save(tmp_path / "photo.png")
    done = command("--plugin", str(plugin), "translate", "faces-16", str(tmp_path / "photo.png"), "--all")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "Non-commercial" in line] == [
        f"faces-16: Non-commercial research only; see {plugin.parent / 'faces-16' / 'LICENSE'}"
    ]
    assert "Non-commercial" not in done.stdout


def test_the_list(plugin: Path, capsys: Capture) -> None:
    code, out, err = typed(capsys, "models", "--json")
    assert (code, err) == (0, "")
    (model,) = [model for model in json.loads(out) if model["name"] == "faces-16"]
    files = [file for file in (plugin.parent / "faces-16").rglob("*") if file.is_file()]
    assert model == {
        "name": "faces-16",
        "plugin": f"plugin shipping ({plugin})",
        "folder": str(plugin.parent / "faces-16"),
        "attributes": {name: list(values) for name, values in Translator.load("faces-16").edits().items()},
        "image_size": 16,
        "size": sum(file.stat().st_size for file in files if file.name not in ("README.md", "mdtranslate.json")),
        "datasets": ["celeba"],
        "credit": ["Faces: nobody"],
        "terms": "Non-commercial research only",
        "error": "",
    }
    out = typed(capsys, "models")[1]
    assert (
        f"faces-16  of plugin shipping ({plugin})\n  edits   hair=none|Black_Hair|Blond_Hair, Eyeglasses=no|yes" in out
    )
    code, out, err = typed(capsys, "models", "faces-61")
    assert (code, out) == (2, "") and "did you mean 'faces-16'?" in err
    assert "# faces-16" in json.loads(typed(capsys, "models", "faces-16", "--json")[1])["card"]
    assert typed(capsys, "plugins", "model", "faces-16")[1] == typed(capsys, "models", "faces-16")[1]
    assert "model     faces-16" in typed(capsys, "plugins")[1]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (
        lambda at: (at / "translator" / "weights.safetensors").write_bytes(b"x"),
        "weights.safetensors: is damaged",
    ),
    "missing weights": (
        lambda at: (at / "translator" / "weights.safetensors").unlink(),
        "weights.safetensors: is missing",
    ),
    "description": (lambda at: (at / "translator" / "translator.json").write_text("{}"), "translator.json: is damaged"),
    "no translator": (lambda at: shutil.rmtree(at / "translator"), "translator.json: is missing"),
    "manifest": (lambda at: (at / "mdtranslate.json").write_text("{}"), "mdtranslate.json: is damaged"),
    "licence": (lambda at: (at / "LICENSE").unlink(), "LICENSE: is missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_model_is_one_line_that_names_its_plugin(plugin: Path, capsys: Capture, what: str) -> None:
    damage, message = DAMAGE[what]
    damage(plugin.parent / "faces-16")
    for words in (("translate", "faces-16", "photo.png", "--all"), ("models", "faces-16"), ("pull", "faces-16")):
        code, out, err = typed(capsys, *words)
        assert (code, out) == (65, "") and len(err.splitlines()) == 1, err
        assert f"model 'faces-16' of plugin shipping ({plugin})" in err and message in err
    code, out, _ = typed(capsys, "models")
    assert code == 0 and "broken" in out and message in out and "avatars-64" in out, (
        "the others are listed all the same"
    )


BROKEN = {
    "absent": (SOURCE.format(name="absent-16"), "model 'absent-16': "),
    "empty": (SOURCE.format(name="empty-16"), "model 'empty-16': "),
    "odd": (SOURCE.format(name="odd 16"), "model 'odd 16': the name of a model consists of"),
    "taking": (SOURCE.format(name="avatars-64"), "model 'avatars-64' is already registered by plugin avatars"),
    "stringly": (
        SOURCE.format(name="x").replace("[Path(__file__).parent / 'x']", "['x']"),
        "register_models: TypeError",
    ),
    "failing": (SOURCE.format(name="x").replace("[Path", "[1 / 0, Path"), "register_models: ZeroDivisionError"),
}


def test_plugins_with_broken_models_do_no_harm(site: Path, install: Install, tmp_path: Path, capsys: Capture) -> None:
    for name, (source, _) in BROKEN.items():
        install(name, source)
    (site / "empty-16").mkdir()
    tiny_translator().save(tmp_path / "flat")
    for name in ("odd 16", "avatars-64"):
        push(tmp_path / "flat", str(site / name), include_sample_grid=False)
    set_plugin_files(())
    plugins = {plugin.name: plugin for plugin in registry().plugins}
    for name, (_, error) in BROKEN.items():
        (problem,) = plugins[name].errors
        assert error in problem and "\n" not in problem and plugins[name].provides == []
    assert registry().owner("model", "avatars-64").name == "avatars"
    code, out, err = typed(capsys, "models")
    assert code == 0 and "avatars-64" in out and len(err.splitlines()) == len(BROKEN)
    with pytest.raises(MdtranslateError, match=r"absent-16: .*plugin absent \(absent-dist 1.0\) is broken: model"):
        Translator.load("absent-16")


def test_a_name_that_two_plugins_register_belongs_to_neither(site: Path, install: Install, tmp_path: Path) -> None:
    tiny_translator().save(tmp_path / "flat")
    push(tmp_path / "flat", str(site / "pets-16"), include_sample_grid=False)
    for name in ("first", "second"):
        install(name, SOURCE.format(name="pets-16"))
    found = Registry()
    assert "pets-16" not in found.names("model") and "avatars-64" in found.names("model")
    for name, other in (("first", "second"), ("second", "first")):
        (plugin,) = [plugin for plugin in found.plugins if plugin.name == name]
        assert len(plugin.errors) == 1 and f"plugin {other} ({other}-dist 1.0)" in plugin.errors[0]


def test_a_model_whose_component_is_missing_names_the_plugin(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry()._entries, ("backbone", "stargan-generator"))
    with pytest.raises(MdtranslateError, match=r"'stargan-generator'.*saved with plugin stargan \("):
        Translator.load("faces-16")


def test_a_user_without_a_home_folder(plugin: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that run as a user whom the system does not know."""

    def fail(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.setattr("mdtranslate.utils.files.platformdirs.user_cache_path", fail)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert typed(capsys, "push", "faces-16", "copy")[0] == 0
    code, _, err = typed(capsys, "evaluate", "avatars-64", "--out", "figures")
    assert code == 74 and "XDG_CACHE_HOME" in err.splitlines()[-1]
    assert "no home folder" in typed(capsys, "info")[1]


def test_an_unknown_name_in_a_recipe_is_reported_with_its_key(plugin: Path, capsys: Capture) -> None:
    code, _, err = typed(capsys, "run", "stargan", "train.init=faces-61", "--out", "new")
    assert code == 65 and err.startswith("error: train.init: faces-61: no such folder") and not Path("new").exists()
