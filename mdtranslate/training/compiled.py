"""Updates as compiled graphs (torch.compile)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.batch import Batch
from mdtranslate.api.translation import Translation
from mdtranslate.config.model_bundle import Model
from mdtranslate.errors import MdtranslateError, first_line
from mdtranslate.training.objective import Network, Objective, Phase, compute_objective


class CompiledUpdates:
    """Compiled forward passes: one graph makes `fake`, one more per phase computes the objective from it.

    `fake` has a graph of its own because both updates share it.
    """

    def __init__(
        self,
        model: Model,
        losses: Mapping[str, Loss],
        phases: Sequence[Phase],
        say: Callable[[str], None],
        *,
        use_cuda_graphs: bool,
        **translation_options: Any,
    ) -> None:
        """Prepares the graphs; each is compiled when it is first used.

        Args:
            model: The networks.
            losses: The losses by name.
            phases: The updates.
            say: Prints a line for the user.
            use_cuda_graphs: Replay the graphs as CUDA graphs.
            translation_options: Options of every `Translation`.
        """
        self.use_cuda_graphs, self.say = use_cuda_graphs, say
        self._compiled = set[tuple[str, ...]]()
        self._weights = dict[tuple[float, ...], Tensor]()
        # fullgraph=True: a graph break would cancel the speed-up, so it is reported instead.
        options: dict[str, Any] = {
            "fullgraph": True,
            "dynamic": False,
            "mode": "reduce-overhead" if use_cuda_graphs else None,
        }
        self.generator: Any = torch.compile(model.generator, **options)

        def compiled(phase: Phase) -> Callable[..., Objective | None]:
            def graph(
                batch: Batch, fake: Tensor, style_code: Tensor | None, names: tuple[str, ...], weights: Tensor
            ) -> Objective | None:
                networks = model.generator, model.discriminator, model.label_encoder
                t = Translation(
                    batch,
                    *networks,  # type: ignore[arg-type]
                    updated=phase.network,
                    precomputed=(fake, style_code),
                    **translation_options,
                )
                return compute_objective(phase, losses, t, dict(zip(names, weights.unbind(), strict=True)))

            return torch.compile(graph, **options)

        self._graphs: dict[Network, Callable[..., Objective | None]] = {
            phase.network: compiled(phase) for phase in phases
        }

    def compute_objective(self, phase: Phase, t: Translation, weights: Mapping[str, float]) -> Objective | None:
        """Computes the objective by the compiled graph, for a translation that uses `self.generator`."""
        # Weights are passed as a tensor: as numbers they would be constants of the graph, and a weight that changes
        # every step would compile a new graph every step.
        values = tuple(weights.values())
        if values not in self._weights:
            self._weights = {values: torch.tensor(values, device=t.real.device)}
        return self._graphs[phase.network](t.batch, t.fake, t.style_code, tuple(weights), self._weights[values])

    def begin_step(self) -> None:
        """Marks the start of a step: CUDA graphs may overwrite the tensors of the step before."""
        if self.use_cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]

    def prepare(
        self, phase: Phase, loss_names: Sequence[str], trial: Callable[[Phase], None]
    ) -> tuple[float, str | None]:
        """Compiles the graph of a phase by a trial run, if this set of losses has none yet.

        Args:
            phase: The update.
            loss_names: The losses that have a weight now.
            trial: Runs forward and backward passes of the update without any lasting effect.

        Returns:
            The seconds that it took, and why it failed, in one line, or None if it succeeded.

        Raises:
            MdtranslateError: A component fails, compiled or not.
        """
        key = phase.network, *loss_names
        if key in self._compiled:
            return 0.0, None
        start, failure = time.perf_counter(), None
        self.say(f"compiling the {phase.network}'s update: minutes on a CPU; Ctrl-C waits for it, twice does not")
        self.begin_step()
        try:
            trial(phase)
        except MdtranslateError:
            raise
        except Exception as error:  # Compilers raise anything, also when memory runs out.
            failure = first_line(error)
        seconds = time.perf_counter() - start
        if failure is None:
            self._compiled.add(key)
            self.say(f"compiled the {phase.network}'s update in {seconds:.0f} s")
        return seconds, failure


@contextmanager
def unchanged(*modules: nn.Module) -> Iterator[None]:
    """Restores buffers and clears gradients of the modules afterwards."""
    buffers = [buffer for module in modules for buffer in module.buffers()]
    copies = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, copies, strict=True):
            buffer.copy_(value)
        for module in modules:
            module.zero_grad(set_to_none=True)
