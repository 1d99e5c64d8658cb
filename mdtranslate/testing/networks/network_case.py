"""What the checks of a network test: the network, with small images of one dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from mdtranslate.api import Backbone, Discriminator, Generator, LabelEncoder
from mdtranslate.testing.checks import NotApplicable, Suite
from mdtranslate.testing.component_checks import as_builder
from mdtranslate.testing.sample_components import build_label_encoder, domain_labels, random_images
from mdtranslate.utils.device import isolated_rng

N = TypeVar("N", bound=Backbone)
NetworkBuilder = Callable[[LabelEncoder, int], N]
BATCH_SIZE = 4


class NetworkCase(Generic[N]):
    """A network for small images of one dataset.

    Attributes:
        build: Builds the network for a label encoder and an image size.
        size: Height and width of the images in pixels.
        label_encoder: The label encoder.
        network: The network.
        component: Its class.
        config: Its settings.
    """

    def __init__(self, component: type[N] | NetworkBuilder[N], size: int = 32) -> None:
        """Initialises the case.

        Args:
            component: The class, built with default settings, or a function that builds a network for a label encoder
                and an image size. Use a function to build a small one of networks that are large by default.
            size: Height and width of the images in pixels.
        """
        self.build: NetworkBuilder[N] = as_builder(component, "label_encoder", "image_size")
        self.size = size
        self.label_encoder = build_label_encoder()
        self.network = self.new_instance()
        self.component, self.config = type(self.network), self.network.config

    def new_instance(self, seed: int = 0) -> N:
        """Builds another network, in training mode, whose initial weights depend on `seed` alone."""
        with isolated_rng(seed):
            return self.build(self.label_encoder, self.size)

    def require_single_network(self) -> None:
        """Raises `NotApplicable` for banks, which select networks by label, as no graph can."""
        if self.component.network_count(self.config, self.label_encoder) > 1:
            raise NotApplicable("it is a bank, which selects networks by label")

    @cached_property
    def real(self) -> Tensor:
        """Four images, `(4, 3, size, size)`."""
        return random_images(BATCH_SIZE, self.size)

    @cached_property
    def source(self) -> Tensor:
        """Their labels, `(4, L)`."""
        return domain_labels(self.label_encoder, BATCH_SIZE)

    @cached_property
    def target(self) -> Tensor:
        """Target labels, `(4, L)`."""
        return domain_labels(self.label_encoder, BATCH_SIZE, shift=1)


@contextmanager
def fixed_random_numbers() -> Iterator[None]:
    """Makes random numbers, such as those of dropout, the same in each such context, and restores the generators."""
    with isolated_rng(0):
        yield


def perturbed(network: N) -> N:
    """Adds some noise to a network's weights and returns it.

    Many networks initialise weights with 0, behind which nothing has a gradient.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for param in network.parameters():
            param.add_(0.02 * torch.randn(param.shape, generator=generator))
    return network


def params_without_gradient(network: nn.Module, value: Tensor) -> list[str]:
    """Returns the names of trainable parameters on which a scalar does not depend."""
    named_params = [(name, param) for name, param in network.named_parameters() if param.requires_grad]
    gradients = torch.autograd.grad(value, [param for _, param in named_params], allow_unused=True)
    pairs = zip(named_params, gradients, strict=True)
    return [name for (name, _), gradient in pairs if gradient is None or not gradient.any()]


def max_difference(first: Tensor, second: Tensor) -> float:
    """Returns the greatest absolute difference of two tensors."""
    return float((first.detach().float() - second.detach().float()).abs().max())


GENERATOR: Suite[NetworkCase[Generator]] = Suite(NetworkCase)
DISCRIMINATOR: Suite[NetworkCase[Discriminator]] = Suite(NetworkCase)
