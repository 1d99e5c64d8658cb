"""The hooks that a plugin may implement.

A component hook returns its classes, `[MyLoss, ...]`, or their locations by name,
`{"my-loss": "my_package.losses:MyLoss"}`. With locations, listing plugins imports nothing: a module is imported when
one of its components is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pluggy

from mdtranslate.api import Component

API_VERSION = 2
"""The version of the plugin API: these hooks, and all public names of `mdtranslate`, `mdtranslate.errors` and
`mdtranslate.testing`.

A plugin can declare the version that it is written for, as `mdtranslate_api = 2` in the module of its entry point. A
plugin for another version is then refused with one line. Write a literal number: if importing the module fails, for
example because of a name that only another version has, the number is read from the source.

Within a version, hooks, methods, arguments and settings are only added, with defaults. Removing a name, or changing its
meaning, makes a new version, in a minor release (0.2.0) whose changelog describes the change.
"""

OLDEST_API = 2
"""The oldest version of the plugin API whose plugins still work."""

hookspec = pluggy.HookspecMarker("mdtranslate")
hookimpl = pluggy.HookimplMarker("mdtranslate")
"""Decorator that marks a function of a plugin's module as the implementation of the hook of the same name."""

Components = Iterable[type[Component]] | Mapping[str, str]


@hookspec
def register_datasets() -> Components:
    """Returns datasets: subclasses of `mdtranslate.Dataset`."""
    return []


@hookspec
def register_label_encoders() -> Components:
    """Returns label encoders: subclasses of `mdtranslate.LabelEncoder`."""
    return []


@hookspec
def register_backbones() -> Components:
    """Returns generators and discriminators: subclasses of `mdtranslate.Generator` and `mdtranslate.Discriminator`."""
    return []


@hookspec
def register_losses() -> Components:
    """Returns losses: subclasses of `mdtranslate.Loss`."""
    return []


@hookspec
def register_metrics() -> Components:
    """Returns metrics: subclasses of `mdtranslate.Metric`."""
    return []


@hookspec
def register_importers() -> Components:
    """Returns importers of published checkpoints: subclasses of `mdtranslate.Importer`."""
    return []


@hookspec
def register_features() -> Components:
    """Returns feature networks for metrics and losses: subclasses of `mdtranslate.Features`."""
    return []


@hookspec
def register_recipes() -> Iterable[Path]:
    """Returns paths of recipes: TOML files, each named by its file name without `.toml`."""
    return []


@hookspec
def register_models() -> Iterable[Path]:
    """Returns paths of trained models: folders that `mdtranslate push` wrote, each named by its folder name."""
    return []
