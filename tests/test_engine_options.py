"""Options of training that change speed or memory, but not the gradients: precision, micro-batches, checkpointing."""

from __future__ import annotations

import pytest
import torch
from test_engine import build_batch, build_trainer, gradients
from torch import Tensor

from mdtranslate.api.translation import Translation
from mdtranslate.errors import RecipeError


def test_bf16_is_used_in_forward_passes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    full, half = build_trainer("train.critic_steps=1"), build_trainer("train.critic_steps=1", "train.precision=bf16")
    calls, input_gradient = [], half.discriminator.input_gradient

    def recorded(image: Tensor, *arguments: object, **options: object) -> Tensor:
        calls.append((image.dtype, torch.is_autocast_enabled("cpu")))
        gradient = input_gradient(image, *arguments, **options)  # type: ignore[arg-type]
        calls.append((gradient.dtype, torch.is_autocast_enabled("cpu")))
        return gradient

    monkeypatch.setattr(half.discriminator, "input_gradient", recorded)
    b = build_batch(full)
    for trainer in (full, half):
        trainer.train_step(0, b)
    assert calls == [(torch.float32, False)] * 2, "penalties are computed in float32"
    for network in ("discriminator", "generator"):
        one, other = (torch.cat([grad.flatten() for grad in gradients(t, network)]) for t in (full, half))
        assert not torch.equal(one, other), "forward passes were in bf16"
        assert torch.cosine_similarity(one, other, dim=0) > 0.99
    networks = half.model.generator, half.discriminator, half.model.label_encoder
    t = Translation(b, *networks, autocast_dtype=torch.bfloat16)
    assert t.fake.dtype == t.fake_output.score.dtype == t.reconstruction.dtype == torch.float32
    assert all(param.dtype == torch.float32 for param in half.model.generator.parameters())
    assert full.precision == build_trainer("train.precision=fp32").precision == "fp32", "the default on CPUs"
    with pytest.raises(RecipeError, match=r"train\.precision=tf32"):
        build_trainer("train.precision=tf32")


@pytest.mark.parametrize(
    "option", ["train.gradient_accumulation=2", "train.gradient_accumulation=4", "train.activation_checkpointing=true"]
)
def test_options_that_save_memory_give_the_same_gradients(option: str) -> None:
    plain, saving = build_trainer("train.critic_steps=1"), build_trainer("train.critic_steps=1", option)
    b = build_batch(plain)
    for trainer in (plain, saving):
        trainer.train_step(0, b)
    for network in ("discriminator", "generator"):
        for expected, actual in zip(gradients(plain, network), gradients(saving, network), strict=True):
            torch.testing.assert_close(expected, actual, rtol=1e-4, atol=1e-6)
    expected_means, means = plain.statistics.means(), saving.statistics.means()
    assert means == pytest.approx(expected_means, rel=1e-4)


def test_micro_batches_are_computed_one_at_a_time() -> None:
    trainer = build_trainer("train.critic_steps=1", "train.gradient_accumulation=4")
    sizes = []
    trainer.model.generator.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    trainer.train_step(0, build_batch(trainer))
    assert sizes == [1] * 12, "once for each update, and once for the reconstruction"


def test_a_loss_with_an_interval_counts_in_every_nth_update_with_n_times_its_weight() -> None:
    """The updates of each network are counted, so that the interval and `critic_steps` never miss each other."""
    trainer = build_trainer(
        "train.critic_steps=3", "losses.cycle-reconstruction.interval=2", "losses.cycle-reconstruction.weight=10"
    )
    plain = build_trainer("train.critic_steps=3", "losses.cycle-reconstruction.weight=20")
    without = build_trainer("train.critic_steps=3", "losses.cycle-reconstruction.weight=0")
    b = build_batch(trainer)
    for step in range(6):  # Generator updates at steps 2 and 5: the first with the loss, the second without.
        for each in (trainer, plain, without):
            each.train_step(step, b)
            each.networks["generator"].load_state_dict(build_trainer().networks["generator"].state_dict())
        if step in (2, 5):
            names = {name for name in trainer.statistics.means() if name.startswith("generator/cycle")}
            expected = plain if step == 2 else without
            assert bool(names) == (step == 2)
            for actual, wanted in zip(gradients(trainer, "generator"), gradients(expected, "generator"), strict=True):
                torch.testing.assert_close(actual, wanted)
