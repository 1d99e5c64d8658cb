"""Commands as people type them, for what a message tells them to do next."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from mdtranslate.config.registry import registry


def typed(command: str, *arguments: object) -> str:
    """A command as a person types it next: found in the same way, and with the same plugin files, as this one.

    Of `arguments`, paths are quoted as a shell needs it, and texts stand as they are: they may be several words.
    """
    program = "mdtranslate" if shutil.which("mdtranslate") or not sys.argv[0].endswith("mdtranslate") else sys.argv[0]
    files = (word for file in registry().files for word in ("--plugin", str(file)))
    return shlex.join([program, *files, command]) + "".join(
        f" {shlex.quote(str(each)) if isinstance(each, Path) else each}" for each in arguments
    )
