"""Training steps with losses that have parameters, changing terms or errors, and with invalid networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_engine import all_equal, build_batch, build_trainer, gradients
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.translation import Batch, Translation
from mdtranslate.errors import NonFiniteError, PluginError
from mdtranslate.training.checkpointing import should_save
from mdtranslate.training.trainer import Trainer


class Learned(Loss):
    """A term with a parameter; `mode` says what is wrong with it."""

    name = "learned"

    def __init__(self, mode: str = "") -> None:
        super().__init__(Loss.Config(), label_encoder=None, image_size=16)  # type: ignore[arg-type]
        self.scale, self.mode = nn.Parameter(torch.ones(())), mode

    def generator(self, t: Translation) -> Any:
        if self.mode == "number":
            return 0.5
        if self.mode == "gradient":
            return (t.fake.flatten(1) * 0).abs().sum(1).sqrt()  # The derivative of sqrt at 0 is infinite.
        term: Tensor = self.scale * t.fake.flatten(1).mean(1)
        return term.mean() if self.mode == "shape" else term


def trainer_with(loss: Loss, *overrides: str) -> Trainer:
    base = build_trainer("train.critic_steps=1", *overrides)
    return Trainer(base.recipe, base.model, {**base.losses, "learned": loss}, base.device)


def test_parameters_of_a_loss_are_trained_with_the_generator() -> None:
    loss = Learned()
    trainer = trainer_with(loss)
    trainer.train_step(0, build_batch(trainer))
    assert loss.scale.item() != 1


def test_non_finite_gradients_of_finite_losses_are_noticed() -> None:
    trainer = trainer_with(Learned("gradient"), "train.on_nonfinite=stop")
    before = [param.clone() for param in trainer.model.generator.parameters()]
    trainer.train_step(0, build_batch(trainer))
    with pytest.raises(NonFiniteError, match=r"gradients of generator/.*optimizers\.generator\.learning_rate"):
        trainer.statistics.check(1)
    assert all_equal(before, [*trainer.model.generator.parameters()])


def test_a_run_whose_generator_was_never_updated_fails() -> None:
    trainer, updated = trainer_with(Learned("gradient"), "train.steps=2"), trainer_with(Learned(), "train.steps=2")
    for step in range(2):
        for candidate in (trainer, updated):
            candidate.train_step(step, build_batch(candidate))
    assert should_save(updated, 2, print)
    with pytest.raises(NonFiniteError, match="step 2"):
        should_save(trainer, 2, print)


class ByColour(Loss):
    """One term per colour of `colours` among the targets: the mean of images of that target, and zero for others."""

    name = "by-colour"
    colours: tuple[str, ...] = ("red", "green")

    def generator(self, t: Translation) -> dict[str, Tensor] | None:
        means, targets = t.fake.flatten(1).mean(1), [self.label_encoder.decode(label)["colour"] for label in t.target]
        terms = {
            colour: torch.where(torch.tensor([target == colour for target in targets]), means, 0.0)
            for colour in self.colours
            if colour in targets
        }
        return terms or None


def by_colour(*overrides: str) -> tuple[ByColour, Trainer]:
    label_encoder = build_trainer().model.label_encoder
    loss = ByColour(ByColour.Config(), label_encoder=label_encoder, image_size=16)
    return loss, trainer_with(loss, *overrides)


@pytest.mark.parametrize("colours", [("red", "green"), ("red",)], ids=["different terms", "none in one"])
def test_micro_batches_may_have_different_terms(colours: tuple[str, ...]) -> None:
    whole, split = by_colour(), by_colour("train.gradient_accumulation=2", "data.batch_size=4")
    for loss, trainer in (whole, split):
        loss.colours = colours
        b = build_batch(trainer)
        targets = [trainer.model.label_encoder.decode(label)["colour"] for label in b.target]
        order = torch.tensor([target == "red" for target in targets]).argsort()
        trainer.train_step(0, Batch(b.real[order], b.source[order], b.target[order], b.seeds[order]))
    for expected, actual in zip(gradients(whole[1], "generator"), gradients(split[1], "generator"), strict=True):
        torch.testing.assert_close(expected, actual, rtol=1e-4, atol=1e-6)
    assert whole[1].statistics.means() == pytest.approx(split[1].statistics.means(), rel=1e-4, abs=1e-6)


def test_term_names_are_fixed_by_the_first_batch_that_has_any() -> None:
    loss, trainer = by_colour()
    for step, colours in enumerate([(), ("red", "green"), (), ("green",)]):
        loss.colours = colours
        trainer.train_step(step, build_batch(trainer))
    assert {"generator/learned.green", "generator/learned.red"} <= trainer.statistics.means().keys()
    loss, trainer = by_colour()
    loss.colours = ("red",)
    trainer.train_step(0, build_batch(trainer))
    loss.colours = ("green",)
    with pytest.raises(PluginError, match=r"loss 'learned' .*generator/learned\.green"):
        trainer.train_step(1, build_batch(trainer))


@pytest.mark.parametrize(("mode", "actual"), [("shape", r"shape \[\]"), ("number", "float")])
def test_terms_of_another_shape_are_refused_by_name(mode: str, actual: str) -> None:
    trainer = trainer_with(Learned(mode))
    with pytest.raises(PluginError, match=rf"loss 'learned' returned .*{actual} .*generator.*\[4\]"):
        trainer.train_step(0, build_batch(trainer))


@pytest.mark.parametrize(
    ("network", "output", "message"),
    [
        ("generator", lambda real: real[:, :1], r"'conditional-unet' .*\[4, 1, 16, 16\].*\[4, 3, 16, 16\]"),
        ("generator", lambda real: None, r"'conditional-unet' .*None.*\[4, 3, 16, 16\]"),
        ("discriminator", lambda real: real, r"'stargan-discriminator' .*Tensor.*DiscriminatorOutput"),
    ],
)
def test_invalid_outputs_of_networks_are_refused(
    network: str, output: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build_trainer()
    monkeypatch.setattr(type(getattr(trainer.model, network)), "forward", lambda self, real, *labels: output(real))
    with pytest.raises(PluginError, match=message):
        trainer.train_step(0, build_batch(trainer))


@pytest.mark.parametrize("compiled", [False, True])
def test_the_input_gradient_depends_on_the_label(compiled: bool) -> None:
    """For a conditional discriminator: R1 on real images needs that of the source label."""
    trainer = build_trainer("discriminator.projection=true")
    b = build_batch(trainer)

    def input_gradient(real: Tensor, label: Tensor) -> Tensor:
        t = Translation(b, trainer.model.generator, trainer.discriminator, trainer.model.label_encoder)
        return t.input_gradient(real, label, reduction="sum")

    compute = torch.compile(input_gradient, fullgraph=True) if compiled else input_gradient
    for label in (b.source, b.target):
        image = b.real.clone().requires_grad_()
        (expected,) = torch.autograd.grad(trainer.discriminator(image, label).score.sum(), image)
        torch.testing.assert_close(compute(b.real, label), expected)
    assert not torch.allclose(input_gradient(b.real, b.source), input_gradient(b.real, b.target))
