"""One step of a small StarGAN in one of several processes; the gradients of both updates go to a file.

Its classifier has no loss, so a head is unused, and its first layer is frozen. Run by `test_parallel.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from mdtranslate.engine import ROLES, Trainer
from mdtranslate.interfaces import Attribute
from mdtranslate.model import Model
from mdtranslate.parallel import joined
from mdtranslate.recipes import resolve
from mdtranslate.translation import NOISE, Batch

SETTINGS = [
    *("data.image_size=32", "data.batch_size=8", "train.critic_steps=1", "losses.domain-classification.weight=0"),
    *("generator.channels=8", "generator.blocks=2", "discriminator.channels=8", "discriminator.layers=4"),
]


def step(folder: Path) -> None:
    """Writes `RANK.safetensors`: the gradients by role and name, those that there are."""
    recipe = resolve("stargan", SETTINGS).recipe
    attributes = {"toys": (Attribute("Round"), Attribute("Red"))}
    model = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=32)
    model.generator.main[0].weight.requires_grad_(False)
    losses = {name: each.build(encoder=model.encoder, image_size=32) for name, each in recipe.losses.items()}
    draw = torch.Generator().manual_seed(0)
    rows = [model.encoder.encode({"Round": n % 2 == 0, "Red": n % 3 == 0}, 0) for n in range(8)]
    labels = torch.stack(rows)
    real, uniform = torch.rand(8, 3, 32, 32, generator=draw) * 2 - 1, torch.rand(8, generator=draw)
    with joined("cpu") as world:
        own = world.part(8)
        trainer = Trainer(recipe, model, losses, world.device, world)
        batch = Batch(real[own], labels[own], labels.flip(0)[own], torch.zeros(8, NOISE)[own], uniform[own])
        trainer.step(0, batch)
        found = {
            f"{role}.{name}": each.grad
            for role in ROLES
            for name, each in trainer.networks[role].named_parameters()
            if each.grad is not None
        }
        save_file(found, folder / f"{world.rank}-of-{world.size}.safetensors")


if __name__ == "__main__":
    step(Path(sys.argv[1]))
