"""StarGAN's losses against formulas written out by hand, and through the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from mdtranslate_stargan.losses import CycleReconstruction, DomainClassification, WassersteinGP
from mdtranslate_stargan.mask_vector import MaskVector
from mdtranslate_stargan.networks import StarGANDiscriminator, StarGANGenerator
from stargan_parts import ONE, batch, encoder, small
from torch import Tensor

from mdtranslate import Ramp, Translation
from mdtranslate.api.translation import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import resolve
from mdtranslate.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def setting(
    projection: bool = False, paired: bool = False
) -> tuple[Batch, StarGANGenerator, StarGANDiscriminator, Translation]:
    mask, generator, discriminator = small(projection=projection)
    given = batch(mask, 6)
    if paired:
        given = replace(given, truth=torch.rand_like(given.real) * 2 - 1)
    return given, generator, discriminator, Translation(given, generator, discriminator, mask)


def loss(kind: Any, **settings: Any) -> Any:
    return kind(kind.Config(**settings), encoder=encoder(ONE), image_size=16)


@pytest.mark.parametrize(
    ("penalised", "projection", "paired"),
    [("mean", False, False), ("sum", False, False), ("mean", True, False), ("mean", True, True)],
)
def test_wgan_gp_by_hand(penalised: str, projection: bool, paired: bool) -> None:
    given, generator, discriminator, t = setting(projection, paired)
    terms = loss(WassersteinGP, gradient_penalty=7, penalised=penalised).discriminator(t)
    fake = generator(given.real, given.source, given.target).detach()
    image, label = (given.real, given.source) if given.truth is None else (given.truth, given.target)

    def score(image: Tensor, label: Tensor) -> Tensor:
        return discriminator(image, label).score.flatten(1)

    distance = score(fake, given.target).mean(1) - score(image, label).mean(1)
    torch.testing.assert_close(terms["distance"], distance)

    # As the paper's own code has it: mixed in proportions of its own per image, the norm held to 1. A conditional
    # discriminator is asked about the nearer end's label.
    alpha = t.random("mix", (1, 1, 1))
    assert (alpha < 0.5).any() and (alpha > 0.5).any()
    mixed = (alpha * image + (1 - alpha) * fake).requires_grad_(True)
    label = torch.stack(
        [of_real if a > 0.5 else of_fake for a, of_real, of_fake in zip(alpha, label, given.target, strict=True)]
    )
    out = score(mixed, label).mean(1) if penalised == "mean" else score(mixed, label)
    (slope,) = torch.autograd.grad(out, mixed, torch.ones_like(out), create_graph=True, retain_graph=True)
    penalty = 7 * (slope.flatten(1).pow(2).sum(1).sqrt() - 1) ** 2
    torch.testing.assert_close(terms["penalty"], penalty)

    weights = list(discriminator.parameters())
    ours = torch.autograd.grad(terms["penalty"].mean(), weights, allow_unused=True)
    theirs = torch.autograd.grad(penalty.mean(), weights, allow_unused=True)
    assert sum(each is not None and bool(each.abs().max() > 1e-6) for each in theirs) >= 3
    for one, other in zip(ours, theirs, strict=True):
        if one is None or other is None:
            assert not any(each.any() for each in (one, other) if each is not None), "a bias has no part in it"
        else:
            torch.testing.assert_close(one, other)
    assert all(each.grad is None for each in generator.parameters())


def test_wgan_gp_of_the_generator_and_without_penalty() -> None:
    given, generator, discriminator, t = setting()
    found = loss(WassersteinGP).generator(t.then_generator())
    fake = generator(given.real, given.source, given.target)
    torch.testing.assert_close(found, -discriminator(fake, given.target).score.mean((1, 2, 3)))
    assert set(loss(WassersteinGP, gradient_penalty=0).discriminator(t)) == {"distance"}


def test_domain_classification_by_hand() -> None:
    given, generator, discriminator, t = setting()
    mask = t.encoder
    term = loss(DomainClassification)
    torch.testing.assert_close(
        term.discriminator(t), mask.loss(discriminator(given.real, given.source).logits, given.source)
    )
    fake = generator(given.real, given.source, given.target)
    torch.testing.assert_close(term.generator(t), mask.loss(discriminator(fake, given.target).logits, given.target))


def test_cycle_reconstruction_by_hand() -> None:
    given, generator, _, t = setting()
    back = generator(generator(given.real, given.source, given.target), given.target, given.source)
    found = loss(CycleReconstruction).generator(t)
    torch.testing.assert_close(found, (given.real - back).abs().flatten(1).mean(1))
    assert loss(CycleReconstruction).discriminator(t) is None
    assert loss(CycleReconstruction).weight(0) == 10.0
    assert loss(CycleReconstruction, weight=Ramp(start=0, end=1, steps=2)).weight(1) == 0.5


# The lazy translation.


class Passes:
    """Counts the forward passes of a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.count = 0
        network.register_forward_hook(self._seen)

    def _seen(self, *_: object) -> None:
        self.count += 1


