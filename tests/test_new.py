"""Packages that `mdtranslate new` writes, and those below docs/examples, installed in an environment of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mdtranslate.commands.new import KINDS, command

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
    ],
)
def test_names_that_cannot_be_are_refused(kind: str, name: str, said: str, tmp_path: Path) -> None:
    result = new(kind, name, "--out", str(tmp_path / "out"))
    with pytest.raises(type(result.exception), match=said):
        raise result.exception
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_contract_has_itself_is_another_class(tmp_path: Path) -> None:
    assert new("loss", "loss", "--out", str(tmp_path / "out")).exit_code == 0
    assert "class MyLoss(Loss):" in (tmp_path / "out" / "mdtranslate_loss" / "loss.py").read_text("utf-8")


def test_what_cannot_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert new("loss", "sharp", "--out", str(tmp_path / "out")).exit_code != 0
    assert list(tmp_path.iterdir()) == []
