"""Finds plugins, answers what a name stands for, and says whose fault a failure is.

A plugin that fails is kept with its error instead of taking the program down: pluggy's own loading of entry points
stops at the first failure and does not say whose it was, so each one is loaded and asked separately here.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from mdtranslate.api import Component, hookspecs
from mdtranslate.config.plugin_validation import (
    KINDS,
    RECIPES,
    misfit,
    misspelt,
    of_another_version,
    unfit,
    written_version,
)
from mdtranslate.errors import PluginError, RecipeError, nearest, said

MEMORY = "in memory"
"""What stands for the distribution of a plugin that is an object."""


class UnknownName(RecipeError):
    """No plugin registers a component or recipe of that name."""


@dataclass
class Plugin:
    """An installed plugin: what it registered, and what went wrong."""

    name: str
    distribution: str
    modules: tuple[str, ...] = ()
    provides: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.distribution})"

    @property
    def public(self) -> str:
        """As `str`, for others to read: of a plugin that is a plain file, where it lies is nobody else's business."""
        return f"plugin {self.name} ({Path(self.distribution).name})"

    @property
    def ours(self) -> bool:
        """Whether it comes with mdtranslate: no stranger takes one of its names, or the blame for it."""
        return self.distribution.startswith("mdtranslate ")


@dataclass(frozen=True)
class _Entry:
    plugin: Plugin
    target: str | type[Component] | Path


class Registry:
    """Every plugin of this process. `files` are plugins that are plain `.py` files."""

    def __init__(self, files: tuple[Path, ...] = ()) -> None:
        self.files = files
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._contested: set[tuple[str, str]] = set()
        self._manager = pluggy.PluginManager("mdtranslate")
        self._manager.add_hookspecs(hookspecs)
        for point in _entry_points():
            home = point.value.partition(":")[0].strip()
            plugin = Plugin(point.name, _distribution(point), (home.partition(".")[0],))
            self._adopt(plugin, point.load, home)
        for file in files:
            plugin = Plugin(file.stem, str(file), (_module_name(file),))
            self._adopt(plugin, lambda file=file: _load_file(file), _module_name(file))  # type: ignore[misc]
            if plugin.errors:
                raise PluginError(f"{plugin}: {plugin.errors[0]}")

    def register(self, module: object, name: str) -> Plugin:
        """Adds a plugin that is already an object in memory, as tests and notebooks have them."""
        home = getattr(module, "__module__", None) or getattr(module, "__name__", name)
        plugin = Plugin(name, MEMORY, (str(home),))
        self._adopt(plugin, lambda: module)
        return plugin

    def names(self, kind: str) -> list[str]:
        """The names registered for a kind of `KINDS`, or for "recipe"."""
        return sorted(name for each, name in self._entries if each == kind)

    def component(self, kind: str, name: str) -> type[Component]:
        """The class that `name` stands for; imports it on first use.

        Raises `UnknownName` with the nearest right name, or `PluginError` where its plugin cannot give it.
        """
        entry = self._entry(kind, name)
        if isinstance(entry.target, str):
            module, _, attribute = entry.target.partition(":")
            loaded = _try(lambda: getattr(importlib.import_module(module), attribute))
            problem = loaded if isinstance(loaded, str) else _try(lambda: misfit(loaded, kind, name))
            if problem:
                raise PluginError(f"{kind} {name!r} of {entry.plugin} cannot be loaded: {problem}")
            entry = self._entries[kind, name] = _Entry(entry.plugin, loaded)
        assert isinstance(entry.target, type)
        return entry.target

    def recipe(self, name: str) -> Path:
        """The file of a registered recipe. Raises `UnknownName`."""
        target = self._entry("recipe", name).target
        assert isinstance(target, Path)
        return target

    def owner(self, kind: str, name: str) -> Plugin:
        """The plugin that registered a component or recipe. Raises `UnknownName`."""
        return self._entry(kind, name).plugin

    def blame(self, error: BaseException) -> Plugin | None:
        """The plugin in whose code `error` was raised: the innermost frame that belongs to one."""
        frames = self._frames(error)
        return frames[-1][0] if frames else None

    def fault(self, error: BaseException) -> str:
        """An error of a plugin's code in one line, with the place in that code."""
        frames = self._frames(error)
        return f"{said(error)} ({frames[-1][1]})" if frames else said(error)

    def _frames(self, error: BaseException) -> list[tuple[Plugin, str]]:
        """The plugins, and the places in their code, on the way to where an error was raised."""
        found, trace = [], error.__traceback__
        while trace:
            module = trace.tb_frame.f_globals.get("__name__", "")
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            own = (each for each in self.plugins if any(f"{module}.".startswith(f"{home}.") for home in each.modules))
            found += [(plugin, place) for plugin in [next(own, None)] if plugin]
            trace = trace.tb_next
        return found

    @property
    def broken(self) -> str:
        """The end of a message about an unknown name: which plugins are broken, of which it may be."""
        return "".join(f"; {plugin} is broken: {error}" for plugin in self.plugins for error in plugin.errors)

    def _entry(self, kind: str, name: str) -> _Entry:
        try:
            return self._entries[kind, name]
        except KeyError:
            raise UnknownName(f"no {kind} is called {name!r}: {nearest(name, self.names(kind))}{self.broken}") from None

    def _adopt(self, plugin: Plugin, load: Callable[[], object], home: str = "") -> None:
        """`home`: the module of its entry point, or of its file, which says what version it is made for."""
        self.plugins.append(plugin)
        module = _try(load)
        if isinstance(module, str):
            # Mostly it wants a name that only the version has for which it is made.
            plugin.errors.append(of_another_version(_written_version(home)) or module)
            return
        if refusal := _try(lambda: of_another_version(_version(module, home))):
            plugin.errors.append(refusal)
            return
        registered = _try(lambda: self._manager.register(module, f"{plugin.name} from {plugin.distribution}"))
        if registered != f"{plugin.name} from {plugin.distribution}":
            plugin.errors.append(f"cannot be registered: {registered or 'its name is taken'}")
            return
        callers = {caller.name: caller for caller in self._manager.get_hookcallers(module) or ()}
        wrong = _try(lambda: misspelt(module, callers))
        plugin.errors += [wrong] if isinstance(wrong, str) else wrong
        for kind, hook in {**KINDS, "recipe": RECIPES}.items():
            own = [each for each in callers[hook].get_hookimpls() if each.plugin is module] if hook in callers else []
            for implementation in own:
                given = _try(lambda call=implementation.function: list(_targets(call())))  # type: ignore[misc]
                if isinstance(given, str):
                    plugin.errors.append(f"{hook}: {given}")
                    continue
                for name, target in given:
                    self._add(plugin, kind, name, target)

    def _add(self, plugin: Plugin, kind: str, name: Any, target: Any) -> None:
        problem = _try(lambda: unfit(target, kind, name))
        if problem:
            plugin.errors.append(f"{kind} {name!r}: {problem}")
        elif (kind, name) in self._contested:
            plugin.errors.append(f"{kind} {name!r} is of several plugins: uninstall all but one of them")
        elif (kind, name) in self._entries:
            owner = self._entries[kind, name].plugin
            plugin.errors.append(f"{kind} {name!r} is taken by {owner}")
            if not owner.ours and owner is not plugin and plugin.distribution != MEMORY:
                # Neither has it: which one was meant would depend on the order of their names.
                self._contested.add((kind, name))
                del self._entries[kind, name]
                owner.provides.remove((kind, name))
                owner.errors.append(f"{kind} {name!r} is of {plugin}, too: uninstall one of the two")
        else:
            self._entries[kind, name] = _Entry(plugin, target)
            plugin.provides.append((kind, name))


