"""mdtranslate: multi-domain image-to-image translation from plugins.

The names here are the public interface: the contract for plugins, and `Translator` for trained models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdtranslate._version import __version__

if TYPE_CHECKING:
    from mdtranslate.api import (
        Attribute,
        Backbone,
        Component,
        Crop,
        Dataset,
        Discriminator,
        Edited,
        Features,
        Generator,
        Importer,
        LabelEncoder,
        Loss,
        Metric,
        Note,
        Published,
        Ramp,
        Record,
        Settings,
        Split,
        Terms,
        Value,
        Verdict,
    )
    from mdtranslate.api.hookspecs import API_VERSION, hookimpl
    from mdtranslate.api.translation import Translation
    from mdtranslate.config.choice import Choice
    from mdtranslate.errors import MdtranslateError
    from mdtranslate.inference.translator import Translator

_ELSEWHERE = {
    "Choice": "config.choice",
    "MdtranslateError": "errors",
    "Translation": "api.translation",
    "Translator": "inference.translator",
    "API_VERSION": "api.hookspecs",
    "hookimpl": "api.hookspecs",
}

__all__ = [
    "API_VERSION",
    "Attribute",
    "Backbone",
    "Choice",
    "Component",
    "Crop",
    "Dataset",
    "Discriminator",
    "Edited",
    "Features",
    "Generator",
    "Importer",
    "LabelEncoder",
    "Loss",
    "MdtranslateError",
    "Metric",
    "Note",
    "Published",
    "Ramp",
    "Record",
    "Settings",
    "Split",
    "Terms",
    "Translation",
    "Translator",
    "Value",
    "Verdict",
    "__version__",
    "hookimpl",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'api')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
