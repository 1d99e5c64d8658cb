"""The files of pix2pix's released code in PyTorch (`latest_net_G.pth`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from torch import Tensor

from mdtranslate import Attribute, Importer, Published, Settings
from mdtranslate.errors import CheckpointError, RecipeError

# The published test normalises by the picture at hand, and never by these.
RUNNING: Final = ("running_mean", "running_var", "num_batches_tracked")
NESTED: Final = re.compile(r"model((?:\.model\.\d)+)\.(weight|bias)")


class Pix2PixFiles(Importer):
    """A generator of the released pix2pix, of any width and depth: U-Nets of 256 or 128 pixels, without dropout.

    `--attributes side=label|photo` names what it is given and what it makes of it.
    """

    name = "pix2pix"

    class Config(Settings):
        """No settings: the depth tells the size."""

    def read(
        self, states: Mapping[Path, Mapping[str, Tensor]], attributes: Mapping[str, Sequence[Attribute]]
    ) -> Published:
        own = [each for part in attributes.values() for each in part]
        if len(own) != 1 or len(own[0].values) != 2:
            raise RecipeError("--attributes: names what a pix2pix is given and what it makes, such as side=label|photo")
        (file, state), *more = states.items()
        if more:
            raise CheckpointError(f"{more[0][0]}: is one file too many; a pix2pix has one generator")
        settings, weights = _generator(file, state)
        (one, other), size = own[0].values, 2 ** settings["depth"]
        only = [f"{own[0].name}={one}>{other}"]
        bank = {"name": "per-pair", "of": {"name": "unet-generator", **settings}, "only": only}
        labelled = {name: (Attribute(own[0].name, own[0].values),) for name in attributes}  # "None" is no side here.
        named = {f"members.0.{key}": value for key, value in weights.items()}
        return Published(size, {"name": "mask-vector"}, bank, None, {"generator": named}, labelled)


def _generator(file: Path, state: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Settings of our generator, and its weights by our names.

    The released network is a block in a block: `model.model.1.model.3.weight` lies in the second level. The outermost
    block is [down, block, relu, up, tanh], the others [relu, down, norm, block, relu, up, norm], and the innermost
    [relu, down, relu, up, norm].
    """
    placed: dict[tuple[int, int, str], Tensor] = {}
    for key, value in state.items():
        plain = key.removeprefix("module.")
        if plain.rpartition(".")[2] in RUNNING:
            continue
        nested = NESTED.fullmatch(plain)
        if nested is None:
            raise CheckpointError(f"{file}: is no U-Net of the released pix2pix: it holds {key}")
        steps = nested[1].removeprefix(".model.").split(".model.")
        placed[len(steps) - 1, int(steps[-1]), nested[2]] = value
    depth = 1 + max((level for level, _, _ in placed), default=0)
    first = placed.get((0, 0, "weight"))
    if depth < 3 and first is not None:
        raise CheckpointError(f"{file}: has {depth} levels; a U-Net of the released pix2pix has 3 and more")
    if first is None or first.ndim != 4 or first.shape[2:] != (4, 4):
        raise CheckpointError(f"{file}: is no U-Net of the released pix2pix: model.model.0.weight is no 4 x 4")
    if first.shape[1] != 3:
        raise CheckpointError(f"{file}: takes pictures of {first.shape[1]} channels; those of 3 colours are translated")
    last = placed.get((0, 3, "weight"))
    if last is not None and last.ndim == 4 and last.shape[1] != 3:
        raise CheckpointError(f"{file}: makes pictures of {last.shape[1]} channels; those of 3 colours are translated")
    if not any(value.ndim == 1 and what == "weight" for (_, _, what), value in placed.items()):
        raise CheckpointError(
            f"{file}: has no batch normalisation (trained with --norm instance or none); pix2pix's U-Nets do"
        )
    found: dict[str, Tensor] = {}
    for (level, place, what), value in placed.items():
        inner = "" if level == 0 else "levels." + "below." * (level - 1)
        if level == 0:
            names = {0: "down", 3: "up"}
        elif level < depth - 1:
            names = {1: "down", 2: "norm", 5: "up", 6: "after"}
        else:
            names = {1: "down", 3: "up", 4: "after"}
        if place not in names:
            raise CheckpointError(
                f"{file}: is no U-Net of the released pix2pix: level {level} holds something at {place}"
            )
        found[f"{inner}{names[place]}.{what}"] = value
    return {"channels": first.shape[0], "depth": depth}, found
