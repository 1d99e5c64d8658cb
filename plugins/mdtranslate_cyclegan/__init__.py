"""CycleGAN (Zhu et al., ICCV 2017): networks, losses, importer and recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mdtranslate import hookimpl


@hookimpl
def register_backbones() -> Mapping[str, str]:
    return {
        "resnet-generator": "mdtranslate_cyclegan.networks:ResnetGenerator",
        "patchgan": "mdtranslate_cyclegan.networks:PatchGAN",
    }


@hookimpl
def register_losses() -> Mapping[str, str]:
    return {
        "lsgan": "mdtranslate_cyclegan.losses:LeastSquares",
        "identity": "mdtranslate_cyclegan.losses:Identity",
    }


@hookimpl
def register_importers() -> Mapping[str, str]:
    return {"cyclegan": "mdtranslate_cyclegan.importer:CycleGANFiles"}


@hookimpl
def register_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
