"""One step of training, held against the same mathematics written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mdtranslate.config import Recipe
from mdtranslate.engine import Trainer
from mdtranslate.errors import NonFiniteError
from mdtranslate.interfaces import Attribute
from mdtranslate.model import Model
from mdtranslate.recipes import resolve
from mdtranslate.translation import NOISE, Batch

SMALL = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
ATTRIBUTES = {"toys": (Attribute("colour", ("red", "green")), Attribute("Round"))}


def trainer(*overrides: str) -> Trainer:
    recipe: Recipe = resolve("stargan", ["data.image_size=16", *SMALL, *overrides]).recipe
    model = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=ATTRIBUTES, image_size=16)
    losses = {name: each.build(encoder=model.encoder, image_size=16) for name, each in recipe.losses.items()}
    return Trainer(recipe, model, losses, torch.device("cpu"))


def batch(made: Trainer) -> Batch:
    draw = torch.Generator().manual_seed(0)
    encode = made.model.encoder.encode
    rows = [encode({"colour": colour, "Round": flag}, 0) for colour in ("red", "green") for flag in (True, False)]
    source = torch.stack(rows)
    real = torch.rand(4, 3, 16, 16, generator=draw) * 2 - 1
    return Batch(real, source, source.flip(0), torch.zeros(4, NOISE), torch.rand(4, generator=draw))


def gradients(made: Trainer, role: str) -> list[Tensor]:
    return [each.grad.clone() for each in getattr(made.model, role).parameters()]


def test_both_updates_have_the_gradients_of_the_published_step() -> None:
    """Separate passes, the generator run anew for its own update, autograd's double backward, unfused Adam."""
    ours, plain = trainer("train.critic_steps=1"), trainer("train.critic_steps=1")
    b = batch(ours)
    ours.step(0, b)

    generator, discriminator, encoder = plain.model.generator, plain.model.discriminator, plain.model.encoder
    rate = plain.recipe.optimizers.discriminator.learning_rate
    settings = plain.recipe.losses["wgan-gp"].config
    classify = plain.losses["domain-classification"].weight(0)
    cycle = plain.losses["cycle-reconstruction"].weight(0)
    adam = torch.optim.Adam(discriminator.parameters(), lr=rate, betas=(0.5, 0.999))
    fake = generator(b.real, b.source, b.target).detach()
    real_says, fake_says = discriminator(b.real, b.source), discriminator(fake, b.target)
    mix = b.uniform[:, None, None, None]
    between = (mix * b.real + (1 - mix) * fake).requires_grad_()
    score = discriminator(between, b.target).score
    scalar = score.sum() if settings.penalised == "sum" else score.flatten(1).mean(1).sum()
    (slope,) = torch.autograd.grad(scalar, between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = fake_says.score.mean() - real_says.score.mean() + settings.gradient_penalty * penalty
    (loss + classify * encoder.loss(real_says.logits, b.source).mean()).backward()
    for mine, theirs in zip(gradients(ours, "discriminator"), gradients(plain, "discriminator"), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    adam.step()

    generator.zero_grad()
    fake = generator(b.real, b.source, b.target)
    says = discriminator(fake, b.target)
    back = generator(fake, b.target, b.source)
    loss = -says.score.mean() + classify * encoder.loss(says.logits, b.target).mean()
    (loss + cycle * (b.real - back).abs().mean()).backward()
    for mine, theirs in zip(gradients(ours, "generator"), gradients(plain, "generator"), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_generator_learns_from_the_discriminator_alone() -> None:
    """Without the cycle, its only gradient comes through the pictures that the discriminator's update made."""
    made = trainer("train.critic_steps=1", "losses.cycle-reconstruction.weight=0")
    made.step(0, batch(made))
    assert all(each.abs().sum() > 0 for each in gradients(made, "generator")[-1:])


def test_the_generator_waits_for_its_turn() -> None:
    made = trainer("train.critic_steps=3")
    before = [each.clone() for each in made.model.generator.parameters()]
    changed = []
    for step in range(4):
        made.step(step, batch(made))
        changed.append(
            any(not torch.equal(a, b) for a, b in zip(before, made.model.generator.parameters(), strict=True))
        )
    assert changed == [False, False, True, True]


def test_a_value_that_is_not_finite_changes_no_weight_from_then_on() -> None:
    made = trainer("train.critic_steps=1")
    sound = batch(made)
    made.step(0, sound)
    made.check_finite(1)
    before = [each.clone() for network in made.networks.values() for each in network.parameters()]
    broken = Batch(sound.real * float("nan"), sound.source, sound.target, sound.noise, sound.uniform)
    made.step(1, broken)
    made.step(2, sound)
    after = [each for network in made.networks.values() for each in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    with pytest.raises(NonFiniteError, match=r"discriminator/wgan-gp\.distance"):
        made.check_finite(3)


def test_the_average_follows_the_generator() -> None:
    made = trainer("train.critic_steps=1", "train.ema=0.75")
    assert made.average is not None
    before = [each.clone() for each in made.average.parameters()]
    made.step(0, batch(made))
    for old, now, live in zip(before, made.average.parameters(), made.model.generator.parameters(), strict=True):
        torch.testing.assert_close(now, 0.75 * old + 0.25 * live)


def test_the_rate_reaches_zero() -> None:
    settings = trainer("optimizers.generator.decay_from=0.5").recipe.optimizers.generator
    rates = [settings.rate(step, 100) / settings.learning_rate for step in (0, 50, 75, 99, 100)]
    assert rates == pytest.approx([1, 1, 0.5, 0.02, 0])
