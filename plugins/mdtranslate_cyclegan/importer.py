"""Importer of the checkpoints of CycleGAN's released code (`latest_net_G_A.pth`, `latest_net_G_B.pth`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import Field
from torch import Tensor

from mdtranslate import Attribute, ImportedModel, Importer, Settings
from mdtranslate.errors import CheckpointError, RecipeError

# Instance normalisations of older PyTorch versions saved running statistics, which were not used.
RUNNING_STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")
BLOCK_KEY: Final = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.(weight|bias)")
LAYER_KEY: Final = re.compile(r"model\.(\d+)\.(weight|bias)")
FIRST_BLOCK: Final = 10


class CycleGANFiles(Importer):
    """Checkpoints of the released CycleGAN code: one generator, or one per direction.

    The repository is github.com/junyanz/pytorch-CycleGAN-and-pix2pix. Width and depth are read from the shapes of the
    weights. `--attributes domain=horse|zebra` names the two domains: the first file (`latest_net_G_A.pth`, or
    `latest_net_G.pth` as published) translates the first domain to the second, the second file (`latest_net_G_B.pth`)
    the second to the first.
    """

    name = "cyclegan"

    class Config(Settings):
        """What the files do not tell."""

        image_size: int = Field(
            256, ge=8, le=4096, description="height and width of the model's training images in pixels"
        )

    def read(
        self, states: Mapping[Path, Mapping[str, Tensor]], attributes: Mapping[str, Sequence[Attribute]]
    ) -> ImportedModel:
        """Recognises the generators; see `Importer.read`."""
        labelled = [attribute for group in attributes.values() for attribute in group]
        if len(labelled) != 1 or len(labelled[0].values) != 2:
            raise RecipeError("--attributes: needs the two domains of a CycleGAN, such as domain=horse|zebra")
        files = list(states)
        if len(files) > 2:
            raise CheckpointError(f"{files[2]}: is a third file; pass one or two generators")
        generators = [_generator(file, state) for file, state in states.items()]
        settings = generators[0][0]
        if settings != generators[-1][0]:
            raise CheckpointError(f"{files[1]}: its generator has another width or depth than that of {files[0]}")
        name, (first, second) = labelled[0].name, labelled[0].values
        bank = {
            "name": "per-pair",
            "member": {"name": "resnet-generator", **settings},
            "pairs": [f"{name}={first}>{second}", f"{name}={second}>{first}"][: len(files)],
        }
        weights = {
            f"members.{index}.{key}": value
            for index, (_, state) in enumerate(generators)
            for key, value in state.items()
        }
        # Not optional: "none of these" is not a domain of a CycleGAN.
        required_attributes = {dataset: (Attribute(name, (first, second)),) for dataset in attributes}
        label_encoder = {"name": "mask-vector"}
        return ImportedModel(
            self.config.image_size, label_encoder, bank, None, {"generator": weights}, required_attributes
        )


def _generator(file: Path, state: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Returns the settings and the state dict of `ResnetGenerator`."""
    weights: dict[str, Tensor] = {}
    blocks = set()
    for key, value in state.items():
        plain_key = key.removeprefix("module.")
        if plain_key.rpartition(".")[2] in RUNNING_STATISTICS:
            continue
        if match := BLOCK_KEY.fullmatch(plain_key):
            block, layer, kind = match.groups()
            blocks.add(int(block))
            # Dropout, which has no weights, shifts the second convolution from index 5 to 6.
            weights[f"model.{block}.main.{1 if layer == '1' else 5}.{kind}"] = value
        elif LAYER_KEY.fullmatch(plain_key):
            weights[plain_key] = value
        else:
            raise CheckpointError(f"{file}: is not a generator of the released CycleGAN code: it holds {key}")
    first = weights.get("model.1.weight")
    if first is None or first.ndim != 4 or first.shape[2:] != (7, 7):
        raise CheckpointError(
            f"{file}: is not a generator of the released CycleGAN code: model.1.weight is not a 7 x 7 convolution"
        )
    if first.shape[1] != 3:
        raise CheckpointError(f"{file}: its input has {first.shape[1]} channels; only RGB images are supported")
    if any(value.ndim == 1 and key.endswith(".weight") for key, value in weights.items()):
        raise CheckpointError(
            f"{file}: its normalisations have weights (trained with --norm batch?); only instance normalisation "
            "without weights is supported"
        )
    layers = [key for key in weights if LAYER_KEY.fullmatch(key)]
    last = weights.get(max(layers, key=lambda key: int(key.split(".")[1])))
    if last is not None and len(last) != 3:
        raise CheckpointError(f"{file}: its output has {len(last)} channels; only RGB images are supported")
    if blocks != set(range(FIRST_BLOCK, FIRST_BLOCK + len(blocks))):
        raise CheckpointError(f"{file}: residual blocks are missing")
    return {"channels": first.shape[0], "blocks": len(blocks)}, weights
