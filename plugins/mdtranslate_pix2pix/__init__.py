"""pix2pix (Isola et al., CVPR 2017): generator, losses, a dataset of image pairs, importer and recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mdtranslate import hookimpl


@hookimpl
def register_datasets() -> Mapping[str, str]:
    return {"aligned": "mdtranslate_pix2pix.aligned:Aligned"}


@hookimpl
def register_backbones() -> Mapping[str, str]:
    return {"unet-generator": "mdtranslate_pix2pix.networks:UnetGenerator"}


@hookimpl
def register_losses() -> Mapping[str, str]:
    return {"gan": "mdtranslate_pix2pix.losses:LogLoss", "truth-l1": "mdtranslate_pix2pix.losses:TruthL1"}


@hookimpl
def register_importers() -> Mapping[str, str]:
    return {"pix2pix": "mdtranslate_pix2pix.importer:Pix2PixFiles"}


@hookimpl
def register_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
