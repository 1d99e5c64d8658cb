"""One step of training with components that go wrong, or that learn themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_engine import batch, gradients, trainer
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.translation import Batch, Translation
from mdtranslate.errors import NonFiniteError, PluginError
from mdtranslate.training.trainer import Trainer


class Learned(Loss):
    """A term with a parameter of its own, told by `mode` how to go wrong."""

    name = "learned"

    def __init__(self, mode: str = "") -> None:
        super().__init__(Loss.Config(), encoder=None, image_size=16)  # type: ignore[arg-type]
        self.scale, self.mode = nn.Parameter(torch.ones(())), mode

    def generator(self, t: Translation) -> Any:
        if self.mode == "number":
            return 0.5
        if self.mode == "gradient":
            return (t.fake.flatten(1) * 0).abs().sum(1).sqrt()  # 0, of which the slope is infinite, times 0.
        term: Tensor = self.scale * t.fake.flatten(1).mean(1)
        return term.mean() if self.mode == "shape" else term


def learning(loss: Loss, *overrides: str) -> Trainer:
    made = trainer("train.critic_steps=1", *overrides)
    return Trainer(made.recipe, made.model, {**made.losses, "learned": loss}, made.device)


def test_parameters_of_a_loss_train_with_the_generator() -> None:
    loss = Learned()
    made = learning(loss)
    made.step(0, batch(made))
    assert loss.scale.item() != 1


def test_a_gradient_that_is_not_finite_is_noticed_where_the_loss_is_sound() -> None:
    made = learning(Learned("gradient"), "train.on_nonfinite=stop")
    before = [each.clone() for each in made.model.generator.parameters()]
    made.step(0, batch(made))
    with pytest.raises(NonFiniteError, match=r"in the gradients of generator/.*optimizers\.generator\.learning_rate"):
        made.statistics.check(1)
    assert all(torch.equal(a, b) for a, b in zip(before, made.model.generator.parameters(), strict=True))


class ByColour(Loss):
    """A term for each of `colours` that is wanted in the batch: the mean of those images, and zero for the others."""

    name = "by-colour"
    colours: tuple[str, ...] = ("red", "green")

    def generator(self, t: Translation) -> dict[str, Tensor] | None:
        mean, wanted = t.fake.flatten(1).mean(1), [self.encoder.decode(label)["colour"] for label in t.target]
        terms = {
            colour: torch.where(torch.tensor([each == colour for each in wanted]), mean, 0.0)
            for colour in self.colours
            if colour in wanted
        }
        return terms or None


def by_colour(*overrides: str) -> tuple[ByColour, Trainer]:
    loss = ByColour(ByColour.Config(), encoder=trainer().model.encoder, image_size=16)
    return loss, learning(loss, *overrides)


@pytest.mark.parametrize("colours", [("red", "green"), ("red",)], ids=["another term in each part", "none in one"])
def test_terms_that_not_all_parts_of_a_batch_have(colours: tuple[str, ...]) -> None:
    whole, cut = by_colour(), by_colour("train.accumulate=2", "data.batch_size=4")
    for loss, made in (whole, cut):
        loss.colours = colours
        b = batch(made)
        order = torch.tensor([made.model.encoder.decode(label)["colour"] == "red" for label in b.target]).argsort()
        made.step(0, Batch(b.real[order], b.source[order], b.target[order], b.seeds[order]))
    for one, other in zip(gradients(whole[1], "generator"), gradients(cut[1], "generator"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert whole[1].statistics.means() == pytest.approx(cut[1].statistics.means(), rel=1e-4, abs=1e-6)


def test_the_names_of_terms_are_those_of_the_first_batch_that_has_any() -> None:
    loss, made = by_colour()
    for step, colours in enumerate([(), ("red", "green"), (), ("green",)]):
        loss.colours = colours
        made.step(step, batch(made))
    assert {"generator/learned.green", "generator/learned.red"} <= made.statistics.means().keys()
    loss, made = by_colour()
    loss.colours = ("red",)
    made.step(0, batch(made))
    loss.colours = ("green",)
    with pytest.raises(PluginError, match=r"loss 'learned' .*generator/learned\.green"):
        made.step(1, batch(made))


@pytest.mark.parametrize(("mode", "came"), [("shape", r"a term of shape \[\]"), ("number", r"0\.5")])
def test_a_term_that_is_no_value_per_picture_is_refused_by_name(mode: str, came: str) -> None:
    made = learning(Learned(mode))
    with pytest.raises(PluginError, match=f"loss 'learned' returned {came} for the generator; one value per"):
        made.step(0, batch(made))


@pytest.mark.parametrize(
    ("role", "made_of", "said"),
    [
        (
            "generator",
            lambda real: real[:, :1],
            r"generator 'conditional-unet' returned \[4, 1, 16, 16\]; .*\[4, 3, 16",
        ),
        ("generator", lambda real: None, "generator 'conditional-unet' returned None; pictures like its input"),
        ("discriminator", lambda real: real, r"discriminator 'stargan-discriminator' returned no Verdict\(score, log"),
    ],
)
def test_what_a_network_gives_is_looked_at(role: str, made_of: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer()
    monkeypatch.setattr(type(getattr(made.model, role)), "forward", lambda self, real, *rest: made_of(real))
    with pytest.raises(PluginError, match=said):
        made.step(0, batch(made))


@pytest.mark.parametrize("compiled", [False, True])
def test_the_input_gradient_is_that_of_the_label_that_is_asked_for(compiled: bool) -> None:
    """Of a conditional discriminator, whose score depends on it: R1 on real images is of the source label."""
    made = trainer("discriminator.projection=true")
    b = batch(made)

    def gradient(real: Tensor, label: Tensor) -> Tensor:
        t = Translation(b, made.model.generator, made.discriminator, made.model.encoder)
        return t.input_gradient(real, label, total=True)

    find = torch.compile(gradient, fullgraph=True) if compiled else gradient
    for label in (b.source, b.target):
        image = b.real.clone().requires_grad_()
        (expected,) = torch.autograd.grad(made.discriminator(image, label).score.sum(), image)
        torch.testing.assert_close(find(b.real, label), expected)
    assert not torch.allclose(gradient(b.real, b.source), gradient(b.real, b.target))
