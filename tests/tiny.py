"""Small models and translators for tests, with the reference plugin `stargan` registered."""

from __future__ import annotations

import torch
from pydantic import TypeAdapter

from mdtranslate import Attribute, Choice, Crop, Discriminator, Generator, LabelEncoder, Translator
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.registry import registry

HAIR = Attribute("hair", ("Black_Hair", "Blond_Hair"), optional=True)
GLASSES = Attribute("Eyeglasses")
MALE = Attribute("Male")
MOOD = Attribute("mood", ("happy", "angry", "sad"))

CELEBA = {"celeba": (HAIR, GLASSES, MALE)}
BOTH = {**CELEBA, "rafd": (MOOD, MALE)}


def register() -> None:
    """Registers the components of StarGAN, as their entry point does."""
    import mdtranslate_stargan

    if "stargan-generator" not in registry().names("backbone"):
        registry().register(mdtranslate_stargan, "stargan")


def tiny_model(attributes=CELEBA, image_size=16, seed=0, discriminator="stargan-discriminator") -> Model:
    """Builds untrained networks on the CPU, for the attributes of each dataset."""
    register()
    sizes = {"channels": 4, "layers": 3} if discriminator == "stargan-discriminator" else {}
    return Model.build(
        TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector"),
        TypeAdapter(Choice[Generator]).validate_python({"name": "stargan-generator", "channels": 4, "blocks": 1}),
        TypeAdapter(Choice[Discriminator]).validate_python({"name": discriminator, **sizes}),
        attributes=attributes,
        image_size=image_size,
        seed=seed,
    ).to(torch.device("cpu"))


def tiny_translator(attributes=CELEBA, image_size=16, **options) -> Translator:
    """Builds a translator of an untrained model; `options` are those of `tiny_model`."""
    return Translator(
        tiny_model(attributes, image_size, **options),
        image_size=image_size,
        crops=dict.fromkeys(attributes, Crop()),
        credit=["Faces: nobody"],
        trained={"recipe": "tiny", "step": 7},
    )
