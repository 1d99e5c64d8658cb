"""The kinds of components, and checks of what plugins register."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pluggy

from mdtranslate._version import __version__
from mdtranslate.api import Component, Settings
from mdtranslate.api.hookspecs import API_VERSION, OLDEST_API
from mdtranslate.config.manifest import MANIFEST, is_shared
from mdtranslate.errors import nearest

KINDS = {
    "dataset": "register_datasets",
    "encoder": "register_label_encoders",
    "backbone": "register_backbones",
    "loss": "register_losses",
    "metric": "register_metrics",
    "importer": "register_importers",
    "features": "register_features",
}
"""The hook of each kind of component."""

PATH_HOOKS = {"recipe": "register_recipes", "model": "register_models"}
"""The hooks that return paths instead of components."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def kind_class(kind: str) -> type[Component]:
    """Returns the base class of a kind's components."""
    from mdtranslate import api

    name = {"encoder": "LabelEncoder"}.get(kind, kind.capitalize())
    cls: type[Component] = getattr(api, name)
    return cls


def version_problem(plugin_api: object) -> str | None:
    """Checks the API version that a plugin is written for.

    Args:
        plugin_api: The plugin's `mdtranslate_api`; None if it has none.

    Returns:
        Why the plugin is refused, or None.
    """
    if plugin_api is None or (type(plugin_api) is int and OLDEST_API <= plugin_api <= API_VERSION):
        return None
    remedy = "update mdtranslate" if type(plugin_api) is int and plugin_api > API_VERSION else "update the plugin"
    supported = f"mdtranslate {__version__} supports version {API_VERSION}"
    return f"is written for plugin API version {plugin_api!r}, but {supported}: {remedy}"


def declared_version(source: str) -> object:
    """Reads the value of `mdtranslate_api` from a module's source, without running it; None if it is not set."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "mdtranslate_api" for target in targets):
                return node.value.value
    return None


def registration_problem(target: Any, kind: str, name: Any) -> str | None:
    """Checks what a hook returned. A class that is given as text is only checked when it is first used.

    Args:
        target: A class, `"module:Class"`, or the path of a recipe or model.
        kind: A key of `KINDS` or `PATH_HOOKS`.
        name: The name to register it by.

    Returns:
        Why it cannot be registered, or None.
    """
    if not (isinstance(name, str) and name):
        return "the name is not a non-empty text"
    if kind in PATH_HOOKS and not isinstance(target, Path):
        return f"{target!r} is not a pathlib.Path"
    if kind == "recipe":
        return None if target.is_file() else f"there is no file {target}"
    if kind == "model":
        if not _MODEL_NAME.fullmatch(name):
            return "the name of a model consists of letters, digits, _, - and . only"
        # Its files are checked when it is used: their hashes take time.
        return None if is_shared(target) else f"{target} is not a folder that `mdtranslate push` wrote: no {MANIFEST}"
    if isinstance(target, str):
        return None if all(target.partition(":")) else f"{target!r} is not of the form module:Class"
    return component_problem(target, kind, name)


def component_problem(target: Any, kind: str, name: str) -> str | None:
    """Checks that an object is a component of a kind.

    Args:
        target: The object.
        kind: A key of `KINDS`.
        name: The name that it is registered by.

    Returns:
        Why it is not, or None.
    """
    base = kind_class(kind)
    if not (isinstance(target, type) and issubclass(target, base)):
        return f"{target!r} is not a subclass of mdtranslate.{base.__name__}"
    if getattr(target, "name", None) is None:
        return f'{target.__name__} has no name; set name = "..." in the class'
    if getattr(target, "name", None) != name:
        return f"the class has another name: {getattr(target, 'name', None)!r}"
    base_config = base.Config if "Config" in vars(base) else Settings
    if not (isinstance(target.Config, type) and issubclass(target.Config, base_config)):
        return f"its Config is not a subclass of mdtranslate.{base_config.__qualname__}"
    if kind == "loss" and all(getattr(target, role) is getattr(base, role) for role in ("discriminator", "generator")):
        return "it overrides neither discriminator(self, t) nor generator(self, t), so no network learns from it"
    return _signature_problem(target)


def _signature_problem(component: type[Component]) -> str | None:
    """Finds an overridden method that cannot be called with the arguments of the interface's method."""
    interfaces = [base for base in component.__mro__ if base.__module__.startswith("mdtranslate.api")]
    for name, method in [pair for interface in interfaces for pair in vars(interface).items()]:
        override = inspect.getattr_static(component, name)
        if name.startswith("_") or override is method:
            continue
        if not (inspect.isfunction(method) and inspect.isfunction(override)):
            continue
        expected, actual = inspect.signature(method), inspect.signature(override)
        params = expected.parameters.values()
        positional = [param.name for param in params if param.kind is param.POSITIONAL_OR_KEYWORD]
        keywords = {param.name: param for param in params if param.kind is param.KEYWORD_ONLY}
        try:
            actual.bind(*positional, **keywords)
        except TypeError:
            return f"its {name}({', '.join(actual.parameters)}) is called as {name}({', '.join(expected.parameters)})"
    return None


def hook_problems(module: object, callers: Mapping[str, pluggy.HookCaller]) -> list[str]:
    """Finds functions that look like hooks but are none; pluggy ignores them silently.

    Names that are similar to a hook's, such as `register_dataset`, are reported even without the marker.

    Args:
        module: The plugin's module or object.
        callers: The hook callers that pluggy found for it, by name.

    Returns:
        A line for each problem.
    """
    hooks = {*KINDS.values(), *PATH_HOOKS.values()}
    problems = [
        f"{name} is not a hook: {nearest(name, hooks)}" for name, caller in callers.items() if not caller.has_spec()
    ]
    for name in dir(module):
        if not inspect.isroutine(getattr(module, name)) or name in callers:
            continue
        if name in hooks:
            problems.append(f"{name} lacks @mdtranslate.hookimpl, so it is not called")
        elif name.startswith("register_") and get_close_matches(name, hooks, 1, 0.8):
            problems.append(f"{name} is not a hook: {nearest(name, hooks)}")
    return problems
