"""Imports plugins from entry points and from plain `.py` files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from mdtranslate.config.plugin_validation import declared_version
from mdtranslate.errors import describe_error


def find_entry_points() -> list[EntryPoint]:
    """Returns the entry points of all plugins, each once; those of mdtranslate itself first, so names stay its own."""
    unique = {(point.name, point.value): point for point in entry_points(group="mdtranslate")}
    return sorted(
        unique.values(),
        key=lambda point: (not distribution_name(point).startswith("mdtranslate "), point.name, point.value),
    )


def distribution_name(point: EntryPoint) -> str:
    """Returns name and version of an entry point's distribution, or `unknown distribution`."""
    try:
        name = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    except Exception:  # The distribution's metadata is damaged.
        name = ""
    return name if name and not name.startswith("None") else "unknown distribution"


def file_module_name(file: Path) -> str:
    """Returns the name in `sys.modules` of a plugin that is a plain file."""
    return f"mdtranslate_plugin_file_{file.stem}"


def import_file(file: Path) -> ModuleType:
    """Imports a plugin that is a plain file.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It is not a Python file.
        Exception: Whatever the file raises.
    """
    spec = importlib.util.spec_from_file_location(file_module_name(file), file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no such file: {file}")
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def plugin_version(plugin: object, module_name: str) -> object:
    """Returns the `mdtranslate_api` of a plugin, or of the module that it is an object in; None if there is none."""
    version = getattr(plugin, "mdtranslate_api", None)
    return getattr(sys.modules.get(module_name), "mdtranslate_api", None) if version is None else version


def version_in_source(module_name: str) -> object:
    """Reads `mdtranslate_api` from the source of a module that cannot be imported; None if that is impossible."""
    # Modules of plain files are in sys.modules even after a failure, by a name that may contain dots.
    top, *parts = [module_name] if module_name in sys.modules else module_name.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for part in parts:  # One by one: find_spec of a dotted name imports the packages around it.
            spec = spec and PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
        return declared_version(Path(spec.origin).read_text("utf-8")) if spec and spec.origin else None
    except (ImportError, OSError, ValueError, SyntaxError):
        return None  # The error of the import itself is reported.


def result_or_error(call: Callable[[], Any]) -> Any:
    """Returns the result of `call`, or its exception as one line; also SystemExit: plugins must not end the process."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        return describe_error(error)


def named_targets(registered: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs what a hook returned with the names to register it by.

    Raises:
        TypeError: It is neither a mapping nor a list of classes or paths.
    """
    if isinstance(registered, Mapping):
        yield from registered.items()
        return
    if isinstance(registered, type):
        raise TypeError(f"{registered.__name__} is one class: return a list, [{registered.__name__}]")
    for target in [registered] if isinstance(registered, str) else registered or ():
        if isinstance(target, str):
            raise TypeError(f'{target!r} needs a name: return {{"name": {target!r}}}')
        name = getattr(target, "name", None) or getattr(target, "__name__", repr(target))
        yield (target.name.removesuffix(".toml"), target) if isinstance(target, Path) else (name, target)
