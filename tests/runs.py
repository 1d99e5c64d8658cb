"""The command line in a subprocess, for tests of runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def mdtranslate(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs `mdtranslate` with these arguments in the folder `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "mdtranslate", *arguments], cwd=cwd, capture_output=True, text=True, timeout=240
    )
