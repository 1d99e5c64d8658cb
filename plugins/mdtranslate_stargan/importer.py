"""The files of StarGAN's released code (`200000-G.ckpt`, `200000-D.ckpt`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, Importer, Published, Settings
from mdtranslate.errors import CheckpointError, RecipeError

# Instance statistics are always those of the picture at hand; what was averaged while training was never used.
RUNNING: Final = ("running_mean", "running_var", "num_batches_tracked")


class StarGANFiles(Importer):
    """A generator of the released StarGAN, and its discriminator where there is one, of any width, depth, number of
    labels and image size. Joint models have attributes for each dataset, in the order of the published labels."""

    name = "stargan"

    class Config(Settings):
        image_size: int = Field(
            128, ge=8, le=4096, description="side of the pictures it was trained on, where no discriminator tells"
        )

    def read(
        self, states: Mapping[Path, Mapping[str, Tensor]], attributes: Mapping[str, Sequence[Attribute]]
    ) -> Published:
        roles: dict[str, Path] = {}
        for file, state in states.items():
            role = "discriminator" if "conv1.weight" in state else "generator"
            if role in roles:
                raise CheckpointError(f"{file}: is a {role}, as {roles[role]} is; one of each is right")
            roles[role] = file
        if "generator" not in roles:
            raise CheckpointError(f"{roles['discriminator']}: is a discriminator; the generator's file is missing")
        weights = {
            role: {key: value for key, value in states[file].items() if key.rpartition(".")[2] not in RUNNING}
            for role, file in roles.items()
        }
        labels = sum(len(each.values) or 1 for own in attributes.values() for each in own)
        masks = len(attributes) if len(attributes) > 1 else 0
        generator = _generator(roles["generator"], weights["generator"], labels, masks)
        size, discriminator = self.config.image_size, None
        if "discriminator" in roles:
            size, discriminator = _discriminator(roles["discriminator"], weights["discriminator"], labels)
        encoder = {"name": "mask-vector", "exclusive": "binary"}
        return Published(size, encoder, generator, discriminator, weights)


def _generator(file: Path, state: Mapping[str, Tensor], labels: int, masks: int) -> dict[str, object]:
    first = _weight(file, state, "main.0.weight")
    channels, planes = first.shape[0], first.shape[1] - 3
    if planes != labels + masks:
        mask = f" and {masks} of the mask" if masks else ""
        raise RecipeError(
            f"{file}: its generator is told {planes} labels{' and masks' if masks else ''}; --attributes makes "
            f"{labels}{mask}"
        )
    blocks = len([key for key in state if re.fullmatch(r"main\.\d+\.main\.0\.weight", key)])
    return {"name": "stargan-generator", "channels": channels, "blocks": blocks}


def _discriminator(file: Path, state: Mapping[str, Tensor], labels: int) -> tuple[int, dict[str, object]]:
    """The size of the pictures, and the component."""
    channels = _weight(file, state, "main.0.weight").shape[0]
    layers = len([key for key in state if re.fullmatch(r"main\.\d+\.weight", key)])
    last = _weight(file, state, "conv2.weight")
    if last.shape[0] != labels:
        raise RecipeError(f"{file}: its discriminator tells {last.shape[0]} labels; --attributes makes {labels}")
    return last.shape[2] * 2**layers, {"name": "stargan-discriminator", "channels": channels, "layers": layers}


def _weight(file: Path, state: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in state or state[key].ndim != 4:
        raise CheckpointError(
            f"{file}: is no network of the released StarGAN: its first weight is {next(iter(state), 'none')}, not "
            "main.0.weight of a convolution"
        )
    return state[key]
