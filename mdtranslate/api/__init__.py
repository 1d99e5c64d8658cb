"""The interfaces between the core and its plugins.

Modules that need torch are imported on first use, so a plugin with only a dataset never imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdtranslate.api.attribute import Attribute, Value, format_value
from mdtranslate.api.component import Component, Settings
from mdtranslate.api.dataset import DECIDED_BY_CONTENT, Crop, Dataset, Note, Record, Split

if TYPE_CHECKING:
    from mdtranslate.api.features import Features
    from mdtranslate.api.importer import ImportedModel, Importer
    from mdtranslate.api.label_encoder import LabelEncoder
    from mdtranslate.api.loss import Loss, Ramp, Terms
    from mdtranslate.api.metric import EditBatch, Metric
    from mdtranslate.api.networks import Backbone, Discriminator, DiscriminatorOutput, Generator

__all__ = [
    "DECIDED_BY_CONTENT",
    "Attribute",
    "Backbone",
    "Component",
    "Crop",
    "Dataset",
    "Discriminator",
    "DiscriminatorOutput",
    "EditBatch",
    "Features",
    "Generator",
    "ImportedModel",
    "Importer",
    "LabelEncoder",
    "Loss",
    "Metric",
    "Note",
    "Ramp",
    "Record",
    "Settings",
    "Split",
    "Terms",
    "Value",
    "format_value",
]

_MODULES = {
    "LabelEncoder": "label_encoder",
    "Loss": "loss",
    "Ramp": "loss",
    "Terms": "loss",
    "Features": "features",
    "Importer": "importer",
    "ImportedModel": "importer",
    "EditBatch": "metric",
    "Metric": "metric",
    "Backbone": "networks",
    "Discriminator": "networks",
    "Generator": "networks",
    "DiscriminatorOutput": "networks",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