_files: tuple[Path, ...] = ()


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of this process, made when it is first asked for."""
    return Registry(_files)


def use_files(files: tuple[Path, ...]) -> None:
    """Plain `.py` files to take as plugins besides the installed ones; before the registry is first used."""
    global _files
    _files = tuple(dict.fromkeys(file.resolve() for file in files))
    registry.cache_clear()


def _entry_points() -> list[EntryPoint]:
    """Those of the group, once each, our own distribution first: a stranger's plugin cannot take our names."""
    unique = {(point.name, point.value): point for point in entry_points(group="mdtranslate")}
    return sorted(
        unique.values(),
        key=lambda point: (not _distribution(point).startswith("mdtranslate "), point.name, point.value),
    )


def _distribution(point: EntryPoint) -> str:
    """Name and version, as far as its metadata tells."""
    try:
        known = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    except Exception:  # A distribution of which the metadata is damaged.
        known = ""
    return known if known and not known.startswith("None") else "unknown distribution"


def _version(module: object, home: str) -> object:
    """The `mdtranslate_api` of a plugin, which may be an object in its module `home`."""
    own = getattr(module, "mdtranslate_api", None)
    return getattr(sys.modules.get(home), "mdtranslate_api", None) if own is None else own


def _written_version(home: str) -> object:
    """The same of a module that cannot be imported, from its source; None where that cannot be had."""
    # What is of a file is in sys.modules all the same, under a name that may have dots.
    whole, *parts = [home] if home in sys.modules else home.split(".")
    try:
        spec = importlib.util.find_spec(whole)
        for part in parts:  # Not by its whole name: that would import the package around it.
            spec = spec and PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
        return written_version(Path(spec.origin).read_text("utf-8")) if spec and spec.origin else None
    except (ImportError, OSError, ValueError, SyntaxError):
        return None  # It is not there, or no source. Why it cannot be imported is said already.


def _try(call: Callable[[], Any]) -> Any:
    """What `call` returns, or the error as one line. SystemExit too: a plugin must not end the program."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        return said(error)


def _targets(given: Any) -> Iterator[tuple[Any, Any]]:
    """What a hook gave, with names."""
    if isinstance(given, Mapping):
        yield from given.items()
        return
    if isinstance(given, type):
        raise TypeError(f"{given.__name__} is one class: return a list, [{given.__name__}]")
    for each in [given] if isinstance(given, str) else given or ():
        if isinstance(each, str):
            raise TypeError(f'{each!r} lacks the name that it goes by: return {{"name": {each!r}}}')
        named = getattr(each, "name", None) or getattr(each, "__name__", repr(each))
        yield (each.stem, each) if isinstance(each, Path) else (named, each)


def _module_name(file: Path) -> str:
    return f"mdtranslate_plugin_file_{file.stem}"


def _load_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_module_name(file), file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no such file: {file}")
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
