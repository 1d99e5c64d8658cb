"""Packages that `mdtranslate new` creates, and those in docs/examples, installed in a virtual environment."""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mdtranslate import Split, errors
from mdtranslate.cli.new import KINDS, command

EXAMPLES = sorted(Path(__file__).parents[1].glob("docs/examples/mdtranslate-*"))


def new(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all packages, installed in a virtual environment that uses this one for everything else."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        assert new(kind, f"my-{kind}", "--out", str(folder / f"mdtranslate-my-{kind}")).exit_code == 0
    for example in EXAMPLES:
        shutil.copytree(example, folder / example.name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    venv.create(folder / "env", with_pip=False)
    site = next((folder / "env").glob("lib/python*/site-packages"))
    parent_sites = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    lines = [f"import site; site.addsitedir({path!r})" for path in sorted(parent_sites)]
    (site / "parent.pth").write_text("\n".join(lines) + "\n")
    packages = [str(path) for path in sorted(folder.glob("mdtranslate-*"))]
    python = str(folder / "env" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-build-isolation"]
    process = subprocess.run([*pip, *packages], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return folder


def run(home: Path, package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    python = home / "env" / "bin" / "python"
    return subprocess.run([python, "-m", *arguments], cwd=home / package, capture_output=True, text=True, timeout=600)


PACKAGES = [*(f"mdtranslate-my-{kind}" for kind in KINDS), *(example.name for example in EXAMPLES)]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tests_of_a_package_pass(home: Path, package: str) -> None:
    process = run(home, package, "pytest", "-q", "-p", "no:cacheprovider")
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-2000:]
    assert "passed" in process.stdout


def test_all_packages_are_listed_and_none_is_broken(home: Path) -> None:
    process = run(home, ".", "mdtranslate", "plugins")
    assert process.returncode == 0, process.stderr
    for kind in KINDS:
        assert f"my-{kind}  (mdtranslate-my-{kind} 0.1.0)" in process.stdout
    assert "mdtranslate-attgan 0.1.0" in process.stdout and "broken" not in process.stdout


def test_a_package_is_complete(home: Path) -> None:
    package = home / "mdtranslate-my-dataset"
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {
        ".github/workflows/test.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "mdtranslate_my_dataset/__init__.py",
        "mdtranslate_my_dataset/dataset.py",
        "pyproject.toml",
        "tests/test_mdtranslate_my_dataset.py",
    } <= files
    text = "".join((package / file).read_text("utf-8") for file in sorted(files) if "__pycache__" not in file)
    assert "$" not in text.replace("${{ matrix.python }}", "")


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "mdtranslate-pets"
    folder.mkdir()
    (folder / "notes.txt").write_text("notes")
    result = new("dataset", "pets", "--out", str(folder))
    assert isinstance(result.exception, errors.RecipeError) and str(folder) in str(result.exception)
    assert [path.name for path in tmp_path.rglob("*")] == ["mdtranslate-pets", "notes.txt"]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("dataset", "My Pets", "'My Pets'.*such as 'my-pets'"),
        ("loss", "3d", "'3d'(?!.*such as)"),
        ("loss", "wgan-gp", "loss 'wgan-gp'.*plugin stargan"),
        ("loss", "timm", r"'timm'.*plugin timm \(mdtranslate "),
        ("dataset", "mdtranslate-basics", r"'basics'.*plugin basics \(mdtranslate "),
    ],
)
def test_invalid_names_are_refused(kind: str, name: str, message: str, tmp_path: Path) -> None:
    result = new(kind, name, "--out", str(tmp_path / "out"))
    with pytest.raises(errors.RecipeError, match=message):
        raise result.exception
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_an_installed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "mdtranslate_two_words").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = new("loss", "two-words", "--out", str(tmp_path / "out"))
    assert isinstance(result.exception, errors.RecipeError) and "mdtranslate_two_words" in str(result.exception)
    assert not (tmp_path / "out").exists()


AWKWARD = [
    *[("loss", name) for name in ("none", "true", "loss", "value-error", "exception", "testament")],
    *[("dataset", name) for name in ("image", "path", "data-error", "iterator", "mdtranslate-dataset")],
    *[("encoder", name) for name in ("f", "unknown", "value-error", "mapping")],
    *[("backbone", name) for name in ("false", "tensor", "generator")],
    *[("metric", name) for name in ("config", "edit-batch", "system-exit")],
]


@pytest.mark.parametrize(("kind", "name"), AWKWARD)
def test_names_do_not_clash(kind: str, name: str, tmp_path: Path) -> None:
    assert new(kind, name, "--out", str(tmp_path / "out")).exit_code == 0
    sources = [file.read_text("utf-8") for file in tmp_path.rglob("*.py")]
    assert len(sources) == 3
    for source in sources:
        tree = ast.parse(source)
        definitions = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        imports = [alias for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
        names = [*definitions, *(alias.asname or alias.name for alias in imports)]
        assert len(set(names)) == len(names)
        assert not {*names} & {*dir(builtins), *keyword.kwlist}


@pytest.mark.parametrize(("kind", "name", "cls"), [("dataset", "cats", "Cats"), ("loss", "loss", "MyLoss")])
def test_the_class_is_named_after_the_component(kind: str, name: str, cls: str, tmp_path: Path) -> None:
    assert new(kind, name, "--out", str(tmp_path / "out")).exit_code == 0
    assert f"class {cls}({kind.capitalize()}):" in (tmp_path / "out" / f"mdtranslate_{name}" / f"{kind}.py").read_text()


def public_imports_only(file: Path) -> bool:
    """Returns whether a file imports no private modules of mdtranslate, which may change at any time."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    modules = {module for module in modules if module.partition(".")[0] == "mdtranslate"}
    return modules <= {"mdtranslate", "mdtranslate.errors", "mdtranslate.testing"}


@pytest.mark.parametrize("kind", KINDS)
def test_packages_use_only_the_public_api(kind: str, tmp_path: Path) -> None:
    assert new(kind, "sample", "--out", str(tmp_path / "out")).exit_code == 0
    assert [file for file in tmp_path.rglob("*.py") if not public_imports_only(file)] == []


def test_examples_use_only_the_public_api() -> None:
    files = [file for example in EXAMPLES for file in example.rglob("*.py")]
    assert files and [file for file in files if not public_imports_only(file)] == []


def test_a_new_dataset_accepts_missing_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new("dataset", "half", "--out", str(tmp_path / "out")).exit_code == 0
    monkeypatch.syspath_prepend(str(tmp_path / "out"))
    cls = importlib.import_module("mdtranslate_half.dataset").Half
    for file in ("train/cat/1.jpg", "train/cat/._1.jpg", "train/.cat/2.jpg"):
        (tmp_path / "root" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / file).touch()
    dataset = cls(cls.Config(root=tmp_path / "root"))
    assert [[record.key for record in dataset.records(split)] for split in Split] == [["train/cat/1.jpg"], [], []]
    with pytest.raises(errors.DataError, match="nowhere"):
        list(cls(cls.Config(root=tmp_path / "nowhere")).records(Split.VAL))


def test_a_failure_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    assert new("loss", "sharp", "--out", str(tmp_path / "out")).exit_code != 0
    assert list(tmp_path.iterdir()) == []
