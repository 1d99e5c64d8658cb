"""The contract between the core and its plugins: seven kinds of component, and the words they share.

What needs torch is imported when it is first asked for: a dataset plugin never pays for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdtranslate.api.component import Component, Settings
from mdtranslate.api.dataset import Attribute, Crop, Dataset, Note, Record, Split, Value, spell

if TYPE_CHECKING:
    from mdtranslate.api.features import Features
    from mdtranslate.api.importer import Importer, Published
    from mdtranslate.api.label_encoder import LabelEncoder
    from mdtranslate.api.loss import Loss, Ramp, Terms
    from mdtranslate.api.metric import Edited, Metric
    from mdtranslate.api.networks import Backbone, Discriminator, Generator, Verdict

__all__ = [
    "Attribute",
    "Backbone",
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
    "Metric",
    "Note",
    "Published",
    "Ramp",
    "Record",
    "Settings",
    "Split",
    "Terms",
    "Value",
    "Verdict",
    "spell",
]

_HOMES = {
    "LabelEncoder": "label_encoder",
    "Loss": "loss",
    "Ramp": "loss",
    "Terms": "loss",
    "Features": "features",
    "Importer": "importer",
    "Published": "importer",
    "Edited": "metric",
    "Metric": "metric",
    "Backbone": "networks",
    "Discriminator": "networks",
    "Generator": "networks",
    "Verdict": "networks",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
