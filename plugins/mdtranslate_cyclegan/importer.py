"""The files of CycleGAN's released code (`latest_net_G_A.pth`, `latest_net_G_B.pth`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, Importer, Published, Settings
from mdtranslate.errors import CheckpointError, RecipeError

# Instance norms of older versions kept these and did not use them.
RUNNING: Final = ("running_mean", "running_var", "num_batches_tracked")
BLOCK: Final = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.(weight|bias)")
LAYER: Final = re.compile(r"model\.(\d+)\.(weight|bias)")
FIRST_BLOCK: Final = 10


class CycleGANFiles(Importer):
    """A generator of the released CycleGAN, or one for each direction, of any width and depth.

    `--attributes domain=horse|zebra` names the two domains. The first file (`latest_net_G_A.pth`, or `latest_net_G.pth`
    as they are published) makes the second domain of the first, the second file (`latest_net_G_B.pth`) the first of the
    second.
    """

    name = "cyclegan"

    class Config(Settings):
        image_size: int = Field(256, ge=8, le=4096, description="side of the pictures it was trained on")

    def read(
        self, states: Mapping[Path, Mapping[str, Tensor]], attributes: Mapping[str, Sequence[Attribute]]
    ) -> Published:
        own = [each for part in attributes.values() for each in part]
        if len(own) != 1 or len(own[0].values) != 2:
            raise RecipeError("--attributes: names two domains of a CycleGAN, such as domain=horse|zebra")
        files = list(states)
        if len(files) > 2:
            raise CheckpointError(f"{files[2]}: is one file too many; a CycleGAN has two generators at most")
        read = [_generator(file, state) for file, state in states.items()]
        if read[0][0] != read[-1][0]:
            raise CheckpointError(f"{files[1]}: its generator has another width or depth than that of {files[0]}")
        one, other = own[0].values
        only = [f"{own[0].name}={one}>{other}", f"{own[0].name}={other}>{one}"][: len(files)]
        weights = {
            f"members.{number}.{key}": value for number, (_, state) in enumerate(read) for key, value in state.items()
        }
        bank = {"name": "per-pair", "of": {"name": "resnet-generator", **read[0][0]}, "only": only}
        labelled = {name: (Attribute(own[0].name, own[0].values),) for name in attributes}  # "None" is no domain here.
        encoder = {"name": "mask-vector"}
        return Published(self.config.image_size, encoder, bank, None, {"generator": weights}, labelled)


def _generator(file: Path, state: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Settings of our generator, and its weights by our names."""
    found: dict[str, Tensor] = {}
    blocks = set()
    for key, value in state.items():
        plain = key.removeprefix("module.")
        if plain.rpartition(".")[2] in RUNNING:
            continue
        if block := BLOCK.fullmatch(plain):
            place, inside, what = block.groups()
            blocks.add(int(place))
            # With dropout, which has no weights, what follows it lies a place further on.
            found[f"model.{place}.main.{1 if inside == '1' else 5}.{what}"] = value
        elif LAYER.fullmatch(plain):
            found[plain] = value
        else:
            raise CheckpointError(f"{file}: is no generator of the released CycleGAN: it holds {key}")
    first = found.get("model.1.weight")
    if first is None or first.ndim != 4 or first.shape[2:] != (7, 7):
        raise CheckpointError(f"{file}: is no generator of the released CycleGAN: model.1.weight is no 7 x 7")
    if first.shape[1] != 3:
        raise CheckpointError(f"{file}: takes pictures of {first.shape[1]} channels; those of 3 colours are translated")
    if any(value.ndim == 1 and key.endswith(".weight") for key, value in found.items()):
        raise CheckpointError(
            f"{file}: its normalisations have weights (trained with --norm batch?); those of CycleGAN's have none"
        )
    last = found.get(max((key for key in found if LAYER.fullmatch(key)), key=lambda key: int(key.split(".")[1])))
    if last is not None and len(last) != 3:
        raise CheckpointError(f"{file}: makes pictures of {len(last)} channels; those of 3 colours are translated")
    if blocks != set(range(FIRST_BLOCK, FIRST_BLOCK + len(blocks))):
        raise CheckpointError(f"{file}: its residual blocks do not follow each other")
    return {"channels": first.shape[0], "blocks": len(blocks)}, found
