"""StarGAN (Choi et al., CVPR 2018): networks, losses, the mask vector, CelebA, and recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mdtranslate import hookimpl


@hookimpl
def register_datasets() -> Mapping[str, str]:
    return {"celeba": "mdtranslate_stargan.celeba:CelebA", "rafd": "mdtranslate_stargan.rafd:RaFD"}


@hookimpl
def register_label_encoders() -> Mapping[str, str]:
    return {"mask-vector": "mdtranslate_stargan.mask_vector:MaskVector"}


@hookimpl
def register_backbones() -> Mapping[str, str]:
    return {
        "stargan-generator": "mdtranslate_stargan.networks:StarGANGenerator",
        "stargan-discriminator": "mdtranslate_stargan.networks:StarGANDiscriminator",
        "multi-task-discriminator": "mdtranslate_stargan.multi_task:MultiTaskDiscriminator",
        "conditional-unet": "mdtranslate_stargan.unet:ConditionalUNet",
    }


@hookimpl
def register_losses() -> Mapping[str, str]:
    return {
        "wgan-gp": "mdtranslate_stargan.losses:WassersteinGP",
        "domain-classification": "mdtranslate_stargan.losses:DomainClassification",
        "cycle-reconstruction": "mdtranslate_stargan.losses:CycleReconstruction",
    }


@hookimpl
def register_importers() -> Mapping[str, str]:
    return {"stargan": "mdtranslate_stargan.importer:StarGANFiles"}


@hookimpl
def register_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))


@hookimpl
def register_models() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "models").glob("[!.]*/"))
