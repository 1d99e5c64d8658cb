"""Importer of the checkpoints of StarGAN's released code (`200000-G.ckpt`, `200000-D.ckpt`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, ImportedModel, Importer, Settings
from mdtranslate.errors import CheckpointError, RecipeError

# Running statistics are in the files, but the released code never uses them.
RUNNING_STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")


class StarGANFiles(Importer):
    """Checkpoints of the released StarGAN code (github.com/yunjey/stargan): a generator, optionally its discriminator.

    Width, depth, number of labels and image size are read from the shapes of the weights. Attributes are given in the
    order of the published labels; a joint model has attributes of several datasets.
    """

    name = "stargan"

    class Config(Settings):
        """What the generator's file does not tell."""

        image_size: int = Field(
            128,
            ge=8,
            le=4096,
            description="height and width of the model's training images in pixels; a discriminator's file overrides "
            "it",
        )

    def read(
        self, states: Mapping[Path, Mapping[str, Tensor]], attributes: Mapping[str, Sequence[Attribute]]
    ) -> ImportedModel:
        """Recognises the generator and the discriminator; see `Importer.read`."""
        files: dict[str, Path] = {}
        for file, state in states.items():
            role = "discriminator" if "conv1.weight" in state else "generator"
            if role in files:
                raise CheckpointError(f"{file}: is a second {role}, besides {files[role]}; pass one file of each role")
            files[role] = file
        if "generator" not in files:
            raise CheckpointError(f"{files['discriminator']}: is a discriminator; pass the generator's file, too")
        weights = {
            role: {
                key: value for key, value in states[file].items() if key.rpartition(".")[2] not in RUNNING_STATISTICS
            }
            for role, file in files.items()
        }
        label_channels = sum(len(attribute.values) or 1 for labelled in attributes.values() for attribute in labelled)
        mask_channels = len(attributes) if len(attributes) > 1 else 0
        generator = _generator(files["generator"], weights["generator"], label_channels, mask_channels)
        image_size, discriminator = self.config.image_size, None
        if "discriminator" in files:
            image_size, discriminator = _discriminator(files["discriminator"], weights["discriminator"], label_channels)
        label_encoder = {"name": "mask-vector", "exclusive_loss": "binary"}
        return ImportedModel(image_size, label_encoder, generator, discriminator, weights)


def _generator(file: Path, state: Mapping[str, Tensor], label_channels: int, mask_channels: int) -> dict[str, object]:
    """Returns the generator as a recipe writes it."""
    channels, input_channels = _conv_weight(file, state, "main.0.weight").shape[:2]
    condition_size = input_channels - 3
    if condition_size != label_channels + mask_channels:
        masks = f" and {mask_channels} of the mask" if mask_channels else ""
        raise RecipeError(
            f"{file}: its generator has {condition_size} condition channels; --attributes makes {label_channels}{masks}"
        )
    blocks = len([key for key in state if re.fullmatch(r"main\.\d+\.main\.0\.weight", key)])
    return {"name": "stargan-generator", "channels": channels, "blocks": blocks}


def _discriminator(file: Path, state: Mapping[str, Tensor], label_channels: int) -> tuple[int, dict[str, object]]:
    """Returns the image size, and the discriminator as a recipe writes it."""
    channels = _conv_weight(file, state, "main.0.weight").shape[0]
    layers = len([key for key in state if re.fullmatch(r"main\.\d+\.weight", key)])
    num_logits, _, final_size, _ = _conv_weight(file, state, "conv2.weight").shape
    if num_logits != label_channels:
        raise RecipeError(f"{file}: its discriminator has {num_logits} logits; --attributes makes {label_channels}")
    return final_size * 2**layers, {"name": "stargan-discriminator", "channels": channels, "layers": layers}


def _conv_weight(file: Path, state: Mapping[str, Tensor], key: str) -> Tensor:
    """Returns the weight of a convolution."""
    if key not in state or state[key].ndim != 4:
        raise CheckpointError(
            f"{file}: is not a network of the released StarGAN code: {key} of a convolution is missing; its first "
            f"weight is {next(iter(state), 'none')}"
        )
    return state[key]
