"""The registry: names, owners, plugin files, versions, and the plugin at fault for an error."""

from __future__ import annotations

import re
import textwrap
import types
from pathlib import Path

import pytest
from test_broken_plugins import BROKEN, GOOD, Command, Install

from mdtranslate import Dataset, Loss, Metric, hookimpl
from mdtranslate.config.plugin_validation import KINDS
from mdtranslate.config.registry import Plugin, Registry, UnknownNameError
from mdtranslate.errors import PluginError


def test_builtin_names_cannot_be_taken(install: Install) -> None:
    install("aaa", "from mdtranslate import hookimpl\n@hookimpl\ndef register_losses(): return {'wgan-gp': 'aaa:X'}")
    registry = Registry()
    assert registry.owner("loss", "wgan-gp").name == "stargan"
    (other,) = [plugin for plugin in registry.plugins if plugin.name == "aaa"]
    assert "'wgan-gp'" in other.errors[0] and "stargan" in other.errors[0]


def test_the_same_entry_point_found_twice_is_one_plugin(site: Path, install: Install) -> None:
    install("good", GOOD.format(name="good-data"))
    install("good", GOOD.format(name="good-data"), version="1.1")
    assert [plugin.errors for plugin in Registry().plugins if plugin.name == "good"] == [[]]


NEWER = ".* version 3, .* version 2: update mdtranslate"


def test_the_version_of_a_plugin_object_is_that_of_its_module(install: Install) -> None:
    source = "from mdtranslate import hookimpl\nmdtranslate_api = 3\nclass P:\n  @hookimpl\n"
    source += "  def register_losses(self): return {'mine': 'objective:Mine'}\nplugin = P()\nother = P()\n"
    install("objective", source + "other.mdtranslate_api = 2\n", value="objective:plugin")
    install("another", "", value="objective:other")
    registry = Registry()
    plugins = {plugin.name: plugin for plugin in registry.plugins}
    assert len(plugins["objective"].errors) == 1 and re.fullmatch(NEWER, plugins["objective"].errors[0])
    assert plugins["another"].errors == [] and registry.owner("loss", "mine").name == "another"


def test_the_version_of_a_module_whose_package_cannot_be_imported(site: Path, install: Install) -> None:
    install("dotted", "", value="of_another_time.inner.plugin")
    (site / "of_another_time" / "inner").mkdir(parents=True)
    (site / "of_another_time" / "__init__.py").write_text("from mdtranslate import Scheduler")
    (site / "of_another_time" / "inner" / "__init__.py").write_text("1 / 0")
    (site / "of_another_time" / "inner" / "plugin.py").write_text("mdtranslate_api = 3")
    (plugin,) = [plugin for plugin in Registry().plugins if plugin.name == "dotted"]
    assert len(plugin.errors) == 1 and re.fullmatch(NEWER, plugin.errors[0])


def test_the_version_of_a_plugin_file(tmp_path: Path) -> None:
    file = tmp_path / "my.plugin.py"
    file.write_text("from mdtranslate import Scheduler\nmdtranslate_api = 3")
    with pytest.raises(PluginError, match=NEWER):
        Registry((file,))


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


def test_a_broken_plugin_file_has_exit_code_69(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "mine.py"
    file.write_text("1 / 0")
    done = command("--plugin", str(file), "plugins")
    assert done.returncode == 69
    assert done.stderr.splitlines() == [f"error: plugin mine ({file}): ZeroDivisionError: division by zero"]
    text = tmp_path / "notes.txt"
    text.write_text("")
    assert command("--plugin", str(text), "plugins").returncode == 69


def test_an_unknown_name_gets_a_suggestion() -> None:
    registry = Registry()
    with pytest.raises(UnknownNameError, match=r"'wgan-pg'.*'wgan-gp'"):
        registry.component("loss", "wgan-pg")
    with pytest.raises(UnknownNameError, match=r"'zzz'.*cyclegan, cyclegan-avatars, cyclegan-folder"):
        registry.recipe("zzz")
    with pytest.raises(UnknownNameError):
        registry.owner("dataset", "zzz")


def test_plugins_in_memory_and_all_builtin_components() -> None:
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
            assert (registry.component(kind, name).__doc__ or "").strip(), f"{kind} {name} has no docstring"
            for key, field in registry.component(kind, name).Config.model_fields.items():
                assert field.description, f"{kind} {name}: {key} has no description"
    assert issubclass(registry.component("loss", "wgan-gp"), Loss)
    assert issubclass(registry.component("metric", "edit-accuracy"), Metric)


def test_the_innermost_plugin_is_at_fault() -> None:
    registry = Registry()
    outer = types.ModuleType("outer_plugin.losses")
    inner = types.ModuleType("inner_plugin")
    exec("def call(function): return function()", outer.__dict__)
    exec("def call(function): return function()", inner.__dict__)
    exec("def fail(): raise OSError('disk')", (unrelated := types.ModuleType("outer_plugin_not")).__dict__)
    registry.plugins += [Plugin("outer", "o 1", ("outer_plugin",)), Plugin("inner", "i 1", ("inner_plugin",))]

    def plugin_name(call: object) -> str | None:
        try:
            call()  # type: ignore[operator]
        except OSError as error:
            plugin = registry.plugin_at_fault(error)
            return plugin.name if plugin else None
        raise AssertionError

    assert plugin_name(lambda: outer.call(unrelated.fail)) == "outer"
    assert plugin_name(lambda: outer.call(lambda: inner.call(unrelated.fail))) == "inner"
    assert plugin_name(lambda: inner.call(lambda: outer.call(unrelated.fail))) == "outer"
    assert plugin_name(unrelated.fail) is None
    assert registry.plugin_at_fault(OSError()) is None


def test_a_plugin_that_fails_later_is_named(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "sick.py"
    file.write_text(
        "from mdtranslate import Dataset, hookimpl\nfrom pydantic import field_validator\n"
        "class Sick(Dataset):\n  name = 'sick'\n  class Config(Dataset.Config):\n    root: str = ''\n"
        "    @field_validator('root')\n    @classmethod\n    def check(cls, value): raise OSError('sick\\nof it')\n"
        "@hookimpl\ndef register_datasets(): return [Sick]\n"
    )
    traced = command("--debug", "--plugin", str(file), "run", "stargan", "--dry-run", "datasets.sick.root=x")
    assert traced.returncode == 69
    assert "Traceback" in traced.stderr
    assert traced.stderr.splitlines()[-1].startswith(f"error: plugin sick ({file}) failed: OSError: sick of it")


def test_imported_objects_are_not_hooks(tmp_path: Path) -> None:
    """Some objects have every attribute that is asked for, also the marker of hooks."""
    file = tmp_path / "importing.py"
    imports = "from unittest.mock import call\nfrom torch import ops\n"
    file.write_text(imports + textwrap.dedent(GOOD.format(name="mine")))
    registry = Registry((file,))
    assert registry.plugins[-1].errors == []
    assert registry.component("dataset", "mine").name == "mine"


def test_defaults_of_any_type_are_printed(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "pathy.py"
    config = "    class Config(Dataset.Config):\n        roots: list[Path] = [Path('a')]\n"
    source = textwrap.dedent(GOOD.format(name="pathy")).replace('    name = "pathy"\n', f'    name = "pathy"\n{config}')
    file.write_text("from pathlib import Path\n" + source)
    done = command("--plugin", str(file), "plugins", "dataset", "pathy")
    assert done.returncode == 0, done.stderr
    assert '["a"]' in done.stdout
