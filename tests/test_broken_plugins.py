"""Broken plugins are listed with their errors, named for unknown components, and do not affect others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mdtranslate.config.registry import Registry
from mdtranslate.errors import PluginError

Install = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


GOOD = """
    from mdtranslate import Dataset, hookimpl

    class Good(Dataset):
        '''A dataset of nothing.'''
        name = "{name}"

        def records(self, split):
            return []

    @hookimpl
    def register_datasets():
        return [Good]
"""


def made_for(version: str, name: str) -> str:
    """Returns the source of a good plugin for a version of the plugin API."""
    return GOOD.format(name=name).replace("    from", f"    mdtranslate_api = {version}\n    from", 1)


# Source and error of a broken plugin, by name.
BROKEN = {
    "raising": ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    "lacking": (
        "import no_such_dependency_of_mine",
        "ModuleNotFoundError: No module named 'no_such_dependency_of_mine'",
    ),
    "exiting": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "unparsable": ("def (", "SyntaxError"),
    "misspelling": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_dataset(): return []",
        "register_dataset is not a hook: did you mean 'register_datasets'?",
    ),
    "misspelling_unmarked": (
        "def register_loss(): return []",
        "register_loss is not a hook: did you mean 'register_losses'?",
    ),
    "unmarked": ("def register_losses(): return []", "register_losses lacks @mdtranslate.hookimpl"),
    "failing": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return 1 / 0",
        "ZeroDivisionError",
    ),
    "quitting": ("from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): raise SystemExit", "SystemExit"),
    "numbering": ("from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return 5", "TypeError"),
    "listing": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return ['a.b:C']",
        "register_losses: TypeError: 'a.b:C'",
    ),
    "pathless": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {'x': 'a.b.C'}",
        "loss 'x': 'a.b.C'",
    ),
    "nameless": ("from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {3: 'a:B'}", "loss 3: "),
    "taking": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {'wgan-gp': 'taking:Mine'}",
        "loss 'wgan-gp' is already registered by plugin stargan (mdtranslate",
    ),
    "wrong_kind": (
        "from mdtranslate import hookimpl, Dataset\nclass D(Dataset):\n  name = 'd'\n"
        "@hookimpl\ndef register_label_encoders(): return [D]",
        "is not a subclass of mdtranslate.LabelEncoder",
    ),
    "instance": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_datasets(): return {'d': object()}",
        "is not a subclass of mdtranslate.Dataset",
    ),
    "misnamed": (
        "from mdtranslate import hookimpl, Dataset\nclass D(Dataset):\n  name = 'other'\n"
        "@hookimpl\ndef register_datasets(): return {'one': D}",
        "dataset 'one': the class has another name: 'other'",
    ),
    "unsettled": (
        "from mdtranslate import hookimpl, Dataset, Settings\nclass D(Dataset):\n  name = 'unsettled'\n"
        "  class Config(Settings): pass\n@hookimpl\ndef register_datasets(): return [D]",
        "its Config is not a subclass of mdtranslate.Dataset.Config",
    ),
    "miscalled": (
        "from mdtranslate import hookimpl, Generator\nclass G(Generator):\n  name = 'g'\n"
        "  def forward(self, image, source, target): return image\n"
        "@hookimpl\ndef register_backbones(): return [G]",
        "its forward(self, image, source, target) is called as forward(self, image, source, target, style_code)",
    ),
    "mute": (
        "from mdtranslate import hookimpl, Loss\nclass M(Loss):\n  name = 'm'\n"
        "  def generater(self, t): return t.fake\n@hookimpl\ndef register_losses(): return [M]",
        "loss 'm': it overrides neither discriminator(self, t) nor generator(self, t)",
    ),
    "single": (
        "from mdtranslate import hookimpl, Dataset\nclass D(Dataset): name = 'd'\n"
        "@hookimpl\ndef register_datasets(): return D",
        "register_datasets: TypeError: D is one class: return a list, [D]",
    ),
    "anonymous": (
        "from mdtranslate import hookimpl, Dataset\nclass Birds(Dataset): pass\n"
        "@hookimpl\ndef register_datasets(): return [Birds]",
        "dataset 'Birds': Birds has no name",
    ),
    "commaless": (
        "from mdtranslate import Attribute\nAttribute('colour', ('red'))",
        "values of colour",
    ),
    "fileless": (
        "from pathlib import Path\nfrom mdtranslate import hookimpl\n@hookimpl\n"
        "def register_recipes(): return [Path('/nowhere/x.toml')]",
        "there is no file /nowhere/x.toml",
    ),
    "stringy": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_recipes(): return {'x': 'x.toml'}",
        "'x.toml' is not a pathlib.Path",
    ),
    "ahead": (
        made_for("99", "ahead-data"),
        "version 99, but mdtranslate 0.1.0 supports version 2: update mdtranslate",
    ),
    "behind": (
        made_for("0", "behind-data"),
        "version 0, but mdtranslate 0.1.0 supports version 2: update the plugin",
    ),
    "wanting": (
        "mdtranslate_api: int = 3\nfrom mdtranslate import Scheduler, hookimpl",
        "version 3, but mdtranslate 0.1.0 supports version 2: update mdtranslate",
    ),
    "outgrown": (
        "import mdtranslate\nmdtranslate_api = 0\nmdtranslate.Solver",
        "version 0, but mdtranslate 0.1.0 supports version 2: update the plugin",
    ),
    "mistaken": (
        "mdtranslate_api = 2\nfrom mdtranslate import Losss",
        "ImportError: cannot import name 'Losss' from 'mdtranslate'",
    ),
    "asking": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(settings): return []",
        "Argument(s) {'settings'} are declared in the hookimpl but can not be found in the hookspec",
    ),
    "versionless": (made_for("'2'", "versionless-data"), "version '2', but"),
    "hostile": (
        "import sys\nclass M:\n  def __dir__(self): return ['a']\n  def __getattr__(self, name): raise OSError('no')\n"
        "sys.modules[__name__] = M()",
        "OSError: no",
    ),
}


def test_broken_plugins_are_listed_and_do_not_affect_others(install: Install, command: Command) -> None:
    for name, (source, _) in BROKEN.items():
        install(name, source)
    install("good", made_for("2", "good-data"))
    install("absent", "", value="absent_module")
    install("nonsense", "", value="!!")
    done = command("plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    listed = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert listed["stargan"]["errors"] == [] and listed["avatars"]["errors"] == []
    assert listed["good"]["provides"] == [{"kind": "dataset", "name": "good-data"}] and not listed["good"]["errors"]
    for name, (_, error) in BROKEN.items():
        assert error in listed[name]["errors"][0], name
        assert len(listed[name]["errors"]) == 1 and "\n" not in listed[name]["errors"][0]
        assert listed[name]["distribution"] == f"{name}-dist 1.0"
        assert listed[name]["provides"] == [], name
    assert "absent_module" in listed["absent"]["errors"][0]
    assert listed["nonsense"]["errors"]

    table = command("plugins")
    assert table.returncode == 0
    assert "raising  (raising-dist 1.0)\n  broken    RuntimeError: two lines\n" in table.stdout


def test_a_name_that_two_plugins_register_belongs_to_neither(install: Install, command: Command) -> None:
    """Otherwise the order of loading would decide."""
    for name in ("first", "second"):
        install(name, GOOD.format(name="pets"))
    done = command("run", "stargan", "datasets={pets={}}", "--dry-run")
    assert done.returncode == 2
    for plugin, other in (("first", "second"), ("second", "first")):
        problem = f"plugin {plugin} ({plugin}-dist 1.0) is broken: dataset 'pets' is"
        assert any(
            part.startswith(problem) and f"plugin {other} ({other}-dist 1.0)" in part
            for part in done.stderr.strip().split("; ")
        ), done.stderr
    install("also", GOOD.format(name="pets"))
    listed = {plugin["name"]: plugin for plugin in json.loads(command("plugins", "--json").stdout)}
    assert all(listed[name]["errors"] and not listed[name]["provides"] for name in ("also", "first", "second"))
    assert command("plugins", "check", "first").returncode == 69
    install("third", GOOD.format(name="folder"))
    assert command("plugins", "dataset", "folder").returncode == 0  # Built-in names cannot be taken.


def test_an_unknown_name_names_the_broken_plugins(install: Install, command: Command) -> None:
    install("lacking", BROKEN["lacking"][0])
    done = command("run", "stargan", "losses.style.weight=1", "--dry-run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no loss is called 'style'" in done.stderr
    assert "plugin lacking (lacking-dist 1.0) is broken: ModuleNotFoundError" in done.stderr
    assert command("plugins", "recipe", "stargan").returncode == 0


LAZY = """
    from mdtranslate import hookimpl

    @hookimpl
    def register_losses():
        return {"gone": "no_such_module_here:Loss", "classless": "lazy:Nothing", "leaving": "lazy_exit:Loss",
                "odd": "lazy:text", "wrong": "pathlib:Path"}

    text = "a word"
