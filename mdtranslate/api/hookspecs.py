"""The hooks that a plugin may implement; the whole plugin surface.

A component hook returns its classes, `[MyLoss, ...]`, or where to find them by name,
`{"my-loss": "my_package.losses:MyLoss"}`: then listing plugins imports nothing, and the module is imported when the
component is first used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pluggy

from mdtranslate.api import Component

API_VERSION = 1
"""The version of the contract: of these hooks, and of all that `mdtranslate` itself, `mdtranslate.errors` and
`mdtranslate.testing` name.

A plugin may say which one it is made for, as `mdtranslate_api = 1` in the module of its entry point; one for another
version is then refused in one line, instead of failing somewhere. Write the number itself: where the module cannot be
imported, for want of what only the other version has, it is read from the source. Within a version hooks, methods,
their arguments and settings are only added, with defaults; hooks are asked without arguments. What is taken away, or
means something else, makes a new version, in a minor release (0.2.0), and the changelog says so.
"""

OLDEST_API = 1
"""The oldest version whose plugins still work."""

hookspec = pluggy.HookspecMarker("mdtranslate")
hookimpl = pluggy.HookimplMarker("mdtranslate")
"""Marks a function of a plugin's module as one of the hooks below, which it must be named as."""

Components = Iterable[type[Component]] | Mapping[str, str]


@hookspec
def register_datasets() -> Components:
    """Datasets: subclasses of `mdtranslate.Dataset`."""
    return []


@hookspec
def register_label_encoders() -> Components:
    """Label encoders: subclasses of `mdtranslate.LabelEncoder`."""
    return []


@hookspec
def register_backbones() -> Components:
    """Generators and discriminators: subclasses of `mdtranslate.Generator` or `mdtranslate.Discriminator`."""
    return []


@hookspec
def register_losses() -> Components:
    """Losses: subclasses of `mdtranslate.Loss`."""
    return []


@hookspec
def register_metrics() -> Components:
    """Metrics: subclasses of `mdtranslate.Metric`."""
    return []


@hookspec
def register_importers() -> Components:
    """Importers of published checkpoints: subclasses of `mdtranslate.Importer`."""
    return []


@hookspec
def register_features() -> Components:
    """Feature networks of measures and losses: subclasses of `mdtranslate.Features`."""
    return []


@hookspec
def register_recipes() -> Iterable[Path]:
    """Recipes: TOML files, each known by its file name without `.toml`."""
    return []
