"""A translator small enough for tests, and the reference plugin where it is not installed."""

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
    """Makes StarGAN's components known, as its entry point does."""
    import mdtranslate_stargan

    if "stargan-generator" not in registry().names("backbone"):
        registry().register(mdtranslate_stargan, "stargan")


def tiny_model(attributes=CELEBA, image_size=16, seed=0, discriminator="stargan-discriminator") -> Model:
    register()
    small = {"channels": 4, "layers": 3} if discriminator == "stargan-discriminator" else {}
    return Model.build(
        TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector"),
        TypeAdapter(Choice[Generator]).validate_python({"name": "stargan-generator", "channels": 4, "blocks": 1}),
        TypeAdapter(Choice[Discriminator]).validate_python({"name": discriminator, **small}),
        attributes=attributes,
        image_size=image_size,
        seed=seed,
    ).to(torch.device("cpu"))


def tiny_translator(attributes=CELEBA, image_size=16, **more) -> Translator:
    return Translator(
        tiny_model(attributes, image_size, **more),
        image_size=image_size,
        crops=dict.fromkeys(attributes, Crop()),
        credit=["Faces: nobody"],
        trained={"recipe": "tiny", "step": 7},
    )