"""


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gone", "No module named 'no_such_module_here'"),
        ("classless", "has no attribute 'Nothing'"),
        ("leaving", "SystemExit: 3"),
        ("odd", "a word"),
        ("wrong", "is not a subclass of mdtranslate.Loss"),
    ],
)
def test_a_component_given_as_text_fails_when_it_is_used(install: Install, name: str, error: str) -> None:
    file = install("lazy", LAZY)
    file.with_name("lazy_exit.py").write_text("import sys; sys.exit(3)")
    sys.modules.pop("lazy", None)
    registry = Registry()
    assert name in registry.names("loss")
    with pytest.raises(PluginError) as caught:
        registry.component("loss", name)
    assert f"loss {name!r} of plugin lazy (lazy-dist 1.0) cannot be loaded" in str(caught.value)
    assert error in str(caught.value) and "\n" not in str(caught.value)
    assert registry.component("loss", "wgan-gp").name == "wgan-gp"


def test_a_component_that_cannot_be_loaded_has_exit_code_69(install: Install, command: Command) -> None:
    install("lazy", LAZY)
    done = command("run", "stargan", "losses.gone.weight=1", "--dry-run")
    assert done.returncode == 69
    assert done.stderr.startswith("error: loss 'gone' of plugin lazy (lazy-dist 1.0) cannot be loaded")
    assert len(done.stderr.splitlines()) == 1
