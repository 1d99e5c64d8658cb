"""The layers, by the imports and calls that stand in the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "mdtranslate").rglob("*.py"))
PLUGINS = sorted(folder for folder in (ROOT / "plugins").iterdir() if (folder / "__init__.py").is_file())
IN_PLUGINS = sorted(file for folder in PLUGINS for file in folder.rglob("*.py"))


def module(file: Path) -> str:
    parts = file.with_suffix("").relative_to(ROOT).parts
    return ".".join(parts[parts[0] == "plugins" :]).removesuffix(".__init__")


def imports(file: Path, *, top: bool = False) -> Iterator[str]:
    """Everything that a file imports; `top`: only what importing it imports, so no functions and no TYPE_CHECKING."""
    tree = ast.parse(file.read_text("utf-8"))
    skipped = set()
    if top:
        for node in ast.walk(tree):
            typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                skipped |= set(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute here"
            yield from (f"{node.module}.{each.name}" for each in node.names)


def short(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_there_is_something_to_look_at() -> None:
    assert len(CORE) > 20 and len(IN_PLUGINS) > 5
    assert {"mdtranslate_stargan", "mdtranslate_avatars"} <= {folder.name for folder in PLUGINS}
    # Lazy imports and typing's are seen by the one reading and not by the other.
    images = "mdtranslate.data.images.decode"
    assert images in imports(ROOT / "mdtranslate/interfaces/dataset.py")
    assert images not in imports(ROOT / "mdtranslate/interfaces/dataset.py", top=True)


@pytest.mark.parametrize("file", CORE, ids=short)
def test_the_core_names_no_plugin(file: Path) -> None:
    names = [folder.name for folder in PLUGINS]
    assert not [each for each in imports(file) if each.partition(".")[0] in names]
    strings = [node.value for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Constant)]
    assert not [each for each in strings if isinstance(each, str) and any(name in each for name in names)]


@pytest.mark.parametrize("file", IN_PLUGINS, ids=short)
def test_a_plugin_imports_no_other_plugin(file: Path) -> None:
    own = file.relative_to(ROOT / "plugins").parts[0]
    others = [folder.name for folder in PLUGINS if folder.name != own]
    assert not [each for each in imports(file) if each.partition(".")[0] in others]


# The judge of an evaluation is a classifier of its own, which it trains itself: that is no part of any run.
TRAINS = {"mdtranslate/engine.py", "mdtranslate/evaluation/classifier.py"}


def updates(file: Path) -> list[str]:
    """Calls that compute gradients of weights or change them."""
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    methods = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
    return [
        ast.unparse(each)
        for each in methods
        if each.attr == "backward" or (each.attr == "step" and "optim" in ast.unparse(each.value).lower())
    ]


def test_only_the_engine_updates_weights() -> None:
    found = {short(file) for file in [*CORE, *IN_PLUGINS] if updates(file)}
    assert "mdtranslate/engine.py" in found
    assert found <= TRAINS


def test_the_interfaces_know_nothing_of_the_core_above_them() -> None:
    for file in (ROOT / "mdtranslate/interfaces").glob("*.py"):
        ours = [each for each in imports(file, top=True) if each.startswith("mdtranslate")]
        assert not [each for each in ours if not each.startswith(("mdtranslate.interfaces.", "mdtranslate.errors."))], (
            short(file)
        )


def test_no_file_is_long() -> None:
    long = {
        short(file): length for file in [*CORE, *IN_PLUGINS] if (length := len(file.read_text().splitlines())) > 300
    }
    assert not long


def reached(start: str) -> set[str]:
    """Every module that importing `start` imports, ours followed to the end."""
    ours = {module(file): file for file in [*CORE, *IN_PLUGINS]}
    seen: set[str] = set()
    left = [start]
    while left:
        name = left.pop()
        while name not in ours and "." in name and name.startswith("mdtranslate"):
            name = name.rpartition(".")[0]
        if name not in seen:
            seen.add(name)
            if name in ours:
                left += imports(ours[name], top=True)
                left += [".".join(name.split(".")[:length]) for length in range(1, name.count(".") + 1)]
    return {each.partition(".")[0] for each in seen} | seen


@pytest.mark.parametrize(
    "name",
    [
        "mdtranslate",
        "mdtranslate.cli",
        "mdtranslate.registry",
        "mdtranslate.interfaces",
        "mdtranslate.interfaces.dataset",
        "mdtranslate.data.pack",
        "mdtranslate.commands.plugins",
        "mdtranslate.commands.run",
        "mdtranslate_stargan",
        "mdtranslate_stargan.celeba",
        "mdtranslate_avatars",
        "mdtranslate_basics",
    ],
)
def test_needs_no_torch(name: str) -> None:
    heavy = {"torch", "torchvision", "timm", "torchmetrics", "safetensors"}
    assert name in reached(name)
    assert not reached(name) & heavy


def test_what_needs_torch_is_seen_to() -> None:
    assert "torch" in reached("mdtranslate.engine") and "torch" in reached("mdtranslate_stargan.networks")
