"""An empty folder to share models in, and a model that is shared."""

from __future__ import annotations

from pathlib import Path

import pytest
from sharing import make_run
from test_cli import run as typed
from tiny import register

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shared(tmp_path: Path, capsys: Capture) -> Path:
    make_run(tmp_path / "one")
    code, out, err = typed(capsys, "push", "one", "shared/model", "--license", "mit")
    assert (code, err) == (0, "") and "mdtranslate pull shared/model" in out
    return tmp_path / "shared" / "model"
