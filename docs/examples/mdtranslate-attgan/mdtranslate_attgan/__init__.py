"""AttGAN, and the label difference of STGAN, for mdtranslate."""

from pathlib import Path

from mdtranslate import hookimpl

mdtranslate_api = 2


@hookimpl
def register_backbones():
    return {
        "attgan-generator": "mdtranslate_attgan.networks:AttGANGenerator",
        "attgan-discriminator": "mdtranslate_attgan.networks:AttGANDiscriminator",
    }


@hookimpl
def register_losses():
    return {
        "attgan-reconstruction": "mdtranslate_attgan.losses:Reconstruction",
        "attgan-classification": "mdtranslate_attgan.losses:Classification",
    }


@hookimpl
def register_recipes():
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
