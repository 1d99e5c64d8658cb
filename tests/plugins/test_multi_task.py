"""The multi-task discriminator: which score belongs to which attribute value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mdtranslate_stargan.multi_task import MultiTaskDiscriminator
from stargan_parts import ONE, label_encoder


@pytest.fixture
def discriminator() -> MultiTaskDiscriminator:
    torch.manual_seed(0)
    config: Any = MultiTaskDiscriminator.Config
    return MultiTaskDiscriminator(config(channels=4, layers=2), label_encoder=label_encoder(ONE), image_size=16)


def test_a_changed_attribute_changes_only_its_own_scores(discriminator: MultiTaskDiscriminator) -> None:
    encoder = discriminator.label_encoder
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    before = encoder.encode({"hair": "Blond_Hair", "Male": False, "mood": "sad"}, 0)[None]
    after = encoder.encode({"hair": "Blond_Hair", "Male": True, "mood": "sad"}, 0)[None]
    scores = [discriminator(image, label).score[0] for label in (before, after)]
    changed = [name for name, one, other in zip(encoder.channel_names, *scores, strict=True) if one != other]
    assert changed == ["Male"]


def test_each_value_has_a_score_of_its_own(discriminator: MultiTaskDiscriminator) -> None:
    """Training on images with a value leaves the outputs for images without it as they are."""
    encoder = discriminator.label_encoder
    label = encoder.encode({"hair": "Blond_Hair", "Male": True, "mood": "sad"}, 0)[None]
    discriminator(torch.rand(1, 3, 16, 16), label).score.sum().backward()
    holds = discriminator.holds.bias.grad.tolist()  # type: ignore[union-attr]
    lacks = discriminator.lacks.bias.grad.tolist()  # type: ignore[union-attr]
    condition = encoder.condition(label)[0].tolist()
    assert holds == condition and lacks == [1 - value for value in condition]


def test_image_sizes_that_cannot_be_halved_are_refused() -> None:
    config: Any = MultiTaskDiscriminator.Config
    with pytest.raises(ValueError, match="multiple of 8"):
        MultiTaskDiscriminator(config(layers=3), label_encoder=label_encoder(ONE), image_size=20)
