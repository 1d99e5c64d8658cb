"""What several test modules need: installed plugins that are none, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Networks of tests are small: several threads only wait for each other. Before torch is imported, and for commands too.
os.environ["OMP_NUM_THREADS"] = "1"

from kills import run_command as tiny_run
from tiny import BOTH, tiny_translator

from mdtranslate.config.registry import Registry, registry

Install = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def without_bf16_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train.precision=auto` is float32 in this process on every processor; figures are compared up to its rounding."""
    monkeypatch.setattr("mdtranslate.utils.device.has_bf16_instructions", lambda: False)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for the module search path, as site-packages is one."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a plugin of one module with an entry point, as pip leaves it behind."""
    monkeypatch.syspath_prepend(str(site))

    def _install(name: str, source: str, version: str = "1.0", value: str | None = None) -> Path:
        (site / f"{name}.py").write_text(textwrap.dedent(source), "utf-8")
        info = site / f"{name}_dist-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: {version}\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[mdtranslate]\n{name} = {value or name}\n", "utf-8")
        return site / f"{name}.py"

    return _install


@pytest.fixture
def command(site: Path, tmp_path: Path) -> Command:
    """Runs Python with `site` on its path, in an empty folder `tmp_path / "cwd"`; by default the command line."""
    home = tmp_path / "cwd"
    home.mkdir()
    environment = {
        **os.environ,
        # What it is set to decides which checkout is tested, where several are.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def _command(*arguments: str, start: tuple[str, ...] = ("-m", "mdtranslate")) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *start, *arguments], cwd=home, env=environment, capture_output=True, text=True, timeout=120
        )

    return _command


@pytest.fixture
def fresh_registry() -> Iterator[Registry]:
    """A registry that recipes of this test are resolved with, to register plugins in."""
    registry.cache_clear()
    yield registry()
    registry.cache_clear()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, with a cache of its own and one finished run of 20 steps, `whole`."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        done = subprocess.run(tiny_run("whole"), cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        yield folder


@pytest.fixture(scope="module")
def translator():
    return tiny_translator()


@pytest.fixture(scope="module")
def joint():
    return tiny_translator(BOTH)
