"""The documentation is built without a warning, and nothing that a user can set or implement is left out of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import ROOT

import mdtranslate
from mdtranslate.api import hookspecs
from mdtranslate.cli.main import COMMANDS
from mdtranslate.cli.plugins import settings_of
from mdtranslate.config.plugin_validation import KINDS, RECIPES
from mdtranslate.config.registry import registry
from mdtranslate.config.schema import Recipe

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import reference

OURS = [
    (kind, name)
    for kind in KINDS
    for name in registry().names(kind)
    if registry().owner(kind, name).distribution.startswith("mdtranslate ")
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages that are made from the code, by their names."""
    folder = tmp_path_factory.mktemp("reference")
    reference.write(folder)
    return {each.stem: each.read_text("utf-8") for each in folder.glob("*.md")}


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_every_component_and_its_settings_are_described(kind: str, name: str, pages: dict[str, str]) -> None:
    component = registry().component(kind, name)
    assert (component.__doc__ or "").strip(), f"{name} has no docstring"
    assert f"\n## {name}\n" in pages[kind]
    for each in settings_of(component.Config):
        assert each["description"], f"{name}.{each['key']} has no description"
        assert f"| `{each['key']}` |" in pages[kind]


def test_every_setting_of_a_recipe_is_described(pages: dict[str, str]) -> None:
    found = list(reference.nested(Recipe, ""))
    assert len(found) > 40
    for each in found:
        assert each["description"], f"{each['key']} has no description"
        assert f"| `{each['key']}` |" in pages["recipe"]


def test_every_hook_and_command_is_described(pages: dict[str, str]) -> None:
    for name in (*KINDS.values(), RECIPES):
        assert (getattr(hookspecs, name).__doc__ or "").strip() and f"## {name}\n" in pages["hooks"]
    for name in COMMANDS:
        assert f"## mdtranslate {name}\n" in pages["commands"]
    for name in registry().names("recipe"):
        if registry().owner("recipe", name).distribution.startswith("mdtranslate "):
            assert f"## {name}\n" in pages["recipes"]


def test_every_public_name_and_what_it_is_for(pages: dict[str, str]) -> None:
    for name in {*mdtranslate.__all__} - {"__version__"}:
        entry = pages["python"].partition(f"\n### {name}\n")[2].partition("\n##")[0]
        words = entry.rpartition("```")[2]
        assert len(words.split()) > 3, f"nothing is said of {name}"


def test_it_is_built_without_a_warning(tmp_path: Path) -> None:
    build = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [sys.executable, *build, str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "reference" / "loss.html").is_file()
