"""The backbone contract: generators and discriminators."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from mdtranslate.api.component import Component
from mdtranslate.api.label_encoder import LabelEncoder
from mdtranslate.errors import PluginError


class Backbone(Component, nn.Module):
    """A network that a recipe picks. It never sees a file, a step or a loss."""

    note: str | None = None
    """A line that a run says about it before it trains: a bank says how many networks it holds."""
    stochastic: bool = False
    """Whether it draws at random while it trains, as dropout does. A trained one never does."""

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        """`encoder` says what a label looks like to the network; pictures in training are `image_size` pixels square.

        Raises `ValueError` where the settings do not go together.
        """
        nn.Module.__init__(self)
        self.config = config
        self.encoder = encoder
        self.image_size = image_size

    @classmethod
    def count(cls, config: Any, encoder: LabelEncoder) -> int:
        """How many networks it holds that train apart: banks have several. Known before any is built."""
        return 1


class Generator(Backbone):
    """Translates pictures from their source label to a target label."""

    multiple: int = 1
    """Sides of a picture must be multiples of this many pixels (StarGAN: 4, for two halvings)."""
    reads: Literal["all", "changed", "none"] = "all"
    """What it has to know of a picture before an edit: every attribute, those that change, or nothing."""
    conditional: bool = True
    """Whether labels change what it makes. One that does not heed them is of use inside a bank alone."""

    @abstractmethod
    def forward(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1] with labels [B, L] to pictures of the same shape and range."""

    def code(self, target: Tensor, noise: Tensor) -> Tensor | None:
        """A style code for `target` [B, L] from `noise` [B, 64], for generators that have one; None by default."""
        return None


Output = Literal["picture", "blend", "residual"]
"""A setting of generators: what their last layer's channels are. `painted` makes a picture of them."""
CHANNELS: dict[Output, int] = {"picture": 3, "blend": 4, "residual": 3}
OUTPUTS = (
    "what comes out: the picture itself, as published; colours that a learned mask lays over the input, so that what "
    "is not edited stays (GANimation, Pumarola et al. 2018, equation 1); or what is added to the input (Shen and Liu "
    "2017)"
)
"""The description of that setting."""


def painted(output: Output, image: Tensor, given: Tensor) -> Tensor:
    """The picture [B, 3, H, W] in [-1, 1] that the last layer of a generator means by `given` for the input `image`.

    `given`: [B, 3 or 4, H, W], any values, as `CHANNELS` says.
    """
    given = given.to(image.dtype)  # In lower precision layers come out in another type than pictures go in.
    if output == "blend":
        return torch.lerp(image, given[:, :3].tanh(), given[:, 3:].sigmoid())
    if output == "residual":
        return (image + 2 * given.tanh()).clamp(-1, 1)  # Twice, so that black can become white.
    return given.tanh()


def as_pictures(made: Any, image: Tensor, generator: Generator) -> Tensor:
    """What a generator made of `image`. Raises `PluginError` where it is not pictures of the same shape."""
    if isinstance(made, Tensor) and made.shape == image.shape:
        return made
    came = list(made.shape) if isinstance(made, Tensor) else repr(made)[:100]
    right = list(image.shape)
    raise PluginError(f"generator {generator.name!r} returned {came}; pictures like its input are right, {right}")


class Verdict(NamedTuple):
    """What a discriminator says of pictures.

    `score`: realness, [B, ...], one value per picture or per patch. `logits`: the domain, [B, classes], or None.
    """

    score: Tensor
    logits: Tensor | None


class Discriminator(Backbone):
    """Judges pictures: real or made, and of which domain."""

    alone: bool = False
    """What it says of a picture depends on the picture and its label alone, not on others of the batch (so no batch
    statistics). Real and made pictures are then judged in one pass, in which only true pairs bring `made_from`."""
    needs_truth: bool = False
    """Whether it judges true pairs, which only `data.targets=paired` brings."""

    @abstractmethod
    def forward(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        """Judges pictures [B, 3, H, W] in [-1, 1].

        `label` [B, L] is what they should be, for conditional discriminators; `made_from` the pictures that they were
        made from, for discriminators of pairs. StarGAN's uses neither.
        """

    def slope(self, image: Tensor, label: Tensor, made_from: Tensor | None = None, *, total: bool = False) -> Tensor:
        """The gradient of each picture's mean score (`total`: of the sum over its score map) by the picture.

        [B, 3, H, W], itself differentiable by the weights, for penalties. Autograd finds it for any network; one that
        knows a cheaper way to the same overrides this.
        """

        def scored(image: Tensor) -> Tensor:
            score: Tensor = self(image, label, made_from).score.reshape(len(image), -1)
            return (score.sum(1) if total else score.mean(1)).sum()

        image = image.detach()
        if torch.compiler.is_compiling():  # Which takes this form alone.
            slope: Tensor = torch.func.grad(scored)(image)
            return slope
        image.requires_grad_()
        (slope,) = torch.autograd.grad(scored(image), image, create_graph=True)
        return slope
