"""The training step: everything that changes during training, and how one batch changes it.

The only `backward()` and optimizer step of generators and discriminators are here. The trainer knows neither which
algorithm it runs (that is the losses' business) nor which dataset it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mdtranslate.api import Generator, Loss
from mdtranslate.api.batch import Batch
from mdtranslate.api.translation import Translation
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.schema import Optimizer
from mdtranslate.errors import PluginError, RecipeError
from mdtranslate.training.compiled import CompiledUpdates, unchanged
from mdtranslate.training.distributed import World
from mdtranslate.training.loss_statistics import LossStatistics
from mdtranslate.training.objective import Network, Phase, compute_objective, is_term_of
from mdtranslate.utils.device import (
    memory_format,
    pick_precision,
    precision_warning,
    prepare_deterministic,
    training_numerics,
)  # fmt: skip


class Trainer:
    """Networks, losses, optimizers and the moving average of one run, and the training step.

    Attributes:
        phases: The updates of a step, in order: the discriminator's, then the generator's.
        networks: The generator and the discriminator by role.
        average: Exponential moving average of the generator, or None.
        statistics: Sums of loss terms since the last line of the log.
        precision: The arithmetic in use: fp32, tf32 or bf16.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Model,
        losses: Mapping[str, Loss],
        device: torch.device,
        world: World | None = None,
        say: Callable[[str], None] = lambda line: None,
        recorded_precision: str | None = None,
    ) -> None:
        """Initialises the optimizers and, where the recipe asks for it, the moving average and compiled graphs.

        Args:
            recipe: The recipe.
            model: The networks, on the device.
            losses: The losses by name, on the device.
            device: The device to train on.
            world: The processes that train together; None for this one alone.
            say: Prints a line for the user.
            recorded_precision: The precision that the run was trained in before it was resumed; None for a new run.

        Raises:
            RecipeError: A component lacks ground truth, or the device does not support the precision.
        """
        assert model.discriminator is not None, "recipes always have a discriminator"
        self.recipe, self.model, self.losses, self.device = recipe, model, dict(losses), device
        self.discriminator = model.discriminator
        self.world, self.say = world or World(device), say
        self.networks: dict[str, nn.Module] = {**model.networks}
        self._check_truth()
        if recipe.train.deterministic:
            prepare_deterministic()
        self.precision = pick_precision(recipe.train.precision, device, recorded=recorded_precision)
        if warning := precision_warning(self.precision, device):
            say(warning)

        # Phases: the discriminator is updated in every step, the generator every `critic_steps`.
        self.phases = [
            self._phase("discriminator", lambda loss, t: loss.discriminator(t), interval=1),
            self._phase("generator", lambda loss, t: loss.generator(t), interval=recipe.train.critic_steps),
        ]
        self.average = deepcopy(model.generator).requires_grad_(False) if recipe.train.ema is not None else None
        self.statistics = LossStatistics(recipe.train.on_nonfinite, device, say)
        self._term_names: dict[tuple[Network, str], frozenset[str]] = {}
        self._translation_options: dict[str, Any] = {
            "autocast_dtype": torch.bfloat16 if self.precision == "bf16" else None,
            "activation_checkpointing": recipe.train.activation_checkpointing,
        }
        self.compiled: CompiledUpdates | None = None
        self._compile_seconds = 0.0
        if recipe.train.compile:
            use_cuda_graphs = recipe.train.compile == "graphs" and device.type == "cuda"
            if recipe.train.compile == "graphs" and not use_cuda_graphs:
                say(f"train.compile: CUDA graphs need an NVIDIA GPU, and this is {device.type}: compiling without")
            self.compiled = CompiledUpdates(
                model, self.losses, self.phases, say, use_cuda_graphs=use_cuda_graphs, **self._translation_options
            )

    def train_step(self, step: int, batch: Batch) -> None:
        """Trains on one batch.

        Args:
            step: The step, counted from 0.
            batch: This process's share of the batch.
        """
        settings = self.recipe.train
        due = [phase for phase in self.phases if (step + 1) % phase.interval == 0]
        batch = batch.to_memory_format(memory_format(self.device, self.precision))
        micro_batches = batch.micro_batches(settings.gradient_accumulation)
        with training_numerics(self.precision, deterministic=settings.deterministic):
            self._compile(due, micro_batches[0], step)

            # Both updates share `fake` and, for a single micro-batch, its graph. Graphs of several micro-batches would
            # take the memory that splitting saves.
            keep_graph = len(due) > 1 and len(micro_batches) == 1
            translations = [self._translation(micro_batch, keep_graph=keep_graph) for micro_batch in micro_batches]
            for phase in due:
                if phase.network == "generator":
                    translations = [t.for_generator_update() for t in translations]
                self.update(phase, translations, step)

            # Moving average of the generator.
            if due[-1].network == "generator":
                self._update_average(updates=(step + 1) // due[-1].interval)

    def update(self, phase: Phase, translations: Sequence[Translation], step: int) -> None:
        """Makes one update: gradients of all losses, averaged over micro-batches and processes, and an optimizer step.

        Args:
            phase: The update.
            translations: One translation per micro-batch.
            step: The step, counted from 0.

        Raises:
            PluginError: A loss returns something else than the terms of its first batch.
        """
        # Random numbers of the networks themselves (dropout), so that a resumed run draws the same.
        ranks = () if self.world.is_main_process else (self.world.rank,)
        seed = np.random.SeedSequence([self.recipe.train.seed, step, phase.network == "generator", *ranks])
        torch.manual_seed(int(seed.generate_state(1)[0]))

        # Gradients and loss terms of each micro-batch, then their means over micro-batches and processes.
        weights = self._weights(phase, step)
        terms = self._reduce(phase, weights, self._backward(phase, translations, weights), len(translations))
        if not terms:  # No loss of this network has a weight at this step.
            return

        # Optimizer step, skipped on the device if a term or gradient is not finite.
        phase.optimizer.param_groups[0]["lr"] = phase.settings.rate(step, self.recipe.train.steps)
        gradients = [param.grad for param in phase.parameters if param.grad is not None]
        skip = self.statistics.add(phase.network, terms, gradients)
        phase.optimizer.found_inf = skip  # type: ignore[attr-defined]
        if self.device.type == "mps" and skip.item():
            return  # Some versions of the fused step ignore `found_inf` on MPS.
        phase.optimizer.step()

    def generator_to_ship(self) -> Generator:
        """Returns the generator to show, evaluate and save: the moving average if there is one."""
        return self.average if self.average is not None else self.model.generator

    def take_compile_seconds(self) -> float:
        """Returns the time spent on compiling since the last call."""
        seconds, self._compile_seconds = self._compile_seconds, 0.0
        return seconds

    def _backward(
        self, phase: Phase, translations: Sequence[Translation], weights: Mapping[str, float]
    ) -> list[dict[str, Tensor]]:
        """Accumulates gradients over micro-batches; returns the terms of those that have any."""
        terms_per_micro_batch, count = [], len(translations)
        phase.optimizer.zero_grad(set_to_none=True)
        # The generator stays unfrozen in the discriminator's update: the graph of `fake` may be kept for its own.
        with _frozen(self.discriminator) if phase.network == "generator" else nullcontext():
            for t in translations:
                if self.compiled is None:
                    objective = compute_objective(phase, self.losses, t, weights)
                else:
                    objective = self.compiled.compute_objective(phase, t, weights)
                if objective is not None:
                    torch.autograd.backward(objective.total if count == 1 else objective.total / count)
                    terms_per_micro_batch.append(objective.terms)
        return terms_per_micro_batch

    def _reduce(
        self,
        phase: Phase,
        weights: Mapping[str, float],
        terms_per_micro_batch: Sequence[Mapping[str, Tensor]],
        count: int,
    ) -> dict[str, Tensor]:
        """Averages terms over `count` micro-batches and all processes, and gradients over processes (in place).

        The term names of a loss are fixed by its first batch that has any; a missing term counts as zero.
        """
        means = {
            name: torch.stack([terms[name] for terms in terms_per_micro_batch if name in terms]).sum() / count
            for name in {name for terms in terms_per_micro_batch for name in terms}
        }
        known_names = {name for loss in weights for name in self._term_names.get((phase.network, loss), ())}
        terms = self.world.all_reduce_mean(phase.parameters, means, known_names)
        for loss in weights:
            names = frozenset(name for name in terms if is_term_of(name, phase.network, loss))
            if new_names := sorted(names - self._term_names.get((phase.network, loss), names)):
                raise PluginError(
                    f"loss {loss!r} returned a new term for the {phase.network}: {new_names[0]}. The term names of a "
                    "loss are fixed by its first batch that has any; a term that is missing later counts as zero"
                )
            if names:
                self._term_names[phase.network, loss] = names
        return terms

    def _weights(self, phase: Phase, step: int) -> dict[str, float]:
        """Returns the weight of each loss that is due in this update and whose weight is not 0."""
        update = step // phase.interval
        due = {name: loss for name, loss in self.losses.items() if update % loss.config.interval == 0}
        return {name: weight * loss.config.interval for name, loss in due.items() if (weight := loss.weight(step))}

    def _translation(self, batch: Batch, **options: Any) -> Translation:
        generator: Any = self.model.generator if self.compiled is None else self.compiled.generator
        options |= self._translation_options
        return Translation(batch, generator, self.discriminator, self.model.label_encoder, **options)

    def _compile(self, due: Sequence[Phase], batch: Batch, step: int) -> None:
        """Compiles the graphs that this step needs first; if that fails, training goes on without compilation."""
        if self.compiled is None:
            return

        def trial(phase: Phase) -> None:
            weights = self._weights(phase, step)
            with unchanged(*self.networks.values(), *self.losses.values()):
                self._backward(phase, [self._translation(batch, updated=phase.network)], weights)

        for phase in due:
            seconds, failure = self.compiled.prepare(phase, [*self._weights(phase, step)], trial)
            self._compile_seconds += seconds
            if failure is not None:
                self.compiled = None
                trial(phase)  # Raises what is not the compiler's fault.
                self.say(
                    f"train.compile: cannot compile the {phase.network}'s update, so training goes on without "
                    f"compilation: {failure}"
                )
                return
        self.compiled.begin_step()

    @torch.no_grad()
    def _update_average(self, updates: int) -> None:
        """Updates the moving average after the given number of generator updates.

        The bias towards the random initial weights is corrected as in Adam (Kingma and Ba 2015, section 3): without,
        they would make up a third of the average after 100 updates at a decay of 0.99.
        """
        decay = self.recipe.train.ema
        if self.average is None or decay is None:
            return
        generator = self.model.generator
        torch._foreach_lerp_(
            [*self.average.parameters()],
            [param.detach() for param in generator.parameters()],
            (1 - decay) / (1 - decay**updates),
        )
        for average, current in zip(self.average.buffers(), generator.buffers(), strict=True):
            average.copy_(current)

    def _phase(self, network: Network, loss_terms: Callable[[Loss, Translation], Any], interval: int) -> Phase:
        modules = [self.networks[network], *(self.losses.values() if network == "generator" else ())]
        parameters = [param for module in modules for param in module.parameters() if param.requires_grad]
        settings: Optimizer = getattr(self.recipe.optimizers, network)
        # Fused: one pass over the weights, which can be told on the device to change nothing (found_inf).
        optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=settings.betas, fused=True)
        return Phase(network, loss_terms, parameters, optimizer, settings, interval)

    def _check_truth(self) -> None:
        components = ["discriminator"] if self.discriminator.requires_truth else []
        components += [
            f"losses.{name}" for name, loss in self.losses.items() if loss.requires_truth and loss.config.weight != 0
        ]
        if components and self.recipe.data.targets != "paired":
            raise RecipeError(f"{components[0]}: needs ground truth, which data.targets=paired provides")


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Switches off parameter gradients of a network that is not updated."""
    parameters = [param for param in network.parameters() if param.requires_grad]
    for param in parameters:
        param.requires_grad_(False)
    try:
        yield
    finally:
        for param in parameters:
            param.requires_grad_(True)
