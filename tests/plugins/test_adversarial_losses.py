"""Logistic and hinge losses and R1 against formulas written out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mdtranslate_basics.adversarial_losses import R1, Hinge, Logistic
from stargan_parts import ONE, batch, label_encoder, small
from torch import Tensor

from mdtranslate import DiscriminatorOutput, Loss, Translation


@pytest.fixture
def t() -> Translation:
    torch.manual_seed(0)
    mask, generator, discriminator = small(projection=True)
    return Translation(batch(mask, 6), generator, discriminator, mask)


def build(kind: type[Loss], **settings: Any) -> Any:
    return kind(kind.Config(**settings), label_encoder=label_encoder(ONE), image_size=16)


def test_logistic_and_hinge(t: Translation) -> None:
    real, fake = torch.tensor([[0.5, -2.0]] * 6), torch.tensor([[-0.5, 3.0]] * 6)
    t.real_output, t.fake_output = (DiscriminatorOutput(score[:, None, :, None], None) for score in (real, fake))
    terms = build(Logistic).discriminator(t)
    torch.testing.assert_close(terms["real"], -real.sigmoid().log().mean(1))
    torch.testing.assert_close(terms["fake"], -(1 - fake.sigmoid()).log().mean(1))
    torch.testing.assert_close(build(Logistic).generator(t), -fake.sigmoid().log().mean(1))
    terms = build(Hinge).discriminator(t)
    assert terms["real"].tolist() == [(0.5 + 3) / 2] * 6 and terms["fake"].tolist() == [(0.5 + 4) / 2] * 6
    assert build(Hinge).generator(t).tolist() == [-1.25] * 6


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_r1_is_half_the_squared_input_gradient_at_real_images(t: Translation, reduction: str) -> None:
    image = t.real.clone().requires_grad_()
    score = t.discriminate(image, t.source).score.flatten(1)
    total: Tensor = (score.sum(1) if reduction == "sum" else score.mean(1)).sum()
    (gradient,) = torch.autograd.grad(total, image)
    term = build(R1, reduction=reduction).discriminator(t)
    torch.testing.assert_close(term, gradient.flatten(1).square().sum(1) / 2)
    term.sum().backward()
    gradients = [param.grad for param in t._discriminator.main.parameters()]  # type: ignore[union-attr]
    assert any(grad is not None and grad.any() for grad in gradients), "the penalty trains the discriminator"
    assert build(R1).generator(t) is None
