"""Random streams by seed and name, and the random numbers that losses draw."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mdtranslate.api.translation import NOISE_SIZE, Translation
from mdtranslate.testing import sample_components as sample
from mdtranslate.training.objective import compute_objective
from mdtranslate.utils.random_streams import uniform

SEEDS = torch.arange(2_000)


def correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def test_numbers_are_uniform_and_independent_of_neighbours() -> None:
    drawn = uniform(SEEDS, "mix", (50,))
    assert drawn.shape == (2_000, 50) and drawn.dtype == torch.float32
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = torch.histc(drawn, 20, 0, 1)
    assert ((counts / 5_000 - 1).abs() < 0.07).all()  # Five standard deviations of a count of 5,000.
    for first, second in (
        (drawn[1:], drawn[:-1]),  # Neighbouring seeds.
        (drawn[:, 1:], drawn[:, :-1]),  # Neighbouring numbers.
        (drawn, uniform(SEEDS, "other", (50,))),  # Names.
        (drawn[1:, :-1], drawn[:-1, 1:]),
    ):
        assert abs(correlation(first, second)) < 0.016  # Five of 100,000 pairs.


def test_a_sample_has_the_same_numbers_in_any_batch_and_any_longer_stream() -> None:
    whole = uniform(SEEDS, "mix", (6,))
    assert torch.equal(uniform(SEEDS[3:5], "mix", (6,)), whole[3:5])
    assert torch.equal(uniform(SEEDS, "mix", (2, 2)).flatten(1), whole[:, :4])
    assert torch.equal(uniform(SEEDS, "mix"), whole[:, 0])


def test_numbers_are_those_of_earlier_versions() -> None:
    """Other numbers would change the results of resumed runs."""
    expected = [[2455486, 15208037], [10045355, 13971537], [72373, 8100496]]
    assert (uniform(torch.tensor([0, -1, 2**62]), "wgan-gp/mix", (2,)) * 2**24).to(torch.int64).tolist() == expected


def phase(network: str) -> Any:
    """The update of a network, without its optimizer."""
    return SimpleNamespace(network=network, loss_terms=lambda loss, t: getattr(loss, network)(t))


def test_each_loss_draws_the_same_numbers_in_both_updates_and_others_than_other_losses() -> None:
    drawn: dict[tuple[str, str], Tensor] = {}

    class Draws:
        def __init__(self, name: str) -> None:
            self.name = name

        def discriminator(self, t: Translation) -> Tensor:
            drawn[self.name, "discriminator"] = t.random("mix")
            return t.fake.mean((1, 2, 3))

        def generator(self, t: Translation) -> Tensor:
            drawn[self.name, "generator"] = t.random("mix")
            return t.fake.mean((1, 2, 3))

    stage = sample.TinyNetworks(sample.build_label_encoder())
    batch = sample.random_batch(stage.label_encoder, 8, 16)
    losses = {name: Draws(name) for name in ("one", "other")}
    numbers = []
    for micro_batch in (batch, *batch.micro_batches(2)):
        t = stage.translation(micro_batch, "discriminator")
        weights = dict.fromkeys(losses, 1.0)
        compute_objective(phase("discriminator"), losses, t, weights)  # type: ignore[arg-type]
        compute_objective(phase("generator"), losses, t.for_generator_update(), weights)  # type: ignore[arg-type]
        assert not torch.equal(drawn["one", "discriminator"], drawn["other", "discriminator"])
        assert torch.equal(drawn["one", "discriminator"], drawn["one", "generator"])
        numbers.append(drawn["one", "generator"])
    assert torch.equal(torch.cat(numbers[1:]), numbers[0]), "micro-batches draw the numbers of the batch"


def test_noise_is_normal_and_finite() -> None:
    stage = sample.TinyNetworks(sample.build_label_encoder())
    batch = sample.random_batch(stage.label_encoder, 8, 16)
    noise = torch.stack(
        [stage.translation(replace(batch, seeds=batch.seeds + step), "generator").noise for step in range(100)]
    )
    assert noise.shape == (100, 8, NOISE_SIZE) and noise.isfinite().all()
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02


def test_a_compiled_graph_draws_the_same() -> None:
    compiled = torch.compile(lambda seeds: uniform(seeds, "a/mix", (64,)), fullgraph=True)
    assert torch.equal(compiled(SEEDS[:8]), uniform(SEEDS[:8], "a/mix", (64,)))
