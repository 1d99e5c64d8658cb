"""Packages that `mdtranslate new` writes, and those below docs/examples, installed in an environment of their own."""

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
    """An environment with every package installed, which borrows all else from this one."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        assert new(kind, f"my-{kind}", "--out", str(folder / f"mdtranslate-my-{kind}")).exit_code == 0
    for each in EXAMPLES:
        shutil.copytree(each, folder / each.name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    venv.create(folder / "env", with_pip=False)
    site = next((folder / "env").glob("lib/python*/site-packages"))
    borrowed = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    lines = [f"import site; site.addsitedir({each!r})" for each in sorted(borrowed)]
    (site / "borrowed.pth").write_text("\n".join(lines) + "\n")
    packages = [str(each) for each in sorted(folder.glob("mdtranslate-*"))]
    python = str(folder / "env" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, *packages], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def run(home: Path, package: str, *words: str) -> subprocess.CompletedProcess[str]:
    python = home / "env" / "bin" / "python"
    return subprocess.run([python, "-m", *words], cwd=home / package, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("package", [*(f"mdtranslate-my-{kind}" for kind in KINDS), *(each.name for each in EXAMPLES)])
def test_its_own_tests_pass(home: Path, package: str) -> None:
    done = run(home, package, "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


def test_all_are_listed_and_none_is_broken(home: Path) -> None:
    done = run(home, ".", "mdtranslate", "plugins")
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        assert f"my-{kind}  (mdtranslate-my-{kind} 0.1.0)" in done.stdout
    assert "mdtranslate-attgan 0.1.0" in done.stdout and "broken" not in done.stdout


def test_a_package_has_what_is_expected(home: Path) -> None:
    package = home / "mdtranslate-my-dataset"
    written = {str(each.relative_to(package)) for each in package.rglob("*") if each.is_file()}
    assert {
        ".github/workflows/test.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "mdtranslate_my_dataset/__init__.py",
        "mdtranslate_my_dataset/dataset.py",
        "pyproject.toml",
        "tests/test_mdtranslate_my_dataset.py",
    } <= written
    text = "".join((package / each).read_text("utf-8") for each in sorted(written) if "__pycache__" not in each)
    assert "$" not in text.replace("${{ matrix.python }}", "")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    there = tmp_path / "mdtranslate-pets"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    result = new("dataset", "pets", "--out", str(there))
    assert "is there already, and nothing is written over" in str(result.exception)
    assert [each.name for each in tmp_path.rglob("*")] == ["mdtranslate-pets", "mine.txt"]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("dataset", "My Pets", "'My Pets' is no name: .*such as 'my-pets'"),
        ("loss", "3d", "'3d' is no name: lower-case letters, digits and hyphens are right$"),
        ("loss", "wgan-gp", "loss 'wgan-gp' is taken by plugin stargan"),
        ("loss", "timm", r"the name 'timm' is taken by plugin timm \(mdtranslate "),
        ("dataset", "mdtranslate-basics", r"the name 'basics' is taken by plugin basics \(mdtranslate "),
    ],
)
def test_names_that_cannot_be_are_refused(kind: str, name: str, said: str, tmp_path: Path) -> None:
    result = new(kind, name, "--out", str(tmp_path / "out"))
    with pytest.raises(type(result.exception), match=said):
        raise result.exception
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_installed_is_not_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "mdtranslate_two_words").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = new("loss", "two-words", "--out", str(tmp_path / "out"))
    assert "a package mdtranslate_two_words is installed already" in str(result.exception)
    assert not (tmp_path / "out").exists()


AWKWARD = [
    *[("loss", name) for name in ("none", "true", "loss", "value-error", "exception", "testament")],
    *[("dataset", name) for name in ("image", "path", "data-error", "iterator", "mdtranslate-dataset")],
    *[("encoder", name) for name in ("f", "unknown", "value-error", "mapping")],
    *[("backbone", name) for name in ("false", "tensor", "generator")],
    *[("metric", name) for name in ("config", "edited", "system-exit")],
]


@pytest.mark.parametrize(("kind", "name"), AWKWARD)
def test_a_class_hides_no_other(kind: str, name: str, tmp_path: Path) -> None:
    assert new(kind, name, "--out", str(tmp_path / "out")).exit_code == 0
    sources = [file.read_text("utf-8") for file in tmp_path.rglob("*.py")]
    assert len(sources) == 3
    for source in sources:
        tree = ast.parse(source)
        made = [each.name for each in tree.body if isinstance(each, ast.ClassDef | ast.FunctionDef)]
        brought = [each for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for each in node.names]
        bound = [*made, *(each.asname or each.name for each in brought)]
        assert len(set(bound)) == len(bound)
        assert not {*bound} & {*dir(builtins), *keyword.kwlist}


@pytest.mark.parametrize(("kind", "name", "cls"), [("dataset", "cats", "Cats"), ("loss", "loss", "MyLoss")])
def test_a_class_is_called_as_its_component(kind: str, name: str, cls: str, tmp_path: Path) -> None:
    assert new(kind, name, "--out", str(tmp_path / "out")).exit_code == 0
    assert f"class {cls}({kind.capitalize()}):" in (tmp_path / "out" / f"mdtranslate_{name}" / f"{kind}.py").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_imports_only_what_stays(kind: str, tmp_path: Path) -> None:
    """Within a version of the contract; what else the core has may change any day."""
    assert new(kind, "mine", "--out", str(tmp_path / "out")).exit_code == 0
    for file in tmp_path.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = {each for each in names if each.partition(".")[0] == "mdtranslate"}
            assert ours <= {"mdtranslate", "mdtranslate.errors", "mdtranslate.testing"}, file


def test_a_new_dataset_has_splits_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new("dataset", "half", "--out", str(tmp_path / "out")).exit_code == 0
    monkeypatch.syspath_prepend(str(tmp_path / "out"))
    cls = importlib.import_module("mdtranslate_half.dataset").Half
    for file in ("train/cat/1.jpg", "train/cat/._1.jpg", "train/.cat/2.jpg"):
        (tmp_path / "root" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / file).touch()
    dataset = cls(cls.Config(root=tmp_path / "root"))
    assert [[record.key for record in dataset.records(split)] for split in Split] == [["train/cat/1.jpg"], [], []]
    with pytest.raises(errors.DataError, match="nowhere: there is no such folder"):
        list(cls(cls.Config(root=tmp_path / "nowhere")).records(Split.VAL))


def test_what_cannot_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert new("loss", "sharp", "--out", str(tmp_path / "out")).exit_code != 0
    assert list(tmp_path.iterdir()) == []
