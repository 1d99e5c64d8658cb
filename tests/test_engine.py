"""One step of training, held against the same mathematics written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mdtranslate.api import Attribute, Discriminator, Verdict
from mdtranslate.api.translation import Batch, Translation
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import resolve
from mdtranslate.config.schema import Recipe
from mdtranslate.errors import NonFiniteError, RecipeError
from mdtranslate.training import loss_statistics
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils.random_streams import uniform

SMALL = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
ATTRIBUTES = {"toys": (Attribute("colour", ("red", "green")), Attribute("Round"))}


def trainer(*overrides: str, said: list[str] | None = None) -> Trainer:
    recipe: Recipe = resolve("stargan", ["data.image_size=16", *SMALL, *overrides]).recipe
    model = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=ATTRIBUTES, image_size=16)
    losses = {name: each.build(encoder=model.encoder, image_size=16) for name, each in recipe.losses.items()}
    say = [].append if said is None else said.append
    return Trainer(recipe, model, losses, torch.device("cpu"), say=say)


def batch(made: Trainer) -> Batch:
    draw = torch.Generator().manual_seed(0)
    encode = made.model.encoder.encode
    rows = [encode({"colour": colour, "Round": flag}, 0) for colour in ("red", "green") for flag in (True, False)]
    source = torch.stack(rows)
    real = torch.rand(4, 3, 16, 16, generator=draw) * 2 - 1
    return Batch(real, source, source.flip(0), torch.randint(2**62, (4,), generator=draw))


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
    realism = plain.losses["wgan-gp"].weight(0)
    cycle = plain.losses["cycle-reconstruction"].weight(0)
    adam = torch.optim.Adam(discriminator.parameters(), lr=rate, betas=(0.5, 0.999))
    fake = generator(b.real, b.source, b.target).detach()
    real_says, fake_says = discriminator(b.real, b.source), discriminator(fake, b.target)
    mix = uniform(b.seeds, "wgan-gp/mix", (1, 1, 1))
    between = (mix * b.real + (1 - mix) * fake).requires_grad_()
    score = discriminator(between, torch.where(mix.flatten(1) > 0.5, b.source, b.target)).score
    scalar = score.sum() if settings.penalised == "sum" else score.flatten(1).mean(1).sum()
    (slope,) = torch.autograd.grad(scalar, between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = fake_says.score.mean() - real_says.score.mean() + settings.gradient_penalty * penalty
    (realism * loss + classify * encoder.loss(real_says.logits, b.source).mean()).backward()
    for mine, theirs in zip(gradients(ours, "discriminator"), gradients(plain, "discriminator"), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    adam.step()

    generator.zero_grad()
    fake = generator(b.real, b.source, b.target)
    says = discriminator(fake, b.target)
    back = generator(fake, b.target, b.source)
    loss = -realism * says.score.mean() + classify * encoder.loss(says.logits, b.target).mean()
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


def weights(made: Trainer) -> list[Tensor]:
    return [each.detach().clone() for network in made.networks.values() for each in network.parameters()]


def broken(sound: Batch) -> Batch:
    return Batch(sound.real * float("nan"), sound.source, sound.target, sound.seeds)


def test_stop_a_value_that_is_not_finite_changes_no_weight_from_then_on() -> None:
    made = trainer("train.critic_steps=1", "train.on_nonfinite=stop")
    sound = batch(made)
    made.step(0, sound)
    made.statistics.check(1)
    before = weights(made)
    made.step(1, broken(sound))
    made.step(2, sound)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(made), strict=True))
    with pytest.raises(NonFiniteError, match=r"discriminator/wgan-gp\.distance"):
        made.statistics.check(3)


def test_skip_only_updates_whose_value_is_not_finite_are_left_out() -> None:
    """Weights, optimizers and the average are those of a run without that batch; the log says how many were."""
    said: list[str] = []
    made, without = trainer("train.critic_steps=1", said=said), trainer("train.critic_steps=1")
    sound = batch(made)
    for step, given in enumerate([sound, broken(sound), sound]):
        made.step(step, given)
        made.statistics.check(step + 1)
    for step in (0, 2):
        without.step(step, sound)
    assert all(torch.equal(a, b) for a, b in zip(weights(made), weights(without), strict=True))
    means, expected = made.statistics.means(), without.statistics.means()
    assert {name: value for name, value in means.items() if not name.endswith("/skipped")} == pytest.approx(expected)
    assert means["discriminator/skipped"] == means["generator/skipped"] == 1
    assert any("wgan-gp.distance" in line for line in said)
    made.step(3, sound)
    assert not [name for name in made.statistics.means() if "skipped" in name]


def test_skip_gives_up_after_many_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_statistics, "IN_A_ROW", 3)
    made = trainer("train.critic_steps=1")
    sound = batch(made)
    for step, given in enumerate([broken(sound), broken(sound), sound, broken(sound), broken(sound)]):
        made.step(step, given)
    made.statistics.check(5)
    made.step(5, broken(sound))
    with pytest.raises(NonFiniteError, match=r"discriminator/wgan-gp\.distance"):
        made.statistics.check(6)


def test_the_average_follows_the_generator() -> None:
    made = trainer("train.critic_steps=1", "train.ema=0.75")
    assert made.average is not None
    lived = []
    for step in range(3):
        made.step(step, batch(made))
        lived.append([each.detach().clone() for each in made.model.generator.parameters()])
    for now, *live in zip(made.average.parameters(), *lived, strict=True):
        weights = [0.75**2, 0.75, 1.0]  # Of what was after each update; the first random weights have none.
        expected = sum(weight * each for weight, each in zip(weights, live, strict=True)) / sum(weights)
        torch.testing.assert_close(now, expected)


def test_the_rate_reaches_zero() -> None:
    settings = trainer("optimizers.generator.decay_from=0.5").recipe.optimizers.generator
    rates = [settings.rate(step, 100) / settings.learning_rate for step in (0, 50, 75, 99, 100)]
    assert rates == pytest.approx([1, 1, 0.5, 0.02, 0])


def test_each_update_is_made_at_the_rate_of_its_step() -> None:
    made = trainer("train.critic_steps=1", "train.steps=10", "optimizers.discriminator.decay_from=0")
    made.step(4, batch(made))
    settings = made.recipe.optimizers
    for role in ("generator", "discriminator"):
        assert made.optimizers[role].param_groups[0]["lr"] == getattr(settings, role).rate(4, 10)
    assert settings.discriminator.rate(4, 10) < settings.discriminator.learning_rate


class Spy(Discriminator):
    """Notes what it is asked, and draws, as networks with dropout do."""

    name = "spy"

    def __init__(self, config, *, encoder, image_size) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.weight = nn.Parameter(torch.ones(1))
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self.drawn: list[float] = []

    def forward(self, image, label, made_from=None) -> Verdict:
        self.asked.append((image.detach().clone(), label, made_from))
        self.drawn.append(float(torch.rand(())))
        score = self.weight * image.flatten(1).mean(1)
        return Verdict(score, score[:, None].expand(-1, self.encoder.classes))


def spied(made: Trainer) -> Spy:
    spy = Spy(None, encoder=made.model.encoder, image_size=16)
    model = Model(made.model.encoder, made.model.generator, spy)
    made.__init__(made.recipe, model, made.losses, made.device)  # type: ignore[misc]
    return spy


def test_the_discriminator_is_asked_of_pictures_with_their_labels_and_origins() -> None:
    made = trainer("train.critic_steps=1")
    spy, b = spied(made), batch(made)
    made.step(0, b)
    (real, own, none), (fake, wanted, origin), (_, between, also), (again, still, _) = spy.asked
    assert torch.equal(real, b.real) and torch.equal(own, b.source) and none is None
    assert torch.equal(wanted, b.target) and origin is not None and torch.equal(origin, b.real)
    real_is_nearer = uniform(b.seeds, "wgan-gp/mix", (1,)) > 0.5
    assert torch.equal(between, torch.where(real_is_nearer, b.source, b.target)), "labels of the nearer end"
    assert also is not None and torch.equal(also, b.real)
    assert torch.equal(again, fake) and torch.equal(still, b.target)


def test_what_networks_draw_is_a_function_of_seed_and_step() -> None:
    draws = []
    for steps in ([0, 1], [1]):
        made = trainer("train.critic_steps=1")
        spy = spied(made)
        for step in steps:
            made.step(step, batch(made))
        draws.append(spy.drawn)
    assert draws[0][-4:] == draws[1]
    assert draws[0][:4] != draws[1]


def test_lower_precision_is_of_the_passes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, lower = trainer("train.critic_steps=1"), trainer("train.critic_steps=1", "train.precision=bf16")
    asked, slope = [], lower.discriminator.slope

    def watched(image: Tensor, *more: object, **others: object) -> Tensor:
        asked.append((image.dtype, torch.is_autocast_enabled("cpu")))
        found = slope(image, *more, **others)  # type: ignore[arg-type]
        asked.append((found.dtype, torch.is_autocast_enabled("cpu")))
        return found

    monkeypatch.setattr(lower.discriminator, "slope", watched)
    b = batch(whole)
    for made in (whole, lower):
        made.step(0, b)
    assert asked == [(torch.float32, False)] * 2, "penalties are of float32"
    for role in ("discriminator", "generator"):
        one, other = (torch.cat([each.flatten() for each in gradients(made, role)]) for made in (whole, lower))
        assert not torch.equal(one, other), "its passes were in bf16"
        assert torch.cosine_similarity(one, other, dim=0) > 0.99
    t = Translation(b, lower.model.generator, lower.discriminator, lower.model.encoder, lower=torch.bfloat16)
    assert t.fake.dtype == t.verdict_on_fake.score.dtype == t.reconstruction.dtype == torch.float32
    assert all(each.dtype == torch.float32 for each in lower.model.generator.parameters())
    assert whole.precision == trainer("train.precision=fp32").precision == "fp32", "of processors"
    with pytest.raises(RecipeError, match=r"train\.precision=tf32: is of NVIDIA's GPUs, and this is cpu"):
        trainer("train.precision=tf32")


@pytest.mark.parametrize("thrift", ["train.accumulate=2", "train.accumulate=4", "train.checkpointing=true"])
def test_less_memory_for_the_same_gradients(thrift: str) -> None:
    whole, other = trainer("train.critic_steps=1"), trainer("train.critic_steps=1", thrift)
    b = batch(whole)
    for made in (whole, other):
        made.step(0, b)
    for role in ("discriminator", "generator"):
        for one, two in zip(gradients(whole, role), gradients(other, role), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    one, two = whole.statistics.means(), other.statistics.means()
    assert one.keys() == two.keys() and all(two[name] == pytest.approx(one[name], rel=1e-4) for name in one)


def test_parts_are_computed_one_after_the_other() -> None:
    made = trainer("train.critic_steps=1", "train.accumulate=4")
    sizes = []
    made.model.generator.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    made.step(0, batch(made))
    assert sizes == [1] * 12, "for the discriminator, anew for the generator, and back"


def test_a_network_without_a_term_is_left_alone_for_that_step() -> None:
    made = trainer("train.critic_steps=1", "losses.wgan-gp.weight={start=0, end=1, steps=2}")
    made = Trainer(made.recipe, made.model, {"wgan-gp": made.losses["wgan-gp"]}, made.device)
    before = [each.clone() for each in made.model.discriminator.parameters()]
    made.step(0, batch(made))
    assert all(torch.equal(a, b) for a, b in zip(before, made.model.discriminator.parameters(), strict=True))
    made.step(1, batch(made))
    assert any(not torch.equal(a, b) for a, b in zip(before, made.model.discriminator.parameters(), strict=True))


def test_a_weight_moves_along_its_ramp() -> None:
    loss = trainer("losses.wgan-gp.weight={start=1, end=3, steps=4}").losses["wgan-gp"]
    assert [loss.weight(step) for step in (0, 1, 4, 9)] == [1, 1.5, 3, 3]


def test_what_is_shown_and_shipped_is_the_average() -> None:
    made = trainer("train.ema=0.9")
    assert made.average is not None
    assert made.translating() is made.average
    assert made.average is not made.model.generator
