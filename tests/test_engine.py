"""One training step, against the same mathematics written out; see also test_engine_options."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mdtranslate.api import Attribute, Discriminator, DiscriminatorOutput
from mdtranslate.api.translation import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.errors import NonFiniteError
from mdtranslate.training import loss_statistics
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils.random_streams import uniform

SMALL = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
ATTRIBUTES = {"toys": (Attribute("colour", ("red", "green")), Attribute("Round"))}


def build_trainer(*overrides: str, lines: list[str] | None = None) -> Trainer:
    """Returns a trainer of a small StarGAN; what it says is appended to `lines`."""
    recipe: Recipe = resolve("stargan", ["data.image_size=16", *SMALL, *overrides]).recipe
    components = recipe.label_encoder, recipe.generator, recipe.discriminator
    model = Model.build(*components, attributes=ATTRIBUTES, image_size=16)
    losses = {
        name: choice.build(label_encoder=model.label_encoder, image_size=16) for name, choice in recipe.losses.items()
    }
    say = [].append if lines is None else lines.append
    return Trainer(recipe, model, losses, torch.device("cpu"), say=say)


def build_batch(trainer: Trainer) -> Batch:
    generator = torch.Generator().manual_seed(0)
    encode = trainer.model.label_encoder.encode
    rows = [encode({"colour": colour, "Round": flag}, 0) for colour in ("red", "green") for flag in (True, False)]
    source = torch.stack(rows)
    real = torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1
    return Batch(real, source, source.flip(0), torch.randint(2**62, (4,), generator=generator))


def gradients(trainer: Trainer, network: str) -> list[Tensor]:
    return [param.grad.clone() for param in getattr(trainer.model, network).parameters()]


def parameters(trainer: Trainer) -> list[Tensor]:
    return [param.detach().clone() for network in trainer.networks.values() for param in network.parameters()]


def all_equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_both_updates_have_the_gradients_of_the_published_step() -> None:
    """Separate forward passes, a new one of the generator for its update, double backward, unfused Adam."""
    trainer, reference = build_trainer("train.critic_steps=1"), build_trainer("train.critic_steps=1")
    b = build_batch(trainer)
    trainer.train_step(0, b)

    model = reference.model
    generator, discriminator, label_encoder = model.generator, model.discriminator, model.label_encoder
    rate = reference.recipe.optimizers.discriminator.learning_rate
    settings = reference.recipe.losses["wgan-gp"].config
    gan_weight, classification_weight, cycle_weight = (
        reference.losses[name].weight(0) for name in ("wgan-gp", "domain-classification", "cycle-reconstruction")
    )
    adam = torch.optim.Adam(discriminator.parameters(), lr=rate, betas=(0.5, 0.999))
    fake = generator(b.real, b.source, b.target).detach()
    real_output, fake_output = discriminator(b.real, b.source), discriminator(fake, b.target)
    mix = uniform(b.seeds, "wgan-gp/mix", (1, 1, 1))
    interpolated = (mix * b.real + (1 - mix) * fake).requires_grad_()
    score = discriminator(interpolated, torch.where(mix.flatten(1) > 0.5, b.source, b.target)).score
    scalar = score.sum() if settings.reduction == "sum" else score.flatten(1).mean(1).sum()
    (input_gradient,) = torch.autograd.grad(scalar, interpolated, create_graph=True)
    penalty = ((input_gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = fake_output.score.mean() - real_output.score.mean() + settings.gradient_penalty * penalty
    classification = label_encoder.loss(real_output.logits, b.source).mean()
    (gan_weight * loss + classification_weight * classification).backward()
    for actual, expected in zip(
        gradients(trainer, "discriminator"), gradients(reference, "discriminator"), strict=True
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    adam.step()

    generator.zero_grad()
    fake = generator(b.real, b.source, b.target)
    output = discriminator(fake, b.target)
    reconstruction = generator(fake, b.target, b.source)
    classification = label_encoder.loss(output.logits, b.target).mean()
    loss = -gan_weight * output.score.mean() + classification_weight * classification
    (loss + cycle_weight * (b.real - reconstruction).abs().mean()).backward()
    for actual, expected in zip(gradients(trainer, "generator"), gradients(reference, "generator"), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


def test_the_generator_learns_from_the_discriminator_alone() -> None:
    """Without the cycle loss, its only gradient comes through the fake images of the discriminator's update."""
    trainer = build_trainer("train.critic_steps=1", "losses.cycle-reconstruction.weight=0")
    trainer.train_step(0, build_batch(trainer))
    assert all(gradient.abs().sum() > 0 for gradient in gradients(trainer, "generator")[-1:])


