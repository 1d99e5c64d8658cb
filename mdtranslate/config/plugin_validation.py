"""The kinds of components, and whether what a plugin gives can be one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pluggy

from mdtranslate._version import __version__
from mdtranslate.api import Component, Settings
from mdtranslate.api.hookspecs import API_VERSION, OLDEST_API
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
RECIPES = "register_recipes"


def kind_class(kind: str) -> type[Component]:
    """The interface that a kind's components implement."""
    from mdtranslate import api

    name = {"encoder": "LabelEncoder"}.get(kind, kind.capitalize())
    cls: type[Component] = getattr(api, name)
    return cls


def of_another_version(made_for: object) -> str | None:
    """Why a plugin with that `mdtranslate_api` is refused; None where it is not, or says nothing."""
    if made_for is None or (type(made_for) is int and OLDEST_API <= made_for <= API_VERSION):
        return None
    update = "update mdtranslate" if type(made_for) is int and made_for > API_VERSION else "update the plugin"
    ours = f"mdtranslate {__version__} has version {API_VERSION}"
    return f"is made for version {made_for!r} of the contract, and {ours}: {update}"


def written_version(source: str) -> object:
    """What a module's source sets `mdtranslate_api` to, without running it; None where it says nothing."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == "mdtranslate_api" for each in targets):
                return node.value.value
    return None


def unfit(target: Any, kind: str, name: Any) -> str | None:
    """Why `target` cannot be registered; None where it can. A class that is only named is looked at when it is used."""
    if not (isinstance(name, str) and name):
        return "the name is no word"
    if kind == "recipe":
        if not isinstance(target, Path):
            return f"{target!r} is no pathlib.Path"
        return None if target.is_file() else f"there is no file {target}"
    if isinstance(target, str):
        return None if all(target.partition(":")) else f"{target!r} is not written as module:Class"
    return misfit(target, kind, name)


def misfit(target: Any, kind: str, name: str) -> str | None:
    """Why `target` cannot be the component it was registered as; None where it can."""
    base = kind_class(kind)
    if not (isinstance(target, type) and issubclass(target, base)):
        return f"{target!r} is no subclass of mdtranslate.{base.__name__}"
    if getattr(target, "name", None) is None:
        return f'{target.__name__} has no name; write name = "..." in it'
    if getattr(target, "name", None) != name:
        return f"the class calls itself {getattr(target, 'name', None)!r}"
    config = base.Config if "Config" in vars(base) else Settings
    if not (isinstance(target.Config, type) and issubclass(target.Config, config)):
        return f"its Config is no subclass of mdtranslate.{config.__qualname__}"
    if kind == "loss" and all(getattr(target, role) is getattr(base, role) for role in ("discriminator", "generator")):
        return "it overrides neither discriminator(self, t) nor generator(self, t), so no network learns from it"
    return miscalled(target)


def miscalled(target: type[Component]) -> str | None:
    """The method of a component that cannot be called as the core calls it; None where all can."""
    interfaces = [each for each in target.__mro__ if each.__module__.startswith("mdtranslate.api")]
    for name, method in [pair for each in interfaces for pair in vars(each).items()]:
        own = inspect.getattr_static(target, name)
        if name.startswith("_") or own is method or not (inspect.isfunction(method) and inspect.isfunction(own)):
            continue
        wanted, given = inspect.signature(method), inspect.signature(own)
        every = [each.name for each in wanted.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
        named = {each.name: each for each in wanted.parameters.values() if each.kind is each.KEYWORD_ONLY}
        try:
            given.bind(*every, **named)
        except TypeError:
            return f"its {name}({', '.join(given.parameters)}) is called as {name}({', '.join(wanted.parameters)})"
    return None


def misspelt(module: object, callers: Mapping[str, pluggy.HookCaller]) -> list[str]:
    """Functions that are meant as hooks and are none: pluggy would pass over them in silence.

    `register_dataset` is one even without the marker: what is spelt so like a hook means to be one.
    """
    hooks = {*KINDS.values(), RECIPES}
    found = [f"{name} is no hook: {nearest(name, hooks)}" for name, caller in callers.items() if not caller.has_spec()]
    for name in dir(module):
        if not inspect.isroutine(getattr(module, name)) or name in callers:
            continue
        if name in hooks:
            found.append(f"{name} lacks @mdtranslate.hookimpl, so it is not called")
        elif name.startswith("register_") and get_close_matches(name, hooks, 1, 0.8):
            found.append(f"{name} is no hook: {nearest(name, hooks)}")
    return found
