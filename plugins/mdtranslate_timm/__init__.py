"""Networks of timm: as features to compare images by, and as the trunk of a discriminator. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping

from mdtranslate import hookimpl


@hookimpl
def register_features() -> Mapping[str, str]:
    return {
        "timm": "mdtranslate_timm.networks:TimmFeatures",
        "efficientnet-lite0": "mdtranslate_timm.efficientnet_lite0:EfficientNetLite0",
    }


@hookimpl
def register_backbones() -> Mapping[str, str]:
    return {"timm-discriminator": "mdtranslate_timm.networks:TimmDiscriminator"}
