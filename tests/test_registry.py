"""A plugin that fails is listed with its error, named when it is missed, and takes nothing else with it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from mdtranslate import Dataset, Loss, Metric, hookimpl
from mdtranslate.errors import PluginError
from mdtranslate.registry import KINDS, Plugin, Registry, UnknownName

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

# By name: the source of a plugin that is broken, and what its error says.
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
        "register_dataset is no hook: did you mean 'register_datasets'?",
    ),
    "misspelling_unmarked": (
        "def register_loss(): return []",
        "register_loss is no hook: did you mean 'register_losses'?",
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
        "'a.b:C' lacks the name that it goes by",
    ),
    "pathless": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {'x': 'a.b.C'}",
        "'a.b.C' is not written as module:Class",
    ),
    "nameless": ("from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {3: 'a:B'}", "loss 3: "),
    "taking": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {'wgan-gp': 'taking:Mine'}",
        "loss 'wgan-gp' is taken by plugin stargan (mdtranslate",
    ),
    "wrong_kind": (
        "from mdtranslate import hookimpl, Dataset\nclass D(Dataset):\n  name = 'd'\n"
        "@hookimpl\ndef register_label_encoders(): return [D]",
        "is no subclass of mdtranslate.LabelEncoder",
    ),
    "instance": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_datasets(): return {'d': object()}",
        "is no subclass of mdtranslate.Dataset",
    ),
    "misnamed": (
        "from mdtranslate import hookimpl, Dataset\nclass D(Dataset):\n  name = 'other'\n"
        "@hookimpl\ndef register_datasets(): return {'one': D}",
        "the class calls itself 'other'",
    ),
    "unsettled": (
        "from mdtranslate import hookimpl, Dataset, Settings\nclass D(Dataset):\n  name = 'unsettled'\n"
        "  class Config(Settings): pass\n@hookimpl\ndef register_datasets(): return [D]",
        "its Config is no subclass of mdtranslate.Dataset.Config",
    ),
    "fileless": (
        "from pathlib import Path\nfrom mdtranslate import hookimpl\n@hookimpl\n"
        "def register_recipes(): return [Path('/nowhere/x.toml')]",
        "there is no file /nowhere/x.toml",
    ),
    "stringy": (
        "from mdtranslate import hookimpl\n@hookimpl\ndef register_recipes(): return {'x': 'x.toml'}",
        "'x.toml' is no pathlib.Path",
    ),
    "hostile": (
        "import sys\nclass M:\n  def __dir__(self): return ['a']\n  def __getattr__(self, name): raise OSError('no')\n"
        "sys.modules[__name__] = M()",
        "OSError: no",
    ),
}


def test_every_broken_plugin_is_listed_and_harms_no_other(install: Install, command: Command) -> None:
    for name, (source, _) in BROKEN.items():
        install(name, source)
    install("good", GOOD.format(name="good-data"))
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


def test_an_unknown_name_names_the_broken_plugins(install: Install, command: Command) -> None:
    install("lacking", BROKEN["lacking"][0])
    done = command("run", "stargan", "losses.style.weight=1", "--dry-run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no loss is called 'style'" in done.stderr
    assert "plugin lacking (lacking-dist 1.0) is broken: ModuleNotFoundError" in done.stderr
    # What does not come from the broken plugin is not its matter.
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
        ("wrong", "is no subclass of mdtranslate.Loss"),
    ],
)
def test_a_component_that_is_only_named_fails_when_it_is_used(install: Install, name: str, error: str) -> None:
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


def test_a_component_that_cannot_be_loaded_ends_a_run_with_69(install: Install, command: Command) -> None:
    install("lazy", LAZY)
    done = command("run", "stargan", "losses.gone.weight=1", "--dry-run")
    assert done.returncode == 69
    assert done.stderr.startswith("error: loss 'gone' of plugin lazy (lazy-dist 1.0) cannot be loaded")
    assert len(done.stderr.splitlines()) == 1


def test_our_own_names_are_ours_whatever_is_installed(install: Install) -> None:
    install("aaa", "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {'wgan-gp': 'aaa:X'}")
    registry = Registry()
    assert registry.owner("loss", "wgan-gp").name == "stargan"
    (stranger,) = [plugin for plugin in registry.plugins if plugin.name == "aaa"]
    assert "taken" in stranger.errors[0]


def test_the_same_entry_point_found_twice_is_one_plugin(site: Path, install: Install) -> None:
    install("good", GOOD.format(name="good-data"))
    install("good", GOOD.format(name="good-data"), version="1.1")
    assert [plugin.errors for plugin in Registry().plugins if plugin.name == "good"] == [[]]


def test_plugin_files(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "my plugin.py"
    file.write_text(textwrap.dedent(GOOD.format(name="from-a-file")))
    done = command("--plugin", str(file), "--plugin", str(file), "plugins", "dataset", "from-a-file")
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stdout and "A dataset of nothing." in done.stdout
    assert command("plugins", "dataset", "from-a-file").returncode == 2


@pytest.mark.parametrize(
    "source",
    [
        None,
        "import no_such_module_here",
        "def (",
        "raise SystemExit(0)",
        *[BROKEN[name][0] for name in ("misspelling", "taking", "wrong_kind")],
    ],
)
def test_a_broken_plugin_file_is_refused(tmp_path: Path, source: str | None) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    with pytest.raises(PluginError, match=r"plugin mine \(.*mine.py\): ") as caught:
        Registry((file,))
    assert "\n" not in str(caught.value)


def test_a_broken_plugin_file_gives_69(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "mine.py"
    file.write_text("1 / 0")
    done = command("--plugin", str(file), "plugins")
    assert done.returncode == 69
    assert done.stderr.splitlines() == [f"error: plugin mine ({file}): ZeroDivisionError: division by zero"]
    text = tmp_path / "notes.txt"
    text.write_text("")
    assert command("--plugin", str(text), "plugins").returncode == 69


def test_an_unknown_name_gets_the_nearest_right_one() -> None:
    registry = Registry()
    with pytest.raises(UnknownName, match="no loss is called 'wgan-pg': did you mean 'wgan-gp'"):
        registry.component("loss", "wgan-pg")
    with pytest.raises(
        UnknownName, match="no recipe is called 'zzz': there is stargan, stargan-avatars, stargan-celeba"
    ):
        registry.recipe("zzz")
    with pytest.raises(UnknownName):
        registry.owner("dataset", "zzz")


def test_plugins_in_memory_and_all_that_ships() -> None:
    class Mine(Dataset):
        """Mine."""

        name = "mine"

        def records(self, split: object) -> list[object]:  # type: ignore[override]
            return []

    module = types.SimpleNamespace(__name__="notebook", register_datasets=hookimpl(lambda: [Mine]))
    registry = Registry()
    assert registry.register(module, "notebook").errors == []
    assert registry.component("dataset", "mine") is Mine
    assert registry.register(module, "notebook").errors, "the same name twice"
    for kind in KINDS:
        for name in registry.names(kind):
            assert registry.component(kind, name).name == name
            assert (registry.component(kind, name).__doc__ or "").strip(), f"{kind} {name} is not described"
            for key, field in registry.component(kind, name).Config.model_fields.items():
                assert field.description, f"{kind} {name}: {key} is not described"
    assert issubclass(registry.component("loss", "wgan-gp"), Loss)
    assert issubclass(registry.component("metric", "edit-accuracy"), Metric)


def test_blame_falls_on_the_innermost_plugin() -> None:
    registry = Registry()
    outer = types.ModuleType("outer_plugin.losses")
    inner = types.ModuleType("inner_plugin")
    exec("def call(function): return function()", outer.__dict__)
    exec("def call(function): return function()", inner.__dict__)
    exec("def fail(): raise OSError('disk')", (stranger := types.ModuleType("outer_plugin_not")).__dict__)
    registry.plugins += [Plugin("outer", "o 1", ("outer_plugin",)), Plugin("inner", "i 1", ("inner_plugin",))]

    def blamed(call: object) -> str | None:
        try:
            call()  # type: ignore[operator]
        except OSError as error:
            plugin = registry.blame(error)
            return plugin.name if plugin else None
        raise AssertionError

    assert blamed(lambda: outer.call(stranger.fail)) == "outer"
    assert blamed(lambda: outer.call(lambda: inner.call(stranger.fail))) == "inner"
    assert blamed(lambda: inner.call(lambda: outer.call(stranger.fail))) == "outer"
    assert blamed(stranger.fail) is None
    assert registry.blame(OSError()) is None


def test_a_plugin_that_fails_at_work_is_named(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "sick.py"
    file.write_text(
        "from mdtranslate import Dataset, hookimpl\nfrom pydantic import field_validator\n"
        "class Sick(Dataset):\n  name = 'sick'\n  class Config(Dataset.Config):\n    root: str = ''\n"
        "    @field_validator('root')\n    @classmethod\n    def check(cls, value): raise OSError('sick\\nof it')\n"
        "@hookimpl\ndef register_datasets(): return [Sick]\n"
    )
    expected = f"error: plugin sick ({file}) failed: OSError: sick of it (--debug shows where)"
    traced = command("--debug", "--plugin", str(file), "run", "stargan", "--dry-run", "datasets.sick.root=x")
    assert traced.returncode == 69
    assert "Traceback" in traced.stderr and traced.stderr.splitlines()[-1] == expected


def test_what_a_plugin_imports_is_not_taken_for_its_hooks(tmp_path: Path) -> None:
    """Some objects have every attribute that they are asked for, the marker of a hook too."""
    file = tmp_path / "importing.py"
    imports = "from unittest.mock import call\nfrom torch import ops\n"
    file.write_text(imports + textwrap.dedent(GOOD.format(name="mine")))
    found = Registry((file,))
    assert found.plugins[-1].errors == []
    assert found.component("dataset", "mine").name == "mine"


def test_defaults_of_any_type_are_printed(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "pathy.py"
    config = "    class Config(Dataset.Config):\n        roots: list[Path] = [Path('a')]\n"
    source = textwrap.dedent(GOOD.format(name="pathy")).replace('    name = "pathy"\n', f'    name = "pathy"\n{config}')
    file.write_text("from pathlib import Path\n" + source)
    done = command("--plugin", str(file), "plugins", "dataset", "pathy")
    assert done.returncode == 0, done.stderr
    assert '["a"]' in done.stdout
