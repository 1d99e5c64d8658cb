"""mdtranslate: multi-domain image-to-image translation from plugins.

The names here are the public interface: `Translator` for trained models, and everything that a plugin may import
besides `mdtranslate.errors` and `mdtranslate.testing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdtranslate._version import __version__

if TYPE_CHECKING:
    from mdtranslate.api import (
        DECIDED_BY_CONTENT,
        Attribute,
        Backbone,
        Component,
        Crop,
        Dataset,
        Discriminator,
        DiscriminatorOutput,
        EditBatch,
        Features,
        Generator,
        ImportedModel,
        Importer,
        LabelEncoder,
        Loss,
        Metric,
        Note,
        Ramp,
        Record,
        Settings,
        Split,
        Terms,
        Value,
        format_value,
    )
    from mdtranslate.api.hookspecs import API_VERSION, hookimpl
    from mdtranslate.api.networks import OUTPUT_CHANNELS, OUTPUT_DESCRIPTION, OutputMode, compose_output
    from mdtranslate.api.translation import Translation
    from mdtranslate.config.choice import Choice
    from mdtranslate.errors import MdtranslateError
    from mdtranslate.evaluation.gap_closed import (
        GapClosed,
        GapMeasure,
        LabelledFeatures,
        NotMeasurable,
        realism_network,
    )
    from mdtranslate.inference.translator import Translator
    from mdtranslate.utils.files import file_sha256
    from mdtranslate.utils.image_folder import (
        IMAGE_SUFFIXES,
        count_unread_files,
        describe_unread_files,
        find_images,
        find_looping_links,
        has_images,
        list_subfolders,
    )
    from mdtranslate.utils.image_io import read_image, read_image_size
    from mdtranslate.utils.state_dict import read_state_dict
    from mdtranslate.utils.timm_factory import create_timm_network, describe_weights

# Where each name that is not in `mdtranslate.api` is defined; modules are imported on first use.
_MODULES = {
    "api.hookspecs": ["API_VERSION", "hookimpl"],
    "api.networks": ["OUTPUT_CHANNELS", "OUTPUT_DESCRIPTION", "OutputMode", "compose_output"],
    "api.translation": ["Translation"],
    "config.choice": ["Choice"],
    "errors": ["MdtranslateError"],
    "evaluation.gap_closed": ["GapClosed", "GapMeasure", "LabelledFeatures", "NotMeasurable", "realism_network"],
    "inference.translator": ["Translator"],
    "utils.files": ["file_sha256"],
    "utils.image_folder": [
        "IMAGE_SUFFIXES",
        "count_unread_files",
        "describe_unread_files",
        "find_images",
        "find_looping_links",
        "has_images",
        "list_subfolders",
    ],
    "utils.image_io": ["read_image", "read_image_size"],
    "utils.state_dict": ["read_state_dict"],
    "utils.timm_factory": ["create_timm_network", "describe_weights"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "API_VERSION",
    "DECIDED_BY_CONTENT",
    "IMAGE_SUFFIXES",
    "OUTPUT_CHANNELS",
    "OUTPUT_DESCRIPTION",
    "Attribute",
    "Backbone",
    "Choice",
    "Component",
    "Crop",
    "Dataset",
    "Discriminator",
    "DiscriminatorOutput",
    "EditBatch",
    "Features",
    "GapClosed",
    "GapMeasure",
    "Generator",
    "ImportedModel",
    "Importer",
    "LabelEncoder",
    "LabelledFeatures",
    "Loss",
    "MdtranslateError",
    "Metric",
    "NotMeasurable",
    "Note",
    "OutputMode",
    "Ramp",
    "Record",
    "Settings",
    "Split",
    "Terms",
    "Translation",
    "Translator",
    "Value",
    "__version__",
    "compose_output",
    "count_unread_files",
    "create_timm_network",
    "describe_unread_files",
    "describe_weights",
    "file_sha256",
    "find_images",
    "find_looping_links",
    "format_value",
    "has_images",
    "hookimpl",
    "list_subfolders",
    "read_image",
    "read_image_size",
    "read_state_dict",
    "realism_network",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'api')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
