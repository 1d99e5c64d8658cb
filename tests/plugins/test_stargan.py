"""StarGAN's losses against formulas written out by hand, and through the trainer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from mdtranslate_stargan.losses import CycleReconstruction, DomainClassification, WassersteinGP
from mdtranslate_stargan.mask_vector import MaskVector
from mdtranslate_stargan.networks import StarGANDiscriminator, StarGANGenerator
from stargan_parts import ONE, batch, label_encoder, small
from torch import Tensor

from mdtranslate import Ramp, Translation
from mdtranslate.api.translation import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def translation(
    projection: bool = False, paired: bool = False
) -> tuple[Batch, StarGANGenerator, StarGANDiscriminator, Translation]:
    mask, generator, discriminator = small(projection=projection)
    data = batch(mask, 6)
    if paired:
        data = replace(data, truth=torch.rand_like(data.real) * 2 - 1)
    return data, generator, discriminator, Translation(data, generator, discriminator, mask)


def loss(kind: Any, **settings: Any) -> Any:
    return kind(kind.Config(**settings), label_encoder=label_encoder(ONE), image_size=16)


@pytest.mark.parametrize(
    ("reduction", "projection", "paired"),
    [("mean", False, False), ("sum", False, False), ("mean", True, False), ("mean", True, True)],
)
def test_wgan_gp_by_hand(reduction: str, projection: bool, paired: bool) -> None:
    data, generator, discriminator, t = translation(projection, paired)
    terms = loss(WassersteinGP, gradient_penalty=7, reduction=reduction).discriminator(t)
    fake = generator(data.real, data.source, data.target).detach()
    image, label = (data.real, data.source) if data.truth is None else (data.truth, data.target)

    def score(image: Tensor, label: Tensor) -> Tensor:
        return discriminator(image, label).score.flatten(1)

    distance = score(fake, data.target).mean(1) - score(image, label).mean(1)
    torch.testing.assert_close(terms["distance"], distance)

    # As in the released code: a random mix of each pair of images, and the norm held to 1. A conditional discriminator
    # gets the label of the nearer image.
    alpha = t.random("mix", (1, 1, 1))
    assert (alpha < 0.5).any() and (alpha > 0.5).any()
    mixed = (alpha * image + (1 - alpha) * fake).requires_grad_(True)
    label = torch.stack(
        [
            real_label if a > 0.5 else fake_label
            for a, real_label, fake_label in zip(alpha, label, data.target, strict=True)
        ]
    )
    out = score(mixed, label).mean(1) if reduction == "mean" else score(mixed, label)
    (gradient,) = torch.autograd.grad(out, mixed, torch.ones_like(out), create_graph=True, retain_graph=True)
    penalty = 7 * (gradient.flatten(1).pow(2).sum(1).sqrt() - 1) ** 2
    torch.testing.assert_close(terms["penalty"], penalty)

    weights = list(discriminator.parameters())
    actual = torch.autograd.grad(terms["penalty"].mean(), weights, allow_unused=True)
    expected = torch.autograd.grad(penalty.mean(), weights, allow_unused=True)
    assert sum(grad is not None and bool(grad.abs().max() > 1e-6) for grad in expected) >= 3
    for actual_gradient, expected_gradient in zip(actual, expected, strict=True):
        if actual_gradient is None or expected_gradient is None:
            gradients = [grad for grad in (actual_gradient, expected_gradient) if grad is not None]
            assert not any(grad.any() for grad in gradients), "a bias has no effect on the penalty"
        else:
            torch.testing.assert_close(actual_gradient, expected_gradient)
    assert all(param.grad is None for param in generator.parameters())


def test_wgan_gp_of_the_generator_and_without_penalty() -> None:
    data, generator, discriminator, t = translation()
    actual = loss(WassersteinGP).generator(t.for_generator_update())
    fake = generator(data.real, data.source, data.target)
    torch.testing.assert_close(actual, -discriminator(fake, data.target).score.mean((1, 2, 3)))
    assert set(loss(WassersteinGP, gradient_penalty=0).discriminator(t)) == {"distance"}


def test_domain_classification_by_hand() -> None:
    data, generator, discriminator, t = translation()
    mask = t.label_encoder
    term = loss(DomainClassification)
    real_logits = discriminator(data.real, data.source).logits
    torch.testing.assert_close(term.discriminator(t), mask.loss(real_logits, data.source))
    fake = generator(data.real, data.source, data.target)
    torch.testing.assert_close(term.generator(t), mask.loss(discriminator(fake, data.target).logits, data.target))


def test_cycle_reconstruction_by_hand() -> None:
    data, generator, _, t = translation()
    reconstruction = generator(generator(data.real, data.source, data.target), data.target, data.source)
    actual = loss(CycleReconstruction).generator(t)
    torch.testing.assert_close(actual, (data.real - reconstruction).abs().flatten(1).mean(1))
    assert loss(CycleReconstruction).discriminator(t) is None
    assert loss(CycleReconstruction).weight(0) == 10.0
    assert loss(CycleReconstruction, weight=Ramp(start=0, end=1, steps=2)).weight(1) == 0.5


class ForwardCounter:
    """Counts the forward passes of a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.count = 0
        network.register_forward_hook(self._increment)

    def _increment(self, *_: object) -> None:
        self.count += 1


