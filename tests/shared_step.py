"""One step of a small StarGAN or DIAT in one of several processes; writes the gradients of both updates to a file.

For StarGAN, the classification loss is off, so that a head has no gradient, and the first layer is frozen. For DIAT,
one generator is only used in the first half of the batch. `test_parallel.py` runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from mdtranslate.api import Attribute
from mdtranslate.api.translation import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.training.distributed import join_world
from mdtranslate.training.trainer import Trainer

TRAINING = ("train.precision=fp32", "data.image_size=32", "data.batch_size=8", "train.critic_steps=1")
NETWORKS = ("generator{}.channels=8", "generator{}.blocks=2", "discriminator{}.channels=8", "discriminator{}.layers=3")
SETTINGS = {
    "stargan": [*TRAINING, *(key.format("") for key in NETWORKS), "losses.domain-classification.weight=0"],
    "diat": [*TRAINING, *(key.format(".member") for key in NETWORKS)],
}


def step(name: str, folder: Path) -> None:
    """Writes the gradients by network and parameter name, as far as there are any, to `RECIPE-RANK-of-SIZE`."""
    recipe = resolve(name, SETTINGS[name]).recipe
    attributes = {"toys": (Attribute("Round"), Attribute("Red"))}
    components = recipe.label_encoder, recipe.generator, recipe.discriminator
    model = Model.build(*components, attributes=attributes, image_size=32)
    dtype = torch.float32
    if name == "stargan":
        model.generator.first.weight.requires_grad_(False)
    else:  # In float32, gradients of half batches and whole batches differ by 3e-6 on CPUs with AVX-512.
        dtype = torch.float64
        for network in model.networks.values():
            network.to(dtype)
    losses = {
        key: choice.build(label_encoder=model.label_encoder, image_size=32) for key, choice in recipe.losses.items()
    }
    generator = torch.Generator().manual_seed(0)

    def encode(rows: list[tuple[bool, bool]]) -> torch.Tensor:
        return torch.stack([model.label_encoder.encode({"Round": round_, "Red": red}, 0) for round_, red in rows])

    source = encode([(n % 2 == 0, False) for n in range(8)])
    target = encode([(n % 2 == 1, n == 0) for n in range(8)])
    real = torch.rand(8, 3, 32, 32, generator=generator) * 2 - 1
    seeds = torch.randint(2**62, (8,), generator=generator)
    with join_world("cpu") as world:
        rows = world.batch_slice(8)
        trainer = Trainer(recipe, model, losses, world.device, world)
        trainer.train_step(0, Batch(real[rows].to(dtype), source[rows], target[rows], seeds[rows]))
        gradients = {
            f"{network}.{key}": param.grad
            for network, module in trainer.networks.items()
            for key, param in module.named_parameters()
            if param.grad is not None
        }
        save_file(gradients, folder / f"{name}-{world.rank}-of-{world.size}.safetensors")


if __name__ == "__main__":
    step(sys.argv[1], Path(sys.argv[2]))
