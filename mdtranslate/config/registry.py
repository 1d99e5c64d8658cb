"""The registry of plugins: finds components, recipes and models by name, and names the plugin at fault for an error.

A plugin that fails is kept with its error instead of ending the program: pluggy's own loading of entry points stops at
the first failure without naming the plugin, so each plugin is loaded and called separately here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pluggy

from mdtranslate.api import Component, hookspecs
from mdtranslate.config.plugin_loading import (
    distribution_name,
    file_module_name,
    find_entry_points,
    import_file,
    named_targets,
    plugin_version,
    result_or_error,
    version_in_source,
)
from mdtranslate.config.plugin_validation import (
    KINDS,
    PATH_HOOKS,
    component_problem,
    hook_problems,
    registration_problem,
    version_problem,
)
from mdtranslate.errors import PluginError, RecipeError, describe_error, nearest

IN_MEMORY = "in memory"
"""The `distribution` of a plugin that was registered as an object."""


class UnknownNameError(RecipeError):
    """No plugin registers a component, recipe or model of this name."""


@dataclass
class Plugin:
    """A plugin, what it registered, and its errors.

    Attributes:
        name: Name of its entry point, or stem of its file.
        distribution: Name and version of its distribution, or the path of its file.
        modules: Packages or modules that its code is in.
        provides: Pairs of kind and name that it registered.
        errors: Problems, a line each.
    """

    name: str
    distribution: str
    modules: tuple[str, ...] = ()
    provides: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.distribution})"

    @property
    def public_label(self) -> str:
        """As `str`, but without the folder of a plugin that is a plain file, for files that are shared."""
        return f"plugin {self.name} ({Path(self.distribution).name})"

    @property
    def is_builtin(self) -> bool:
        """Whether it is part of mdtranslate; other plugins cannot take its names."""
        return self.distribution.startswith("mdtranslate ")


@dataclass(frozen=True)
class _Entry:
    plugin: Plugin
    target: str | type[Component] | Path


class Registry:
    """All plugins of this process.

    Attributes:
        files: Plugins that are plain `.py` files.
        plugins: All plugins, also those with errors.
    """

    def __init__(self, files: tuple[Path, ...] = ()) -> None:
        """Loads all installed plugins and the given files.

        Raises:
            PluginError: One of the files is broken. Broken installed plugins are only recorded.
        """
        self.files = files
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._contested: set[tuple[str, str]] = set()
        self._manager = pluggy.PluginManager("mdtranslate")
        self._manager.add_hookspecs(hookspecs)
        for point in find_entry_points():
            module_name = point.value.partition(":")[0].strip()
            plugin = Plugin(point.name, distribution_name(point), (module_name.partition(".")[0],))
            self._load(plugin, point.load, module_name)
        for file in files:
            plugin = Plugin(file.stem, str(file), (file_module_name(file),))
            self._load(plugin, lambda file=file: import_file(file), file_module_name(file))  # type: ignore[misc]
            if plugin.errors:
                raise PluginError(f"{plugin}: {plugin.errors[0]}")

    def register(self, module: object, name: str) -> Plugin:
        """Registers a plugin that is an object in memory, for tests and notebooks.

        Args:
            module: A module or object with hook implementations.
            name: Name of the plugin.

        Returns:
            The plugin; its `errors` are empty if all is well.
        """
        module_name = getattr(module, "__module__", None) or getattr(module, "__name__", name)
        plugin = Plugin(name, IN_MEMORY, (str(module_name),))
        self._load(plugin, lambda: module)
        return plugin

    def names(self, kind: str) -> list[str]:
        """Returns the sorted names of a kind of `KINDS` or `PATH_HOOKS`."""
        return sorted(name for entry_kind, name in self._entries if entry_kind == kind)

    def component(self, kind: str, name: str) -> type[Component]:
        """Returns a component's class and imports its module on first use.

        Args:
            kind: A key of `KINDS`.
            name: The registered name.

        Raises:
            UnknownNameError: No plugin registers it; the message suggests the most similar name.
            PluginError: Its plugin cannot load it.
        """
        entry = self._entry(kind, name)
        if isinstance(entry.target, str):
            module, _, attribute = entry.target.partition(":")
            loaded = result_or_error(lambda: getattr(importlib.import_module(module), attribute))
            problem = (
                loaded if isinstance(loaded, str) else result_or_error(lambda: component_problem(loaded, kind, name))
            )
            if problem:
                raise PluginError(f"{kind} {name!r} of {entry.plugin} cannot be loaded: {problem}")
            entry = self._entries[kind, name] = _Entry(entry.plugin, loaded)
        assert isinstance(entry.target, type)
        return entry.target

    def recipe(self, name: str) -> Path:
        """Returns the file of a registered recipe.

        Raises:
            UnknownNameError: No plugin registers it.
        """
        target = self._entry("recipe", name).target
        assert isinstance(target, Path)
        return target

    def model(self, name: str) -> Path:
        """Returns the folder of a registered model.

        Raises:
            UnknownNameError: No plugin registers it.
        """
        target = self._entry("model", name).target
        assert isinstance(target, Path)
        return target

    def owner(self, kind: str, name: str) -> Plugin:
        """Returns the plugin that registered a component, recipe or model.

        Raises:
            UnknownNameError: No plugin registers it.
        """
        return self._entry(kind, name).plugin

    def plugin_at_fault(self, error: BaseException) -> Plugin | None:
        """Returns the plugin of the innermost stack frame that is in any plugin's code, or None."""
        frames = self._plugin_frames(error)
        return frames[-1][0] if frames else None

    def describe_error(self, error: BaseException) -> str:
        """Formats an error on one line, with file and line number of the innermost frame in a plugin's code."""
        frames = self._plugin_frames(error)
        return f"{describe_error(error)} ({frames[-1][1]})" if frames else describe_error(error)

    def _plugin_frames(self, error: BaseException) -> list[tuple[Plugin, str]]:
        """The frames of a traceback that are in plugins' code, outermost first: plugin, and `file:line`."""
        frames, trace = [], error.__traceback__
        while trace:
            module = trace.tb_frame.f_globals.get("__name__", "")
            location = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            for plugin in self.plugins:
                if any(f"{module}.".startswith(f"{name}.") for name in plugin.modules):
                    frames.append((plugin, location))
                    break
            trace = trace.tb_next
        return frames

    @property
    def broken_plugins_hint(self) -> str:
        """The end of a message about an unknown name: the broken plugins, any of which may have registered it."""
        return "".join(f"; {plugin} is broken: {error}" for plugin in self.plugins for error in plugin.errors)

    def _entry(self, kind: str, name: str) -> _Entry:
        try:
            return self._entries[kind, name]
        except KeyError:
            hint = f"{nearest(name, self.names(kind))}{self.broken_plugins_hint}"
            raise UnknownNameError(f"no {kind} is called {name!r}: {hint}") from None

    def _load(self, plugin: Plugin, load: Callable[[], object], module_name: str = "") -> None:
        """Loads a plugin and registers what its hooks return; problems go to `plugin.errors`.

        Args:
            plugin: The plugin.
            load: Imports and returns its module or object.
            module_name: Module that may set `mdtranslate_api`.
        """
        self.plugins.append(plugin)
        module = result_or_error(load)
        if isinstance(module, str):
            # If the plugin is for another API version, that is the more likely cause than what the import says.
            plugin.errors.append(version_problem(version_in_source(module_name)) or module)
            return
        if problem := result_or_error(lambda: version_problem(plugin_version(module, module_name))):
            plugin.errors.append(problem)
            return
        key = f"{plugin.name} from {plugin.distribution}"
        registered = result_or_error(lambda: self._manager.register(module, key))
        if registered != key:
            plugin.errors.append(f"cannot be registered: {registered or 'a plugin of this name exists already'}")
            return
        callers = {caller.name: caller for caller in self._manager.get_hookcallers(module) or ()}
        problems = result_or_error(lambda: hook_problems(module, callers))
        plugin.errors += [problems] if isinstance(problems, str) else problems
        for kind, hook in {**KINDS, **PATH_HOOKS}.items():
            for implementation in callers[hook].get_hookimpls() if hook in callers else ():
                if implementation.plugin is not module:
                    continue
                call = implementation.function
                targets = result_or_error(lambda call=call: list(named_targets(call())))  # type: ignore[misc]
                if isinstance(targets, str):
                    plugin.errors.append(f"{hook}: {targets}")
                    continue
                for name, target in targets:
                    self._add(plugin, kind, name, target)

    def _add(self, plugin: Plugin, kind: str, name: Any, target: Any) -> None:
        problem = result_or_error(lambda: registration_problem(target, kind, name))
        if problem:
            plugin.errors.append(f"{kind} {name!r}: {problem}")
        elif (kind, name) in self._contested:
            plugin.errors.append(f"{kind} {name!r} is registered by several plugins: uninstall all but one of them")
        elif (kind, name) in self._entries:
            owner = self._entries[kind, name].plugin
            plugin.errors.append(f"{kind} {name!r} is already registered by {owner}")
            if not owner.is_builtin and owner is not plugin and plugin.distribution != IN_MEMORY:
                # Neither gets the name: otherwise the order of loading would decide.
                self._contested.add((kind, name))
                del self._entries[kind, name]
                owner.provides.remove((kind, name))
                owner.errors.append(f"{kind} {name!r} is also registered by {plugin}: uninstall one of the two")
        else:
            self._entries[kind, name] = _Entry(plugin, target)
            plugin.provides.append((kind, name))


_files: tuple[Path, ...] = ()


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Returns the registry of this process; it is created on first use."""
    return Registry(_files)


def set_plugin_files(files: tuple[Path, ...]) -> None:
    """Sets the plain `.py` files that the registry loads besides installed plugins.

    Call it before the registry is first used: a registry that exists already is discarded.
    """
    global _files
    _files = tuple(dict.fromkeys(file.resolve() for file in files))
    registry.cache_clear()