def test_forward_passes_are_lazy_and_shared() -> None:
    _, generator, discriminator, t = translation()
    generated, scored = ForwardCounter(generator), ForwardCounter(discriminator)
    _ = t.fake, t.fake
    assert (generated.count, scored.count) == (1, 0)
    _ = t.real_output, t.real_output, t.fake_output, t.fake_output
    assert (generated.count, scored.count) == (1, 1), "real and fake images in one pass"
    _ = t.reconstruction, t.reconstruction
    assert (generated.count, scored.count) == (2, 1)
    assert not t.fake.requires_grad


def test_a_batch_dependent_discriminator_scores_real_and_fake_images_separately() -> None:
    data, generator, discriminator, t = translation()
    joint = t.real_output, t.fake_output
    discriminator.is_batch_independent = False
    scored = ForwardCounter(discriminator)
    separate = Translation(data, generator, discriminator, generator.label_encoder)
    for expected, actual in zip(joint, (separate.real_output, separate.fake_output), strict=True):
        torch.testing.assert_close(actual.score, expected.score)
        torch.testing.assert_close(actual.logits, expected.logits)
    assert scored.count == 2


def test_one_forward_pass_serves_both_updates() -> None:
    data, generator, discriminator, _ = translation()
    mask = generator.label_encoder
    generated = ForwardCounter(generator)
    first = Translation(data, generator, discriminator, mask, keep_graph=True)
    assert not first.fake.requires_grad
    second = first.for_generator_update()
    assert second.fake.requires_grad and torch.equal(second.fake, first.fake)
    assert generated.count == 1
    weights = list(generator.parameters())
    reused = torch.autograd.grad(loss(WassersteinGP).generator(second).mean(), weights)
    separate = Translation(data, generator, discriminator, mask, keep_graph=True).for_generator_update()
    expected = torch.autograd.grad(loss(WassersteinGP).generator(separate).mean(), weights)
    assert max(gradient.abs().max() for gradient in expected) > 0
    for actual_gradient, expected_gradient in zip(reused, expected, strict=True):
        torch.testing.assert_close(actual_gradient, expected_gradient)


LOSSES = ["wgan-gp", "domain-classification", "cycle-reconstruction"]


@pytest.mark.parametrize("name", LOSSES)
def test_the_generator_gets_all_gradients_of_a_loss(name: str) -> None:
    """After the discriminator's update on the same batch, the same gradients as from a new forward pass."""
    small_nets = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"]
    recipe = resolve("stargan", [*small_nets, "data.image_size=16", "train.critic_steps=1"]).recipe
    networks = (recipe.label_encoder, recipe.generator, recipe.discriminator)
    model = Model.build(*networks, attributes=ONE, image_size=16)
    losses = {key: recipe.losses[key].build(label_encoder=model.label_encoder, image_size=16) for key in LOSSES}
    trainer = Trainer(recipe, model, losses, torch.device("cpu"))
    discriminator_phase, generator_phase = trainer.phases
    assert isinstance(model.label_encoder, MaskVector) and model.discriminator is not None
    data = batch(model.label_encoder)
    passes = ForwardCounter(model.generator)
    t = Translation(data, model.generator, model.discriminator, model.label_encoder, keep_graph=True)
    trainer.update(discriminator_phase, [t], 0)
    assert passes.count == 1
    # Only one loss counts in the generator's update; the discriminator is as the first update left it.
    trainer.losses = {name: losses[name]}
    before = [param.detach().clone() for param in model.generator.parameters()]
    fake = model.generator(data.real, data.source, data.target)
    output = model.discriminator(fake, data.target, data.real)
    reconstruction = model.generator(fake, data.target, data.source)
    by_hand = {
        "wgan-gp": -output.score.mean(),
        "domain-classification": model.label_encoder.loss(output.logits, data.target).mean(),
        "cycle-reconstruction": (reconstruction - data.real).abs().mean(),
    }[name]
    expected = torch.autograd.grad(losses[name].weight(0) * by_hand, list(model.generator.parameters()))
    trainer.update(generator_phase, [t.for_generator_update()], 0)
    for param, gradient in zip(model.generator.parameters(), expected, strict=True):
        assert param.grad is not None, "the loss does not reach the generator"
        torch.testing.assert_close(param.grad, gradient, rtol=1e-3, atol=1e-6)
    assert any(
        not torch.equal(param, previous) for param, previous in zip(model.generator.parameters(), before, strict=True)
    )
