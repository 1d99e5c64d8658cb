"""Importer of the checkpoints of pix2pix's released PyTorch code (`latest_net_G.pth`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from torch import Tensor

from mdtranslate import Attribute, ImportedModel, Importer, Settings
from mdtranslate.errors import CheckpointError, RecipeError

# The released test code normalises by batch statistics and never uses these.
RUNNING_STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")
NESTED_KEY: Final = re.compile(r"model((?:\.model\.\d)+)\.(weight|bias)")


class Pix2PixFiles(Importer):
    """Checkpoints of the released pix2pix code: one U-Net generator (`--netG unet_256` or `unet_128`).

    The repository is github.com/junyanz/pytorch-CycleGAN-and-pix2pix. Width, depth and image size are read from the
    shapes of the weights; dropout is not imported, since it is used in training only. `--attributes side=label|photo`
    names the input and the output of the generator.
    """

    name = "pix2pix"

    class Config(Settings):
        """No settings: the depth of the U-Net is that of its image size."""

    def read(
        self, states: Mapping[Path, Mapping[str, Tensor]], attributes: Mapping[str, Sequence[Attribute]]
    ) -> ImportedModel:
        """Recognises the generator; see `Importer.read`."""
        labelled = [attribute for group in attributes.values() for attribute in group]
        if len(labelled) != 1 or len(labelled[0].values) != 2:
            raise RecipeError("--attributes: needs the input and the output of a pix2pix, such as side=label|photo")
        (file, state), *more = states.items()
        if more:
            raise CheckpointError(f"{more[0][0]}: is a second file; pass one generator")
        settings, weights = _generator(file, state)
        name, (first, second) = labelled[0].name, labelled[0].values
        bank = {
            "name": "per-pair",
            "member": {"name": "unet-generator", **settings},
            "pairs": [f"{name}={first}>{second}"],
        }
        # Not optional: "none of these" is not a side of a pix2pix.
        required_attributes = {dataset: (Attribute(name, (first, second)),) for dataset in attributes}
        member_weights = {f"members.0.{key}": value for key, value in weights.items()}
        label_encoder = {"name": "mask-vector"}
        return ImportedModel(
            2 ** settings["depth"], label_encoder, bank, None, {"generator": member_weights}, required_attributes
        )


def _generator(file: Path, state: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Returns the settings and the state dict of `UnetGenerator`.

    The released network nests blocks: `model.model.1.model.3.weight` is layer 3 of the second level. The layers of the
    outermost block are [down, block, relu, up, tanh], those of the others [relu, down, norm, block, relu, up, norm],
    and those of the innermost [relu, down, relu, up, norm].
    """
    layers: dict[tuple[int, int, str], Tensor] = {}  # By level, index in the level's block, and weight or bias.
    for key, value in state.items():
        plain_key = key.removeprefix("module.")
        if plain_key.rpartition(".")[2] in RUNNING_STATISTICS:
            continue
        match = NESTED_KEY.fullmatch(plain_key)
        if match is None:
            raise CheckpointError(f"{file}: is not a U-Net of the released pix2pix code: it holds {key}")
        path = match[1].removeprefix(".model.").split(".model.")
        layers[len(path) - 1, int(path[-1]), match[2]] = value
    depth = 1 + max((level for level, _, _ in layers), default=0)
    _check(file, layers, depth)
    weights: dict[str, Tensor] = {}
    for (level, index, kind), value in layers.items():
        prefix = "" if level == 0 else "levels." + "below." * (level - 1)
        if level == 0:
            names = {0: "down", 3: "up"}
        elif level < depth - 1:
            names = {1: "down", 2: "norm", 5: "up", 6: "after"}
        else:
            names = {1: "down", 3: "up", 4: "after"}
        if index not in names:
            raise CheckpointError(
                f"{file}: is not a U-Net of the released pix2pix code: level {level} has weights at index {index}"
            )
        weights[f"{prefix}{names[index]}.{kind}"] = value
    return {"channels": layers[0, 0, "weight"].shape[0], "depth": depth}, weights


def _check(file: Path, layers: Mapping[tuple[int, int, str], Tensor], depth: int) -> None:
    """Raises `CheckpointError` if the layers are not those of a U-Net for RGB images with batch normalisation."""
    first, last = layers.get((0, 0, "weight")), layers.get((0, 3, "weight"))
    if depth < 3 and first is not None:
        raise CheckpointError(f"{file}: has {depth} levels; a U-Net of the released pix2pix code has at least 3")
    if first is None or first.ndim != 4 or first.shape[2:] != (4, 4):
        raise CheckpointError(
            f"{file}: is not a U-Net of the released pix2pix code: model.model.0.weight is not a 4 x 4 convolution"
        )
    if first.shape[1] != 3:
        raise CheckpointError(f"{file}: its input has {first.shape[1]} channels; only RGB images are supported")
    if last is not None and last.ndim == 4 and last.shape[1] != 3:
        raise CheckpointError(f"{file}: its output has {last.shape[1]} channels; only RGB images are supported")
    if not any(value.ndim == 1 and kind == "weight" for (_, _, kind), value in layers.items()):
        raise CheckpointError(
            f"{file}: has no batch normalisation (trained with --norm instance or none?), which pix2pix's U-Nets have"
        )
