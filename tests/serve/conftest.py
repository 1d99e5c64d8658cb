"""A run for demos."""

from __future__ import annotations

from pathlib import Path

import pytest
from served import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("serve") / "run")
