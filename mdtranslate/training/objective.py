"""What an update of a network minimises: the weighted terms of all losses, by eager torch or as one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mdtranslate.api import Loss
from mdtranslate.api.translation import Batch, Translation
from mdtranslate.config.model_bundle import Model
from mdtranslate.errors import PluginError

Role = Literal["discriminator", "generator"]
Weights = Mapping[str, float]
Found = tuple[Tensor, dict[str, Tensor]] | None
"""The sum of all terms, and each by its name; None where no loss has anything to say."""


def objective(losses: Mapping[str, Loss], role: Role, t: Translation, weights: Mapping[str, float | Tensor]) -> Found:
    """The terms of those losses that have a weight, averaged over the pictures."""
    terms, weighted = {}, []
    for name, weight in weights.items():
        t.loss_name = name  # Its random streams are its own.
        given = getattr(losses[name], role)(t)
        if given is None:
            continue
        for part, term in (given if isinstance(given, Mapping) else {"": given}).items():
            if not isinstance(term, Tensor) or term.shape != t.real.shape[:1]:
                came = f"a term of shape {list(term.shape)}" if isinstance(term, Tensor) else f"{term!r}"
                raise PluginError(
                    f"loss {name!r} returned {came} for the {role}; "
                    f"one value per picture is right, {list(t.real.shape[:1])}"
                )
            mean = term.mean()
            weighted.append(weight * mean)
            terms[f"{role}/{name}{'.' if part else ''}{part}"] = mean.detach()
    return (torch.stack(weighted).sum(), terms) if terms else None


def belongs(name: str, role: Role, loss: str) -> bool:
    """Whether `objective` gave this name to a term of a loss."""
    whole = f"{role}/{loss}"
    return name == whole or name.startswith(f"{whole}.")


class Graphs:
    """The passes of an update as graphs (torch.compile): `fake` is one of them, all that losses make of it another.

    `fake` is apart because two updates share it: it is made once, with its graph, for both.
    """

    def __init__(self, model: Model, losses: Mapping[str, Loss], *, replay: bool, **settings: Any) -> None:
        """`replay`: as CUDA graphs. `settings`: of every `Translation`."""
        self.replay, self.tried = replay, set[tuple[str, ...]]()
        self._values = dict[tuple[float, ...], Tensor]()
        # Whole graphs: what breaks into several gains nothing, and is better said.
        how: dict[str, Any] = {"fullgraph": True, "dynamic": False, "mode": "reduce-overhead" if replay else None}
        self.generator: Any = torch.compile(model.generator, **how)

        def compiled(role: Role) -> Callable[..., Found]:
            def graph(batch: Batch, fake: Tensor, code: Tensor | None, names: tuple[str, ...], values: Tensor) -> Found:
                networks = model.generator, model.discriminator, model.encoder
                t = Translation(batch, *networks, learns=role, made=(fake, code), **settings)  # type: ignore[arg-type]
                return objective(losses, role, t, dict(zip(names, values.unbind(), strict=True)))

            return torch.compile(graph, **how)

        self._graphs: dict[Role, Callable[..., Found]] = {
            "discriminator": compiled("discriminator"),
            "generator": compiled("generator"),
        }

    def __call__(self, role: Role, t: Translation, weights: Weights) -> Found:
        """As `objective`, of a translation whose generator is this one's."""
        key = tuple(weights.values())
        if key not in self._values:  # A number would be a part of the graph, and a ramp a graph for every step.
            self._values = {key: torch.tensor(key, device=t.real.device)}
        return self._graphs[role](t.batch, t.fake, t.code, tuple(weights), self._values[key])

    def begin(self) -> None:
        """A step begins: what graphs made in the one before may be written over."""
        if self.replay:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


@contextmanager
def kept(*modules: nn.Module) -> Iterator[None]:
    """Buffers and gradients are as before afterwards."""
    buffers = [each for module in modules for each in module.buffers()]
    before = [each.clone() for each in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        for module in modules:
            module.zero_grad(set_to_none=True)