def test_the_generator_is_updated_every_critic_steps() -> None:
    trainer = build_trainer("train.critic_steps=3")
    before = [param.clone() for param in trainer.model.generator.parameters()]
    is_changed = []
    for step in range(4):
        trainer.train_step(step, build_batch(trainer))
        is_changed.append(not all_equal(before, [*trainer.model.generator.parameters()]))
    assert is_changed == [False, False, True, True]


def non_finite(sound: Batch) -> Batch:
    return Batch(sound.real * float("nan"), sound.source, sound.target, sound.seeds)


def test_stop_makes_no_update_after_a_non_finite_value() -> None:
    trainer = build_trainer("train.critic_steps=1", "train.on_nonfinite=stop")
    sound = build_batch(trainer)
    trainer.train_step(0, sound)
    trainer.statistics.check(1)
    before = parameters(trainer)
    trainer.train_step(1, non_finite(sound))
    trainer.train_step(2, sound)
    assert all_equal(before, parameters(trainer))
    with pytest.raises(NonFiniteError, match=r"discriminator/wgan-gp\.distance"):
        trainer.statistics.check(3)


def test_skip_only_skips_updates_with_non_finite_values() -> None:
    """Weights, optimizers and averages are those of a run without that batch; the log counts skipped updates."""
    lines: list[str] = []
    trainer, reference = build_trainer("train.critic_steps=1", lines=lines), build_trainer("train.critic_steps=1")
    sound = build_batch(trainer)
    for step, batch in enumerate([sound, non_finite(sound), sound]):
        trainer.train_step(step, batch)
        trainer.statistics.check(step + 1)
    for step in (0, 2):
        reference.train_step(step, sound)
    assert all_equal(parameters(trainer), parameters(reference))
    means, expected = trainer.statistics.means(), reference.statistics.means()
    assert {name: value for name, value in means.items() if not name.endswith("/skipped")} == pytest.approx(expected)
    assert means["discriminator/skipped"] == means["generator/skipped"] == 1
    assert any("wgan-gp.distance" in line for line in lines)
    trainer.train_step(3, sound)
    assert not [name for name in trainer.statistics.means() if "skipped" in name]


def test_skip_fails_after_many_skipped_updates_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_statistics, "MAX_SKIPPED", 3)
    trainer = build_trainer("train.critic_steps=1")
    sound = build_batch(trainer)
    for step, batch in enumerate([non_finite(sound), non_finite(sound), sound, non_finite(sound), non_finite(sound)]):
        trainer.train_step(step, batch)
    trainer.statistics.check(5)
    trainer.train_step(5, non_finite(sound))
    with pytest.raises(NonFiniteError, match=r"discriminator/wgan-gp\.distance"):
        trainer.statistics.check(6)


def test_the_moving_average_of_the_generator() -> None:
    trainer = build_trainer("train.critic_steps=1", "train.ema=0.75")
    assert trainer.average is not None
    history = []
    for step in range(3):
        trainer.train_step(step, build_batch(trainer))
        history.append([param.detach().clone() for param in trainer.model.generator.parameters()])
    for average, *values in zip(trainer.average.parameters(), *history, strict=True):
        weights = [0.75**2, 0.75, 1.0]  # Of the values after each update; the initial weights have none.
        expected = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
        torch.testing.assert_close(average, expected)


def test_the_generator_to_ship_is_the_moving_average() -> None:
    trainer = build_trainer("train.ema=0.9")
    assert trainer.average is not None
    assert trainer.generator_to_ship() is trainer.average
    assert trainer.average is not trainer.model.generator


