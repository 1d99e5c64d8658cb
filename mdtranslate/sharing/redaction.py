"""Removes paths of this machine from settings and reports before they are shared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mdtranslate.api import Settings
from mdtranslate.config.choice import Choice
from mdtranslate.utils.files import home_folder


def remove_paths(value: Any) -> Any:
    """Shortens each path that leads from a machine's root or home folder to its last part.

    `/home/ann/data/celeba` becomes `celeba`, and so do `~/celeba`, `../ann/celeba` and `file:///data/celeba`. A path
    relative to the working directory (`data/celeba`) tells nothing about the machine, and stays.

    Args:
        value: A tree of JSON or TOML.

    Returns:
        The tree without such paths.
    """
    if isinstance(value, Mapping):
        return {key: remove_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [remove_paths(item) for item in value]
    return _shorten_path(value) if isinstance(value, str) else value


def _shorten_path(text: str) -> str:
    home = home_folder()
    path = text.partition("file://")[2] or text
    for pure_path in (PurePosixPath(path), PureWindowsPath(path)):
        # A drive alone is no path: `c:hair` is a name. A network share (`\\server`) has no root by itself.
        is_outside = pure_path.root or pure_path.drive.startswith("\\\\") or ".." in pure_path.parts
        if is_outside or path != text or path.startswith("~"):
            # The last part of a home folder is usually the user's name.
            is_home = pure_path.name.startswith("~") or pure_path.name == home.name
            return "." if is_home else pure_path.name or "."
    # Within a sentence, replace the home folder, but not longer names that contain its path.
    return re.sub(rf"(?<!\w){re.escape(str(home))}(?![\w-])", "~", text) if len(home.parts) > 1 else text


def clear_initial_weights(settings: Settings) -> dict[str, Any]:
    """Returns the settings of a component without the files of its initial weights.

    Training has replaced those weights, and the files do not exist on other machines. So each path whose default is
    None is set to None.
    """
    tree = settings.model_dump(mode="json")
    for key, value in settings:
        if isinstance(value, Path) and type(settings).model_fields[key].default is None:
            tree[key] = None
        elif isinstance(value, Choice):
            tree[key] = {"name": value.name, **clear_initial_weights(value.config)}
    return tree
