"""A perceptual loss for mdtranslate."""

from mdtranslate import hookimpl

mdtranslate_api = 2


@hookimpl
def register_losses():
    return {"perceptual": "mdtranslate_perceptual.loss:Perceptual"}
