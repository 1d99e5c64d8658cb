"""Compiled updates, held against those of eager torch."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from test_engine import batch, gradients, trainer
from torch import Tensor

from mdtranslate.api.translation import Translation
from mdtranslate.errors import PluginError
from mdtranslate.training.trainer import ROLES, Trainer

REAL = torch.compile


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are made as ever, and run by eager torch: a compiler takes minutes, and need not be there."""
    torch._dynamo.reset()

    def compile(what: Any, *, mode: str | None, **how: Any) -> Any:
        return REAL(what, backend="aot_eager", **how)

    monkeypatch.setattr(torch, "compile", compile)


def pair(*settings: str) -> tuple[Trainer, Trainer, list[str]]:
    """One that is not compiled and one that is, with the same weights, and what the second says afterwards."""
    said: list[str] = []
    plain, compiled = (trainer("train.critic_steps=1", *settings, *more) for more in ((), ("train.compile=true",)))
    compiled.say = lambda line: None if line.startswith("compiling ") else said.append(line)
    return plain, compiled, said


def same_gradients(plain: Trainer, compiled: Trainer) -> None:
    for role in ROLES:
        for mine, theirs in zip(gradients(compiled, role), gradients(plain, role), strict=True):
            assert (mine - theirs).norm() <= 1e-4 * theirs.norm()


PATCHES = "discriminator=patchgan", "discriminator.layers=1"
STARGAN = ("generator=stargan-generator",)


def states(made: Trainer) -> list[Tensor]:
    modules = [*made.networks.values(), *made.losses.values()]
    return [each for module in modules for each in (*module.parameters(), *module.buffers())]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("generator.output=residual", "generator.label=target"),
        (*STARGAN, "discriminator.projection=true", "generator.condition=norms", "generator.output=blend"),
        (*STARGAN, "losses.wgan-gp.penalised=sum", "encoder.masks=attribute", "generator.label=difference"),
        ("train.checkpointing=true", "train.precision=bf16", "train.accumulate=2"),
        ("generator=resnet-generator", *PATCHES, "losses={lsgan={},cycle-reconstruction={}}"),
        (*PATCHES, "losses={wgan-gp={},cycle-reconstruction={}}"),  # A penalty by autograd.
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("traced")
def test_gradients_and_terms_are_those_of_eager_torch(settings: tuple[str, ...]) -> None:
    plain, compiled, said = pair(*settings)
    for made in (plain, compiled):
        made.step(0, batch(made))
    assert [each.partition(" in ")[0] for each in said] == [f"compiled the {role}'s update" for role in ROLES]
    same_gradients(plain, compiled)
    assert compiled.statistics.means() == pytest.approx(plain.statistics.means(), rel=1e-4)


@pytest.mark.usefixtures("traced")
def test_what_takes_minutes_is_said_before_and_counted_apart() -> None:
    said: list[str] = []
    made = trainer("train.critic_steps=1", "train.compile=true", said=said)
    made.step(0, batch(made))
    assert [each.partition("'s")[0] for each in said] == [
        f"{word} the {role}" for role in ROLES for word in ("compiling", "compiled")
    ]
    assert made.compile_seconds() > 0 and made.compile_seconds() == 0


@pytest.mark.usefixtures("traced")
def test_a_ramp_is_no_new_graph_and_a_loss_that_begins_later_is() -> None:
    ramp = "{weight={start=0,end=2,steps=4}}"
    slow = [f"optimizers.{role}.learning_rate=1e-9" for role in ROLES]
    plain, compiled, said = pair(
        f"losses={{wgan-gp={{}},domain-classification={{}},cycle-reconstruction={ramp}}}", *slow
    )
    for step in range(2):  # At step 0 the cycle has no weight yet.
        for made in (plain, compiled):
            made.step(step, batch(made))
    assert len(said) == 4
    with torch.compiler.set_stance("fail_on_recompile"):
        compiled.step(2, batch(compiled))
    plain.step(2, batch(plain))
    same_gradients(plain, compiled)
    assert len(said) == 4


@pytest.mark.usefixtures("traced")
def test_what_cannot_be_compiled_is_said_in_one_line_and_trains_as_it_is() -> None:
    """CycleGAN's pool asks what labels hold, which no graph can."""
    losses = "losses={lsgan={pool=2},cycle-reconstruction={}}"
    plain, compiled, said = pair(*PATCHES, losses)
    for step in range(2):
        for made in (plain, compiled):
            made.step(step, batch(made))
    assert len(said) == 1 and "\n" not in said[0]
    assert said[0].startswith(
        "train.compile: the discriminator's update cannot be compiled, so the run goes on without: "
    )
    for mine, theirs in zip(states(compiled), states(plain), strict=True):
        assert torch.equal(mine, theirs)  # The trial left nothing in the pool.


@pytest.mark.usefixtures("traced")
def test_a_mistake_of_a_loss_is_its_own_and_not_the_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled, said = pair()
    monkeypatch.setattr(compiled.losses["wgan-gp"], "generator", lambda t: t.real)
    with pytest.raises(
        PluginError, match=r"loss 'wgan-gp' returned a term of shape \[4, 3, 16, 16\] for the generator"
    ):
        compiled.step(0, batch(compiled))
    assert not [line for line in said if "cannot be compiled" in line]


@pytest.mark.usefixtures("traced")
def test_a_loss_that_fails_in_its_own_way_is_not_blamed_on_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled, said = pair()

    def broken(t: Translation) -> Tensor:
        raise KeyError("no such thing")

    monkeypatch.setattr(compiled.losses["wgan-gp"], "discriminator", broken)
    with pytest.raises(KeyError, match="no such thing"):
        compiled.step(0, batch(compiled))
    assert said == []


@pytest.mark.usefixtures("traced")
def test_each_pass_of_graphs_begins_with_their_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it CUDA graphs take two calls for two steps, and the second writes over what the first gave."""
    compiled, order = pair()[1], list[str]()
    assert compiled.graphs is not None
    passes = compiled._backward
    monkeypatch.setattr(compiled.graphs, "begin", lambda: order.append("begin"))
    monkeypatch.setattr(compiled, "_backward", lambda *given: order.append("pass") or passes(*given))
    compiled.step(0, batch(compiled))
    # Each trial has a mark of its own, and the two updates of the step, which share a picture, have one.
    assert order == ["begin", "pass", "begin", "pass", "begin", "pass", "pass"]


def test_cuda_graphs_are_of_nvidias_gpus() -> None:
    said: list[str] = []
    made = trainer("train.compile=graphs", said=said)
    assert made.graphs is not None and not made.graphs.replay
    assert said == ["train.compile: CUDA graphs are of NVIDIA's GPUs, and this is cpu: compiled without"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_by_inductor() -> None:
    torch._dynamo.reset()
    plain, compiled, said = pair("generator.blocks=0", "discriminator.layers=1")
    for made in (plain, compiled):
        made.step(0, batch(made))
    assert len(said) == 2 and all(each.startswith("compiled the ") for each in said)
    same_gradients(plain, compiled)
