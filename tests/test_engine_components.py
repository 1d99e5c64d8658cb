"""One step of training with components that go wrong, or that learn themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_engine import batch, trainer
from torch import Tensor, nn

from mdtranslate.engine import Trainer
from mdtranslate.errors import NonFiniteError, PluginError
from mdtranslate.interfaces import Loss
from mdtranslate.translation import Translation


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


def learning(loss: Learned) -> Trainer:
    made = trainer("train.critic_steps=1")
    return Trainer(made.recipe, made.model, {**made.losses, "learned": loss}, made.device)


def test_parameters_of_a_loss_train_with_the_generator() -> None:
    loss = Learned()
    made = learning(loss)
    made.step(0, batch(made))
    assert loss.scale.item() != 1


def test_a_gradient_that_is_not_finite_is_noticed_where_the_loss_is_sound() -> None:
    made = learning(Learned("gradient"))
    before = [each.clone() for each in made.model.generator.parameters()]
    made.step(0, batch(made))
    with pytest.raises(
        NonFiniteError,
        match=r"^the gradients of generator/.* became not finite by step .*A lower learning rate.*no slope",
    ):
        made.check_finite(1)
    assert all(torch.equal(a, b) for a, b in zip(before, made.model.generator.parameters(), strict=True))


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
