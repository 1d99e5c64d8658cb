"""Random numbers by seed and name, and what losses draw of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mdtranslate.api.translation import NOISE, Translation
from mdtranslate.testing import sample_components as sample
from mdtranslate.training.objective import objective
from mdtranslate.utils.random_streams import uniform

SEEDS = torch.arange(2_000)


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_numbers_are_uniform_and_independent_of_neighbours() -> None:
    drawn = uniform(SEEDS, "mix", (50,))
    assert drawn.shape == (2_000, 50) and drawn.dtype == torch.float32
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = torch.histc(drawn, 20, 0, 1)
    assert ((counts / 5_000 - 1).abs() < 0.07).all()  # Five standard deviations of a count of 5,000.
    for one, other in (
        (drawn[1:], drawn[:-1]),  # Neighbouring seeds.
        (drawn[:, 1:], drawn[:, :-1]),  # Neighbouring numbers.
        (drawn, uniform(SEEDS, "other", (50,))),  # Names.
        (drawn[1:, :-1], drawn[:-1, 1:]),
    ):
        assert abs(correlation(one, other)) < 0.016  # Five of 100,000 pairs.


def test_a_sample_has_the_same_numbers_in_any_batch_and_any_longer_stream() -> None:
    whole = uniform(SEEDS, "mix", (6,))
    assert torch.equal(uniform(SEEDS[3:5], "mix", (6,)), whole[3:5])
    assert torch.equal(uniform(SEEDS, "mix", (2, 2)).flatten(1), whole[:, :4])
    assert torch.equal(uniform(SEEDS, "mix"), whole[:, 0])


def test_values_stay() -> None:
    """A later version that drew other numbers would change what runs that it resumes go on with."""
    expected = [[2455486, 15208037], [10045355, 13971537], [72373, 8100496]]
    assert (uniform(torch.tensor([0, -1, 2**62]), "wgan-gp/mix", (2,)) * 2**24).to(torch.int64).tolist() == expected


def test_losses_have_streams_of_their_own_and_both_updates_the_same() -> None:
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

    stage = sample.Stage(sample.encoder())
    batch = sample.batch(stage.encoder, 8, 16)
    losses = {name: Draws(name) for name in ("one", "other")}
    found = []
    for part in (batch, *batch.cut(2)):
        t = stage.translation(part, "discriminator")
        objective(losses, "discriminator", t, dict.fromkeys(losses, 1.0))  # type: ignore[arg-type]
        objective(losses, "generator", t.then_generator(), dict.fromkeys(losses, 1.0))  # type: ignore[arg-type]
        assert not torch.equal(drawn["one", "discriminator"], drawn["other", "discriminator"])
        assert torch.equal(drawn["one", "discriminator"], drawn["one", "generator"])
        found.append(drawn["one", "generator"])
    assert torch.equal(torch.cat(found[1:]), found[0]), "micro-batches draw what the batch draws"


def test_noise_is_normal_and_finite() -> None:
    stage = sample.Stage(sample.encoder())
    batch = sample.batch(stage.encoder, 8, 16)
    noise = torch.stack(
        [stage.translation(replace(batch, seeds=batch.seeds + step), "generator").noise for step in range(100)]
    )
    assert noise.shape == (100, 8, NOISE) and noise.isfinite().all()
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02


def test_a_compiled_graph_draws_the_same() -> None:
    compiled = torch.compile(lambda seeds: uniform(seeds, "a/mix", (64,)), fullgraph=True)
    assert torch.equal(compiled(SEEDS[:8]), uniform(SEEDS[:8], "a/mix", (64,)))
