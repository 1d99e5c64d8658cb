"""The hooks that a plugin may implement; the whole plugin surface.

A component hook returns its classes, `[MyLoss, ...]`, or where to find them by name,
`{"my-loss": "my_package.losses:MyLoss"}`: then listing plugins imports nothing, and the module is imported when the
component is first used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pluggy

from mdtranslate.interfaces import Component

hookspec = pluggy.HookspecMarker("mdtranslate")
hookimpl = pluggy.HookimplMarker("mdtranslate")

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
