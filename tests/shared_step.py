"""One step of a small StarGAN or DIAT in one of several processes; the gradients of both updates go to a file.

Of StarGAN the classifier has no loss, so a head is unused, and the first layer is frozen. Of DIAT a generator is asked
in the first half of the batch alone. Run by `test_parallel.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from mdtranslate.api import Attribute
from mdtranslate.api.translation import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import resolve
from mdtranslate.training.distributed import joined
from mdtranslate.training.trainer import ROLES, Trainer

BOTH = ("data.image_size=32", "data.batch_size=8", "train.critic_steps=1")
NETWORKS = ("generator{}.channels=8", "generator{}.blocks=2", "discriminator{}.channels=8", "discriminator{}.layers=3")
SETTINGS = {
    "stargan": [*BOTH, *(each.format("") for each in NETWORKS), "losses.domain-classification.weight=0"],
    "diat": [*BOTH, *(each.format(".of") for each in NETWORKS)],
}


def step(name: str, folder: Path) -> None:
    """Writes `RANK.safetensors`: the gradients by role and name, those that there are."""
    recipe = resolve(name, SETTINGS[name]).recipe
    attributes = {"toys": (Attribute("Round"), Attribute("Red"))}
    model = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=32)
    kind = torch.float32
    if name == "stargan":
        model.generator.first.weight.requires_grad_(False)
    else:  # In float32 the gradients of half batches and of a whole one round 3e-6 apart on processors with AVX-512.
        kind = torch.float64
        for network in model.networks.values():
            network.to(kind)
    losses = {name: each.build(encoder=model.encoder, image_size=32) for name, each in recipe.losses.items()}
    draw = torch.Generator().manual_seed(0)

    def encoded(rows: list[tuple[bool, bool]]) -> torch.Tensor:
        return torch.stack([model.encoder.encode({"Round": one, "Red": other}, 0) for one, other in rows])

    source = encoded([(n % 2 == 0, False) for n in range(8)])
    target = encoded([(n % 2 == 1, n == 0) for n in range(8)])
    real, seeds = torch.rand(8, 3, 32, 32, generator=draw) * 2 - 1, torch.randint(2**62, (8,), generator=draw)
    with joined("cpu") as world:
        own = world.part(8)
        trainer = Trainer(recipe, model, losses, world.device, world)
        batch = Batch(real[own].to(kind), source[own], target[own], seeds[own])
        trainer.step(0, batch)
        found = {
            f"{role}.{name}": each.grad
            for role in ROLES
            for name, each in trainer.networks[role].named_parameters()
            if each.grad is not None
        }
        save_file(found, folder / f"{name}-{world.rank}-of-{world.size}.safetensors")


if __name__ == "__main__":
    step(sys.argv[1], Path(sys.argv[2]))
