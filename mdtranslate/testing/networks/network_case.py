"""What the checks of networks look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from mdtranslate.api import Backbone, Discriminator, Generator, LabelEncoder
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply, Suite
from mdtranslate.testing.component_checks import maker
from mdtranslate.utils.device import isolated

N = TypeVar("N", bound=Backbone)
Make = Callable[[LabelEncoder, int], N]


class Given(Generic[N]):
    """A network for small pictures of one dataset, made anew with the same weights as often as is asked."""

    def __init__(self, given: type[N] | Make[N], size: int = 32) -> None:
        """`given`: a class, with its default settings; or a function of an encoder and an image size.

        `size`: pixels of a side; of banks and networks that are large by default, smaller ones are made by a function.
        """
        self.make: Make[N] = maker(given, "encoder", "image_size")
        self.size = size
        self.encoder = sample_components.encoder()
        self.network = self.new()
        self.component, self.config = type(self.network), self.network.config

    def new(self, seed: int = 0) -> N:
        """Another one, in training mode, with first weights by `seed`."""
        with isolated(seed):
            return self.make(self.encoder, self.size)

    @cached_property
    def bank(self) -> bool:
        """Whether it chooses among networks by the label, which no graph can."""
        return self.component.count(self.config, self.encoder) > 1

    def one_graph(self) -> None:
        if self.bank:
            raise DoesNotApply("it is a bank, which chooses among networks by the label")

    @cached_property
    def real(self) -> Tensor:
        """Four pictures."""
        return sample_components.pictures(4, self.size)

    @cached_property
    def source(self) -> Tensor:
        return sample_components.domains(self.encoder, 4)

    @cached_property
    def target(self) -> Tensor:
        return sample_components.domains(self.encoder, 4, shift=1)


@contextmanager
def drawn_alike() -> Iterator[None]:
    """What is drawn at random inside, as by dropout, is the same each time, and nothing of it stays."""
    with isolated(0):
        yield


def stirred(network: N) -> N:
    """The network with some noise on its weights: many begin with some at 0, behind which nothing has a gradient."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in network.parameters():
            each.add_(0.02 * torch.randn(each.shape, generator=draw))
    return network


def unreached(network: nn.Module, value: Tensor) -> list[str]:
    """The parameters on which `value` does not depend."""
    named = [(name, each) for name, each in network.named_parameters() if each.requires_grad]
    slopes = torch.autograd.grad(value, [each for _, each in named], allow_unused=True)
    return [name for (name, _), slope in zip(named, slopes, strict=True) if slope is None or not slope.any()]


def apart(one: Tensor, other: Tensor) -> float:
    """The greatest difference."""
    return float((one.detach().float() - other.detach().float()).abs().max())


GENERATOR: Suite[Given[Generator]] = Suite(Given)
DISCRIMINATOR: Suite[Given[Discriminator]] = Suite(Given)