def test_no_pass_that_no_loss_needs_and_none_twice() -> None:
    _, generator, discriminator, t = setting()
    made, judged = Passes(generator), Passes(discriminator)
    _ = t.fake, t.fake
    assert (made.count, judged.count) == (1, 0)
    _ = t.verdict_on_real, t.verdict_on_real, t.verdict_on_fake, t.verdict_on_fake
    assert (made.count, judged.count) == (1, 1), "real and made pictures by one"
    _ = t.reconstruction, t.reconstruction
    assert (made.count, judged.count) == (2, 1)
    assert not t.fake.requires_grad


def test_a_discriminator_that_sees_its_batch_judges_real_pictures_apart() -> None:
    given, generator, discriminator, t = setting()
    together = t.verdict_on_real, t.verdict_on_fake
    discriminator.alone = False
    judged = Passes(discriminator)
    apart = Translation(given, generator, discriminator, generator.encoder)
    for one, other in zip(together, (apart.verdict_on_real, apart.verdict_on_fake), strict=True):
        torch.testing.assert_close(one.score, other.score)
        torch.testing.assert_close(one.logits, other.logits)
    assert judged.count == 2


def test_one_pass_serves_both_updates() -> None:
    given, generator, discriminator, _ = setting()
    mask = generator.encoder
    made = Passes(generator)
    first = Translation(given, generator, discriminator, mask, carry_graph=True)
    assert not first.fake.requires_grad
    second = first.then_generator()
    assert second.fake.requires_grad and torch.equal(second.fake, first.fake)
    assert made.count == 1
    weights = list(generator.parameters())
    carried = torch.autograd.grad(loss(WassersteinGP).generator(second).mean(), weights)
    alone = Translation(given, generator, discriminator, mask, carry_graph=True).then_generator()
    fresh = torch.autograd.grad(loss(WassersteinGP).generator(alone).mean(), weights)
    assert max(each.abs().max() for each in fresh) > 0
    for one, other in zip(carried, fresh, strict=True):
        torch.testing.assert_close(one, other)


LOSSES = ["wgan-gp", "domain-classification", "cycle-reconstruction"]


@pytest.mark.parametrize("name", LOSSES)
def test_the_engine_gives_the_generator_every_gradient(name: str) -> None:
    """Of each loss alone, after the discriminator's update on the same batch, as of a forward pass made afresh."""
    small_nets = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"]
    recipe = resolve("stargan", [*small_nets, "data.image_size=16", "train.critic_steps=1"]).recipe
    networks = (recipe.encoder, recipe.generator, recipe.discriminator)
    model = Model.build(*networks, attributes=ONE, image_size=16)
    losses = {each: recipe.losses[each].build(encoder=model.encoder, image_size=16) for each in LOSSES}
    trainer = Trainer(recipe, model, losses, torch.device("cpu"))
    assert isinstance(model.encoder, MaskVector)
    given = batch(model.encoder)
    passes = Passes(model.generator)
    t = Translation(given, model.generator, model.discriminator, model.encoder, carry_graph=True)
    trainer.update("discriminator", [t], 0)
    assert passes.count == 1
    # Only one loss has its say in the generator's update; the discriminator is what the first update made of it.
    trainer.losses = {name: losses[name]}
    before = [each.detach().clone() for each in model.generator.parameters()]
    fake = model.generator(given.real, given.source, given.target)
    verdict = model.discriminator(fake, given.target, given.real)
    back = model.generator(fake, given.target, given.source)
    by_hand = {
        "wgan-gp": -verdict.score.mean(),
        "domain-classification": model.encoder.loss(verdict.logits, given.target).mean(),
        "cycle-reconstruction": (back - given.real).abs().mean(),
    }[name]
    expected = torch.autograd.grad(losses[name].weight(0) * by_hand, list(model.generator.parameters()))
    trainer.update("generator", [t.then_generator()], 0)
    for weight, slope in zip(model.generator.parameters(), expected, strict=True):
        assert weight.grad is not None, "the loss does not reach the generator"
        torch.testing.assert_close(weight.grad, slope, rtol=1e-3, atol=1e-6)
    assert any(not torch.equal(one, other) for one, other in zip(model.generator.parameters(), before, strict=True))
