"""The one training loop. It never asks which algorithm it runs or which dataset it reads.

The only `backward()` and optimizer step of the repository are here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.translation import Batch, Translation
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.schema import Optimizer, Recipe
from mdtranslate.errors import MdtranslateError, PluginError, RecipeError, first_line
from mdtranslate.training.distributed import World
from mdtranslate.training.loss_statistics import LossStatistics
from mdtranslate.training.objective import Graphs, Role, belongs, kept, objective
from mdtranslate.utils.device import pick_precision, prepare_deterministic, slow, training_arithmetic

ROLES: tuple[Role, Role] = ("discriminator", "generator")


class Trainer:
    """Everything that changes while a run trains, and one step of it."""

    def __init__(
        self,
        recipe: Recipe,
        model: Model,
        losses: Mapping[str, Loss],
        device: torch.device,
        world: World | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Raises `RecipeError` where a part compares with true pictures and the recipe brings none, or the device has
        not the precision that it asks for."""
        self.recipe, self.model, self.losses, self.device = recipe, model, dict(losses), device
        assert model.discriminator is not None, "a recipe always has one"
        self.discriminator = model.discriminator
        self.world, self.say = world or World(device), say
        if recipe.train.deterministic:
            prepare_deterministic()
        self.precision = pick_precision(recipe.train.precision, device)
        if line := slow(self.precision, device):
            self.say(line)
        self.networks: dict[str, nn.Module] = {**model.networks}
        needing = ["discriminator"] if self.discriminator.needs_truth else []
        needing += [f"losses.{name}" for name, loss in losses.items() if loss.needs_truth and loss.config.weight != 0]
        if needing and recipe.data.targets != "paired":
            raise RecipeError(f"{needing[0]}: compares with true pictures; data.targets=paired brings them")
        self.average = deepcopy(model.generator).requires_grad_(False) if recipe.train.ema is not None else None
        # Parameters of losses train with the generator.
        trained = {
            role: [each for each in net.parameters() if each.requires_grad] for role, net in self.networks.items()
        }
        trained["generator"] += [each for loss in losses.values() for each in loss.parameters() if each.requires_grad]
        self.optimizers = {role: _adam(trained[role], getattr(recipe.optimizers, role)) for role in ROLES}
        self.names: dict[tuple[Role, str], frozenset[str]] = {}
        self.statistics = LossStatistics(recipe.train.on_nonfinite, device, self.say)
        lower = torch.bfloat16 if self.precision == "bf16" else None
        self.passes: dict[str, Any] = {"lower": lower, "thrifty": recipe.train.checkpointing}
        self.graphs: Graphs | None = None
        self._compiling = 0.0
        if recipe.train.compile:
            replay = recipe.train.compile == "graphs"
            if replay and device.type != "cuda":
                replay = False
                self.say(
                    f"train.compile: CUDA graphs are of NVIDIA's GPUs, and this is {device.type}: compiled without"
                )
            self.graphs = Graphs(model, self.losses, replay=replay, **self.passes)

    def step(self, step: int, batch: Batch) -> None:
        """One batch: the discriminator's update, and every `critic_steps` the generator's on the same batch."""
        both = (step + 1) % self.recipe.train.critic_steps == 0
        parts = batch.cut(self.recipe.train.accumulate)
        with training_arithmetic(self.precision, deterministic=self.recipe.train.deterministic):
            self._compile(parts[0], step, both=both)
            # Graphs of several parts would take the memory that cutting saves.
            ts = [self._translation(part, carry_graph=both and len(parts) == 1) for part in parts]
            self.update("discriminator", ts, step)
            if both:
                self.update("generator", [t.then_generator() for t in ts], step)
                self._average((step + 1) // self.recipe.train.critic_steps)

    def update(self, role: Role, ts: Sequence[Translation], step: int) -> None:
        """Terms of all losses, backward, one optimizer step; none where a value was not finite.

        `ts`: the batch, or its parts.
        """
        # For what networks draw themselves, such as dropout: a run that goes on draws the same.
        of = () if self.world.leads else (self.world.rank,)
        seed = np.random.SeedSequence([self.recipe.train.seed, step, role == "generator", *of])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        weights = self._weights(step)
        parts = self._backward(role, ts, weights)
        optimizer = self.optimizers[role]
        parameters = optimizer.param_groups[0]["params"]
        terms = self._shared(role, weights, parts, len(ts), parameters)
        if not terms:  # Of weight 0 for now, or of the other network alone.
            return
        settings: Optimizer = getattr(self.recipe.optimizers, role)
        optimizer.param_groups[0]["lr"] = settings.rate(step, self.recipe.train.steps)
        skip = self.statistics.add(role, terms, [each.grad for each in parameters if each.grad is not None])
        optimizer.found_inf = skip  # type: ignore[attr-defined]
        if self.device.type == "mps" and skip.item():
            return  # The fused step of some versions takes no notice of `found_inf` there.
        optimizer.step()

    def _backward(self, role: Role, ts: Sequence[Translation], weights: Mapping[str, float]) -> list[dict[str, Tensor]]:
        """Gradients of the network's weights; the terms that they are of, for those of `ts` of which there are any."""
        parts = list[dict[str, Tensor]]()
        self.optimizers[role].zero_grad(set_to_none=True)
        # The generator stays unfrozen in the discriminator's update: the graph of `fake` may be carried to its own.
        with _frozen(self.networks["discriminator"]) if role == "generator" else nullcontext():
            for t in ts:
                if self.graphs is None:
                    found = objective(self.losses, role, t, weights)
                else:
                    found = self.graphs(role, t, weights)
                if found is not None:
                    total, terms = found
                    torch.autograd.backward(total if len(ts) == 1 else total / len(ts))
                    parts.append(terms)
        return parts

    def _shared(
        self,
        role: Role,
        weights: Mapping[str, float],
        parts: Sequence[Mapping[str, Tensor]],
        count: int,
        parameters: Sequence[nn.Parameter],
    ) -> dict[str, Tensor]:
        """The terms of the whole batch: means over its `count` parts and all processes, where a missing one is zero.

        Gradients likewise, in place. The names of a loss's terms are those of the first batch for which it has any:
        raises `PluginError` for another one later, in all processes.
        """
        terms = {
            name: torch.stack([part[name] for part in parts if name in part]).sum() / count
            for name in {name for part in parts for name in part}
        }
        known = {name for loss in weights for name in self.names.get((role, loss), ())}
        terms = self.world.share(parameters, terms, known)
        for loss in weights:
            names = frozenset(name for name in terms if belongs(name, role, loss))
            if strange := sorted(names - self.names.get((role, loss), names)):
                raise PluginError(
                    f"loss {loss!r} returned a term for the {role} that its first batch had not: {strange[0]}. "
                    "The names of terms are fixed by the first batch that has any; one that is missing later is zero"
                )
            if names:
                self.names[role, loss] = names
        return terms

    def _weights(self, step: int) -> dict[str, float]:
        """The weights of those losses that have one now."""
        return {name: weight for name, loss in self.losses.items() if (weight := loss.weight(step))}

    def _translation(self, part: Batch, **more: Any) -> Translation:
        generator: Any = self.model.generator if self.graphs is None else self.graphs.generator
        return Translation(part, generator, self.discriminator, self.model.encoder, **self.passes, **more)

    def _compile(self, part: Batch, step: int, *, both: bool) -> None:
        """Makes the graphs that this step is the first to need, by a trial that changes nothing.

        Where one cannot be made, the run goes on without any, and says why. "Nothing" is what the contract knows of:
        weights, buffers, gradients.
        """
        if self.graphs is None:
            return
        for role in ROLES if both else ROLES[:1]:
            key = role, *self._weights(step)
            if key in self.graphs.tried:
                continue
            began, why = time.perf_counter(), None
            self.say(f"compiling the {role}'s update: minutes on a processor; Ctrl-C waits for it, twice does not")
            self.graphs.begin()
            try:
                self._trial(role, part, step)
            except MdtranslateError:
                raise
            except Exception as error:  # Compilers fail in as many ways as there are, of too little memory, too.
                why = first_line(error)
            took = time.perf_counter() - began
            self._compiling += took
            if why is not None:
                self.graphs = None
                self._trial(role, part, step)  # A mistake of a loss is raised here, and is not the compiler's.
                self.say(f"train.compile: the {role}'s update cannot be compiled, so the run goes on without: {why}")
                return
            self.graphs.tried.add(key)
            self.say(f"compiled the {role}'s update in {took:.0f} s")
        self.graphs.begin()

    def _trial(self, role: Role, part: Batch, step: int) -> None:
        """The passes of an update, forward and back, of which nothing stays."""
        with kept(*self.networks.values(), *self.losses.values()):
            self._backward(role, [self._translation(part, learns=role)], self._weights(step))

    def compile_seconds(self) -> float:
        """What went into compiling since this was last asked."""
        spent, self._compiling = self._compiling, 0.0
        return spent

    @torch.no_grad()
    def _average(self, updates: int) -> None:
        """Takes in the weights after so many updates of the generator.

        The first weights, which are random, have no part in the average: its bias is corrected as Adam's are (Kingma
        and Ba 2015, section 3), without which they would be a third of it after a hundred updates at a decay of 0.99.
        """
        if self.average is not None:
            decay = self.recipe.train.ema
            assert decay is not None
            taken = (1 - decay) / (1 - decay**updates)
            torch._foreach_lerp_(
                [*self.average.parameters()], [each.detach() for each in self.model.generator.parameters()], taken
            )
            for mine, own in zip(self.average.buffers(), self.model.generator.buffers(), strict=True):
                mine.copy_(own)

    def translating(self) -> Any:
        """The generator to show, measure and ship: the average where there is one."""
        return self.average if self.average is not None else self.model.generator


def learn(trainer: Trainer, batches: Callable[[int], Batch], start: int, each_step: Callable[[int], None]) -> None:
    """The loop: from step `start` to the recipe's last; `each_step(done)` logs, samples, saves and may stop it."""
    for step in range(start, trainer.recipe.train.steps):
        trainer.step(step, batches(step))
        each_step(step + 1)


def _adam(parameters: list[nn.Parameter], settings: Optimizer) -> torch.optim.Adam:
    # Fused: one pass over the weights, and it can be told on the device to change nothing (found_inf).
    return torch.optim.Adam(parameters, lr=settings.learning_rate, betas=settings.betas, fused=True)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for a network that is not updated: they would be computed and thrown away."""
    learning = [each for each in network.parameters() if each.requires_grad]
    for each in learning:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in learning:
            each.requires_grad_(True)
