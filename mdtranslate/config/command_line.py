"""Formats the commands that messages suggest."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from mdtranslate.config.registry import registry
from mdtranslate.config.shipped_models import format_run


def format_command(command: str, *arguments: object) -> str:
    """Formats an `mdtranslate` command to copy into a shell, with the program path and `--plugin` files of this one.

    Args:
        command: The subcommand, such as `run`.
        arguments: Paths, which are quoted for the shell; anything else is inserted as it is and may be several words.

    Returns:
        The command line.
    """
    program = "mdtranslate" if shutil.which("mdtranslate") or not sys.argv[0].endswith("mdtranslate") else sys.argv[0]
    plugin_options = (word for file in registry().files for word in ("--plugin", str(file)))
    return shlex.join([program, *plugin_options, command]) + "".join(
        f" {shlex.quote(format_run(argument)) if isinstance(argument, Path) else argument}" for argument in arguments
    )