def test_the_learning_rate_decays_to_zero() -> None:
    settings = build_trainer("optimizers.generator.decay_from=0.5").recipe.optimizers.generator
    rates = [settings.rate(step, 100) / settings.learning_rate for step in (0, 50, 75, 99, 100)]
    assert rates == pytest.approx([1, 1, 0.5, 0.02, 0])


def test_updates_use_the_learning_rate_of_their_step() -> None:
    trainer = build_trainer("train.critic_steps=1", "train.steps=10", "optimizers.discriminator.decay_from=0")
    trainer.train_step(4, build_batch(trainer))
    settings = trainer.recipe.optimizers
    assert {phase.network for phase in trainer.phases} == {"generator", "discriminator"}
    for phase in trainer.phases:
        assert phase.optimizer.param_groups[0]["lr"] == getattr(settings, phase.network).rate(4, 10)
    assert settings.discriminator.rate(4, 10) < settings.discriminator.learning_rate


class RecordingDiscriminator(Discriminator):
    """Records its inputs, and draws a random number, as networks with dropout do."""

    name = "recording"

    def __init__(self, config, *, label_encoder, image_size) -> None:
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.weight = nn.Parameter(torch.ones(1))
        self.inputs: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self.draws: list[float] = []

    def forward(self, image, label, source_image=None) -> DiscriminatorOutput:
        self.inputs.append((image.detach().clone(), label, source_image))
        self.draws.append(float(torch.rand(())))
        score = self.weight * image.flatten(1).mean(1)
        return DiscriminatorOutput(score, score[:, None].expand(-1, self.label_encoder.num_logits))


def with_recording(trainer: Trainer) -> tuple[Trainer, RecordingDiscriminator]:
    """Returns the same trainer with another discriminator."""
    discriminator = RecordingDiscriminator(None, label_encoder=trainer.model.label_encoder, image_size=16)
    model = Model(trainer.model.label_encoder, trainer.model.generator, discriminator)
    return Trainer(trainer.recipe, model, trainer.losses, trainer.device), discriminator


def test_inputs_of_the_discriminator() -> None:
    trainer, discriminator = with_recording(build_trainer("train.critic_steps=1"))
    b = build_batch(trainer)
    trainer.train_step(0, b)
    real, fake, interpolated, generator_update = discriminator.inputs
    assert torch.equal(real[0], b.real) and torch.equal(real[1], b.source) and real[2] is None
    assert torch.equal(fake[1], b.target) and fake[2] is not None and torch.equal(fake[2], b.real)
    is_nearer_to_real = uniform(b.seeds, "wgan-gp/mix", (1,)) > 0.5
    assert torch.equal(interpolated[1], torch.where(is_nearer_to_real, b.source, b.target))
    assert interpolated[2] is not None and torch.equal(interpolated[2], b.real)
    assert torch.equal(generator_update[0], fake[0]) and torch.equal(generator_update[1], b.target)


def test_random_numbers_of_networks_are_a_function_of_seed_and_step() -> None:
    draws = []
    for steps in ([0, 1], [1]):
        trainer, discriminator = with_recording(build_trainer("train.critic_steps=1"))
        for step in steps:
            trainer.train_step(step, build_batch(trainer))
        draws.append(discriminator.draws)
    assert draws[0][-4:] == draws[1]
    assert draws[0][:4] != draws[1]


def test_a_network_without_a_term_is_not_updated() -> None:
    full = build_trainer("train.critic_steps=1", "losses.wgan-gp.weight={start=0, end=1, steps=2}")
    trainer = Trainer(full.recipe, full.model, {"wgan-gp": full.losses["wgan-gp"]}, full.device)
    discriminator = trainer.discriminator
    before = [param.clone() for param in discriminator.parameters()]
    trainer.train_step(0, build_batch(trainer))
    assert all_equal(before, [*discriminator.parameters()])
    trainer.train_step(1, build_batch(trainer))
    assert not all_equal(before, [*discriminator.parameters()])


def test_the_weight_of_a_loss_follows_its_ramp() -> None:
    loss = build_trainer("losses.wgan-gp.weight={start=1, end=3, steps=4}").losses["wgan-gp"]
    assert [loss.weight(step) for step in (0, 1, 4, 9)] == [1, 1.5, 3, 3]
