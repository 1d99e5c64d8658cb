"""Takes out of settings and reports what is the business of one machine alone: where its files lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mdtranslate.api import Settings
from mdtranslate.config.choice import Choice


def without_places(value: Any) -> Any:
    """A tree of JSON or TOML in which each path that leads from a machine's root or home is its last part alone.

    `/home/ann/data/celeba` becomes `celeba`, and so do `~/celeba`, `../ann/celeba` and `file:///data/celeba`. A path
    that begins where the command is typed (`data/celeba`) says nothing of the machine, and stays.
    """
    if isinstance(value, Mapping):
        return {key: without_places(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(each) for each in value]
    return _without_place(value) if isinstance(value, str) else value


def _without_place(text: str) -> str:
    home = Path.home()
    path = text.partition("file://")[2] or text
    for flavour in (PurePosixPath(path), PureWindowsPath(path)):
        # A drive alone says nothing: `c:hair` is a name. A server's (`\\server`) has no root by itself.
        elsewhere = flavour.root or flavour.drive.startswith("\\\\") or ".." in flavour.parts
        if elsewhere or path != text or path.startswith("~"):
            # The last part of a home folder is mostly the name of its owner.
            own = flavour.name.startswith("~") or flavour.name == home.name
            return "." if own else flavour.name or "."
    # Inside a text: a path that only begins or ends like it is another.
    return re.sub(rf"(?<!\w){re.escape(str(home))}(?![\w-])", "~", text) if len(home.parts) > 1 else text


def without_origins(settings: Settings) -> dict[str, Any]:
    """The settings of a component, without the files that its first weights came from.

    A setting that names a file, and is None if left out, is None here: what was trained replaces those weights, and a
    file of one machine is not there on another.
    """
    tree = settings.model_dump(mode="json")
    for key, value in settings:
        if isinstance(value, Path) and type(settings).model_fields[key].default is None:
            tree[key] = None
        elif isinstance(value, Choice):
            tree[key] = {"name": value.name, **without_origins(value.config)}
    return tree
