"""The structure of the code, checked on the imports and calls in its sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "mdtranslate").rglob("*.py"))
PLUGIN_FOLDERS = sorted(folder for folder in (ROOT / "plugins").iterdir() if (folder / "__init__.py").is_file())
PLUGIN_FILES = sorted(file for folder in PLUGIN_FOLDERS for file in folder.rglob("*.py"))
EXAMPLE_FILES = sorted((ROOT / "docs" / "examples").rglob("*.py"))
MODULES = {}
for _file in [*CORE, *PLUGIN_FILES]:
    _parts = _file.with_suffix("").relative_to(ROOT).parts
    MODULES[".".join(_parts[_parts[0] == "plugins" :]).removesuffix(".__init__")] = _file

PUBLIC = {"mdtranslate", "mdtranslate.errors", "mdtranslate.testing"}
"""Modules that a plugin may import from."""

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
"""Packages of `mdtranslate/`: each imports only from its own level and the levels before it."""

LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def imports(file: Path, *, at_import: bool = False) -> Iterator[tuple[str, str]]:
    """Yields (module, name) of everything that a file imports.

    `at_import` leaves out what importing the file does not import: what stands in functions and below TYPE_CHECKING.
    """
    skipped = set()
    for node in ast.walk(tree(file)) if at_import else ():
        type_checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if type_checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped |= set(map(id, ast.walk(node)))
    for node in ast.walk(tree(file)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: use absolute imports"
            yield from ((node.module or "", alias.name) for alias in node.names)


def module_of(module: str, name: str) -> str | None:
    """Returns the module of ours that an import loads, packages included; None for others."""
    return next((candidate for candidate in (f"{module}.{name}", module) if candidate in MODULES), None)


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def package(module: str) -> str:
    """Returns `data` for `mdtranslate.data.batches`, and nothing for `mdtranslate`."""
    return module.split(".")[1] if "." in module else ""


def test_the_sources_are_found() -> None:
    assert len(CORE) > 100 and len(PLUGIN_FILES) > 20 and len(EXAMPLE_FILES) > 5
    # An import within a function counts as an import, but not as one at import time.
    image_io = ("mdtranslate.utils.image_io", "read_image")
    assert image_io in imports(ROOT / "mdtranslate/api/dataset.py")
    assert image_io not in imports(ROOT / "mdtranslate/api/dataset.py", at_import=True)


def test_the_core_names_no_plugin() -> None:
    names = [folder.name for folder in PLUGIN_FOLDERS]
    for file in CORE:
        assert not [module for module, _ in imports(file) if module.partition(".")[0] in names], relative(file)
        strings = [node.value for node in ast.walk(tree(file)) if isinstance(node, ast.Constant)]
        assert not [text for text in strings if isinstance(text, str) and any(name in text for name in names)]


def test_plugins_import_only_public_names() -> None:
    offences = []
    for file in [*PLUGIN_FILES, *EXAMPLE_FILES]:
        for module, name in imports(file):
            if module.partition(".")[0] == "mdtranslate" and module not in PUBLIC:
                offences.append(f"{relative(file)}: {module}.{name}")
            others = {folder.name for folder in PLUGIN_FOLDERS if folder not in file.parents}
            if file in PLUGIN_FILES and module.partition(".")[0] in others:
                offences.append(f"{relative(file)}: another plugin, {module}")
    assert not offences


def test_packages_have_an_order() -> None:
    """Over all imports, also those within functions and those for type checking only."""
    offences = []
    for importer, file in MODULES.items():
        if package(importer) not in LEVEL:  # mdtranslate itself and __main__ re-export and start what is below.
            continue
        for module, name in imports(file):
            imported = module_of(module, name)
            if imported is None or not imported.startswith("mdtranslate") or (module, name) == ("mdtranslate", ""):
                continue
            if package(imported) not in LEVEL:
                offences.append(f"{importer} imports {module}.{name}: import it from where it is defined")
            elif LEVEL[package(imported)] > LEVEL[package(importer)]:
                offences.append(f"{importer} imports {imported}")
    assert not offences


def test_there_are_no_import_cycles() -> None:
    """Between modules of the core, over all imports."""
    graph = {
        importer: {
            imported
            for module, name in imports(file)
            if (imported := module_of(module, name)) and imported != importer and MODULES[imported].stem != "__init__"
        }
        for importer, file in MODULES.items()
    }
    done: set[str] = set()
    while ready := [module for module in graph if module not in done and graph[module] <= done]:
        done |= {*ready}
    assert not sorted(graph.keys() - done)


def test_the_top_level_is_small() -> None:
    assert len([*(ROOT / "mdtranslate").glob("*.py")]) <= 4


def test_file_names_are_unique() -> None:
    """Within the core, outside the commands."""
    names = [file.name for file in CORE if "cli" not in file.parts and not file.name.startswith("__")]
    assert sorted(names) == sorted({*names})


def test_no_module_hides_a_public_function() -> None:
    """Importing a submodule sets it as an attribute of its package, in place of a function of the same name."""
    for package_name in ("mdtranslate", "mdtranslate.testing"):
        package = import_module(package_name)
        folder = MODULES[package_name].parent
        modules = {path.stem for path in folder.glob("*.py")} | {
            path.name for path in folder.iterdir() if path.is_dir()
        }
        assert not modules & {*package.__all__}


def test_files_are_short() -> None:
    files = [*CORE, *PLUGIN_FILES, *EXAMPLE_FILES, *(ROOT / "tests").rglob("*.py")]
    assert not {relative(file): length for file in files if (length := len(file.read_text().splitlines())) > 300}


# The evaluation trains its attribute classifier itself, and `push --compact` a classifier of source labels: neither is
# part of any run.
TRAINING_FILES = {
    "mdtranslate/training/trainer.py",
    "mdtranslate/evaluation/attribute_classifier.py",
    "mdtranslate/training/small_discriminator.py",
}


def weight_updates(file: Path) -> list[str]:
    """Returns the calls that compute gradients of weights or change weights."""
    calls = [node.func for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
    methods = [function for function in calls if isinstance(function, ast.Attribute)]
    return [
        ast.unparse(method)
        for method in methods
        if method.attr == "backward" or (method.attr == "step" and "optim" in ast.unparse(method.value).lower())
    ]


def test_only_the_trainer_updates_weights() -> None:
    files = {relative(file) for file in [*CORE, *PLUGIN_FILES] if weight_updates(file)}
    assert "mdtranslate/training/trainer.py" in files
    assert files <= TRAINING_FILES


def loaded_by(module: str) -> set[str]:
    """Returns every module that importing `module` loads; those of ours are followed to the end."""
    loaded: set[str] = set()
    pending = [module]
    while pending:
        module = pending.pop()
        if module in loaded:
            continue
        loaded.add(module)
        if module in MODULES:
            pending += [module_of(*target) or target[0] for target in imports(MODULES[module], at_import=True)]
            pending += [module.rpartition(".")[0]] if "." in module else []
    return {name.partition(".")[0] for name in loaded} | loaded


@pytest.mark.parametrize(
    "module",
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
def test_importing_it_does_not_load_torch(module: str) -> None:
    assert module in MODULES
    assert not loaded_by(module) & {"torch", "torchvision", "timm", "torchmetrics", "safetensors"}


def test_loading_torch_is_noticed() -> None:
    assert "torch" in loaded_by("mdtranslate.training.trainer") & loaded_by("mdtranslate_stargan.networks")
