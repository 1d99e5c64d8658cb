"""Describes the machine and the software that a run used."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from mdtranslate._version import __version__


def describe_environment(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what results depend on besides the recipe: versions, command, platform, hardware, git commit and time.

    Args:
        hardware: Description of the devices.
    """
    packages = ("torch", "torchvision", "timm", "numpy", "pillow", "pydantic", "pluggy", "safetensors")
    return {
        "mdtranslate": __version__,
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": platform.platform(),
        "hardware": dict(hardware),
        "git": _git_commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git_commit() -> str | None:
    """The commit of the current folder, or None if it is not in a git work tree."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
