"""Compiled updates, against those of eager PyTorch."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from test_engine import build_batch, build_trainer, gradients
from torch import Tensor

from mdtranslate.api.translation import Translation
from mdtranslate.errors import PluginError
from mdtranslate.training.trainer import Trainer

torch_compile = torch.compile
NETWORKS = ("discriminator", "generator")


@pytest.fixture
def aot_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces graphs as always, but runs them with eager PyTorch: a compiler needs minutes, and may be missing."""
    torch._dynamo.reset()

    def compile(function: Any, *, mode: str | None, **options: Any) -> Any:
        return torch_compile(function, backend="aot_eager", **options)

    monkeypatch.setattr(torch, "compile", compile)


def pair(*settings: str) -> tuple[Trainer, Trainer, list[str]]:
    """Returns trainers without and with compilation, with the same weights, and the lines that the second prints."""
    lines: list[str] = []
    plain, compiled = (
        build_trainer("train.critic_steps=1", *settings, *options) for options in ((), ("train.compile=true",))
    )
    assert compiled.compiled is not None
    compiled.say = compiled.compiled.say = lambda line: None if line.startswith("compiling ") else lines.append(line)
    return plain, compiled, lines


def assert_same_gradients(plain: Trainer, compiled: Trainer) -> None:
    for network in NETWORKS:
        for actual, expected in zip(gradients(compiled, network), gradients(plain, network), strict=True):
            assert (actual - expected).norm() <= 1e-4 * expected.norm()


PATCHES = "discriminator=patchgan", "discriminator.layers=1"
STARGAN = ("generator=stargan-generator",)


def states(trainer: Trainer) -> list[Tensor]:
    modules = [*trainer.networks.values(), *trainer.losses.values()]
    return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("generator.palette=0", "generator.output=residual", "generator.label=target"),
        (*STARGAN, "discriminator.projection=true", "generator.conditioning=norm", "generator.output=blend"),
        (*STARGAN, "losses.wgan-gp.reduction=sum", "label_encoder.masks=attribute", "generator.label=difference"),
        ("train.activation_checkpointing=true", "train.precision=bf16", "train.gradient_accumulation=2"),
        ("generator=resnet-generator", *PATCHES, "losses={lsgan={},cycle-reconstruction={}}"),
        (*PATCHES, "losses={wgan-gp={},cycle-reconstruction={}}"),  # A penalty without a custom input gradient.
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("aot_eager")
def test_gradients_and_terms_match_eager_pytorch(settings: tuple[str, ...]) -> None:
    plain, compiled, lines = pair(*settings)
    for trainer in (plain, compiled):
        trainer.train_step(0, build_batch(trainer))
    assert [line.partition(" in ")[0] for line in lines] == [f"compiled the {network}'s update" for network in NETWORKS]
    assert_same_gradients(plain, compiled)
    assert compiled.statistics.means() == pytest.approx(plain.statistics.means(), rel=1e-4)


@pytest.mark.usefixtures("aot_eager")
def test_compilation_is_announced_and_timed() -> None:
    lines: list[str] = []
    trainer = build_trainer("train.critic_steps=1", "train.compile=true", lines=lines)
    trainer.train_step(0, build_batch(trainer))
    assert [line.partition("'s")[0] for line in lines] == [
        f"{word} the {network}" for network in NETWORKS for word in ("compiling", "compiled")
    ]
    assert trainer.take_compile_seconds() > 0 and trainer.take_compile_seconds() == 0


@pytest.mark.usefixtures("aot_eager")
def test_a_changing_weight_needs_no_new_graph_and_a_new_loss_does() -> None:
    ramp = "{weight={start=0,end=2,steps=4}}"
    slow = [f"optimizers.{network}.learning_rate=1e-9" for network in NETWORKS]
    plain, compiled, lines = pair(
        f"losses={{wgan-gp={{}},domain-classification={{}},cycle-reconstruction={ramp}}}", *slow
    )
    for step in range(2):  # At step 0 the cycle-consistency loss has weight 0.
        for trainer in (plain, compiled):
            trainer.train_step(step, build_batch(trainer))
    assert len(lines) == 4
    with torch.compiler.set_stance("fail_on_recompile"):
        compiled.train_step(2, build_batch(compiled))
    plain.train_step(2, build_batch(plain))
    assert_same_gradients(plain, compiled)
    assert len(lines) == 4


@pytest.mark.usefixtures("aot_eager")
def test_updates_that_cannot_be_compiled_are_reported_and_run_without() -> None:
    """CycleGAN's image pool depends on the values of labels, which a graph cannot read."""
    losses = "losses={lsgan={pool_size=2},cycle-reconstruction={}}"
    plain, compiled, lines = pair(*PATCHES, losses)
    for step in range(2):
        for trainer in (plain, compiled):
            trainer.train_step(step, build_batch(trainer))
    assert len(lines) == 1 and "\n" not in lines[0]
    assert lines[0].startswith("train.compile: ") and "discriminator" in lines[0]
    assert compiled.take_compile_seconds() > 0, "what was tried took time, too"
    for actual, expected in zip(states(compiled), states(plain), strict=True):
        assert torch.equal(actual, expected)  # The trial run left nothing in the pool.


@pytest.mark.usefixtures("aot_eager")
def test_a_contract_violation_of_a_loss_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled, lines = pair()
    monkeypatch.setattr(compiled.losses["wgan-gp"], "generator", lambda t: t.real)
    with pytest.raises(PluginError, match=r"loss 'wgan-gp' .*\[4, 3, 16, 16\]"):
        compiled.train_step(0, build_batch(compiled))
    assert not [line for line in lines if "train.compile" in line]


@pytest.mark.usefixtures("aot_eager")
def test_an_error_of_a_loss_is_raised_and_not_taken_for_a_compiler_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled, lines = pair()

    def broken(t: Translation) -> Tensor:
        raise KeyError("no such thing")

    monkeypatch.setattr(compiled.losses["wgan-gp"], "discriminator", broken)
    with pytest.raises(KeyError, match="no such thing"):
        compiled.train_step(0, build_batch(compiled))
    assert lines == []


@pytest.mark.usefixtures("aot_eager")
def test_steps_and_trial_runs_are_marked_for_cuda_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without marks, CUDA graphs take two calls for two steps, and the second overwrites the results of the first."""
    compiled, order = pair()[1], list[str]()
    assert compiled.compiled is not None
    backward = compiled._backward
    monkeypatch.setattr(compiled.compiled, "begin_step", lambda: order.append("begin"))
    monkeypatch.setattr(compiled, "_backward", lambda *arguments: order.append("pass") or backward(*arguments))
    compiled.train_step(0, build_batch(compiled))
    # One mark before each trial run, and one before both updates of the step, which share the fake images.
    assert order == ["begin", "pass", "begin", "pass", "begin", "pass", "pass"]


def test_cuda_graphs_need_an_nvidia_gpu() -> None:
    lines: list[str] = []
    trainer = build_trainer("train.compile=graphs", lines=lines)
    assert trainer.compiled is not None and not trainer.compiled.use_cuda_graphs
    assert len(lines) == 1 and lines[0].startswith("train.compile: ") and "cpu" in lines[0]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_by_inductor() -> None:
    torch._dynamo.reset()
    plain, compiled, lines = pair("generator.blocks=0", "discriminator.layers=1")
    for trainer in (plain, compiled):
        trainer.train_step(0, build_batch(trainer))
    assert len(lines) == 2 and all(line.startswith("compiled the ") for line in lines)
    assert_same_gradients(plain, compiled)
