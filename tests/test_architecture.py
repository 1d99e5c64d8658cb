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
    images = "mdtranslate.utils.image_io.decode"
    assert images in imports(ROOT / "mdtranslate/api/dataset.py")
    assert images not in imports(ROOT / "mdtranslate/api/dataset.py", top=True)


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
TRAINS = {"mdtranslate/training/trainer.py", "mdtranslate/evaluation/attribute_classifier.py"}


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
    assert "mdtranslate/training/trainer.py" in found
    assert found <= TRAINS


ORDER = (
    ("errors", "_version"),
    ("utils",),
    ("api",),
    ("config",),
    ("data",),
    ("inference",),
    ("evaluation",),
    ("training",),
    ("bench", "doctor", "sharing", "serve", "testing"),
    ("cli",),
)
"""Packages of `mdtranslate/`: each imports only from its own level and those before it."""

LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def package(name: str) -> str:
    """The part of `mdtranslate` that a dotted name belongs to: `data` of `mdtranslate.data.batches`."""
    return name.split(".")[1] if "." in name else ""


def test_packages_have_an_order() -> None:
    """Over all imports, also those inside functions and those for types alone."""
    against = []
    for file in CORE:
        own = package(module(file))
        if own in ("", "__main__", "templates"):  # The public names, and the start: they hand on what is below.
            continue
        for name in imports(file):
            if name.startswith("mdtranslate.") and LEVEL.get(package(name), -1) > LEVEL[own]:
                against.append(f"{short(file)} imports {name}")
            if name.startswith("mdtranslate.") and package(name) not in LEVEL:
                against.append(f"{short(file)} imports {name}, a public name: import it from where it is defined")
    assert not against


def test_the_top_is_small() -> None:
    assert len([*(ROOT / "mdtranslate").glob("*.py")]) <= 4


def test_a_file_name_occurs_once() -> None:
    names = [file.name for file in CORE if not {"cli", "templates"} & {*file.parts} and not file.name.startswith("__")]
    assert sorted(names) == sorted({*names})


def test_there_are_no_cycles() -> None:
    """Of the modules of the core, by all imports."""
    ours = {module(file): file for file in CORE}

    def below(name: str) -> set[str]:
        found = set()
        for each in imports(ours[name]):
            while each not in ours and "." in each:
                each = each.rpartition(".")[0]
            if each in ours and each != name and ours[each].name != "__init__.py":
                found.add(each)
        return found

    graph, done = {name: below(name) for name in ours}, set[str]()
    while free := [name for name in graph if name not in done and graph[name] <= done]:
        done |= {*free}
    assert not sorted(graph.keys() - done)


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
        "mdtranslate.cli.main",
        "mdtranslate.config.registry",
        "mdtranslate.api",
        "mdtranslate.api.dataset",
        "mdtranslate.data.cache.store",
        "mdtranslate.cli.plugins",
        "mdtranslate.cli.run",
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
    assert "torch" in reached("mdtranslate.training.trainer") and "torch" in reached("mdtranslate_stargan.networks")
