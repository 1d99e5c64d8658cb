"""The documentation builds without a warning, and describes everything that users can set or implement."""

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
from mdtranslate.cli.plugins import describe_settings
from mdtranslate.config.plugin_validation import KINDS, PATH_HOOKS
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.registry import registry

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import interface
import reference

COMPONENTS = [
    (kind, name)
    for kind in KINDS
    for name in registry().names(kind)
    if registry().owner(kind, name).distribution.startswith("mdtranslate ")
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The generated pages by name."""
    folder = tmp_path_factory.mktemp("reference")
    reference.write_pages(folder)
    return {file.stem: file.read_text("utf-8") for file in folder.glob("*.md")}


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_components_and_their_settings_are_described(kind: str, name: str, pages: dict[str, str]) -> None:
    component = registry().component(kind, name)
    assert (component.__doc__ or "").strip(), f"{name} has no docstring"
    assert f"\n## {name}\n" in pages[kind]
    for setting in describe_settings(component.Config):
        assert setting["description"], f"{name}.{setting['key']} has no description"
        assert f"| `{setting['key']}` |" in pages[kind]


def test_settings_of_recipes_are_described(pages: dict[str, str]) -> None:
    settings = list(reference.nested_settings(Recipe))
    assert len(settings) > 40
    for setting in settings:
        assert setting["description"], f"{setting['key']} has no description"
        assert f"| `{setting['key']}` |" in pages["recipe"]


def test_hooks_and_commands_are_described(pages: dict[str, str]) -> None:
    for name in (*KINDS.values(), *PATH_HOOKS.values()):
        assert (getattr(hookspecs, name).__doc__ or "").strip() and f"## {name}\n" in pages["hooks"]
    for name in COMMANDS:
        assert f"## mdtranslate {name}\n" in pages["commands"]
    for name in registry().names("recipe"):
        if registry().owner("recipe", name).distribution.startswith("mdtranslate "):
            assert f"## {name}\n" in pages["recipes"]


def test_public_names_are_described(pages: dict[str, str]) -> None:
    for name in {*mdtranslate.__all__} - {"__version__"}:
        entry = pages["python"].partition(f"\n### {name}\n")[2].partition("\n##")[0]
        description = entry.rpartition("```")[2]
        assert len(description.split()) > 3, f"{name} has no description"


def test_docstring_sections_become_lists() -> None:
    docstring = (
        "Sum.\n\nArgs:\n    a: One\n        number.\n    b: Another.\n\nReturns:\n    Their\n    sum.\n\nMore:: text."
    )
    expected = (
        "Sum.\n\n**Args**\n\n- `a`: One\n  number.\n- `b`: Another.\n\n**Returns**\n\nTheir\nsum.\n\nMore:: text."
    )
    assert interface.to_markdown(docstring) == expected


def test_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    arguments = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    process = subprocess.run(
        [sys.executable, *arguments, str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "html" / "reference" / "loss.html").is_file()
