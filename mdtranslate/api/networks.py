"""The interfaces of generators and discriminators."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from mdtranslate.api.component import Component
from mdtranslate.api.label_encoder import LabelEncoder
from mdtranslate.errors import PluginError

Reduction = Literal["mean", "sum"]


class Backbone(Component, nn.Module):
    """Base class of generators and discriminators. A network never sees a file, a training step or a loss.

    Attributes:
        note: One line to print before training, such as how many networks a bank holds; None for nothing.
        is_stochastic: Whether it draws random numbers in training mode, as dropout does. In evaluation mode it must
            not.
        config: The settings.
        label_encoder: Converts labels to conditions.
        image_size: Height and width of training images in pixels.
    """

    note: str | None = None
    is_stochastic: bool = False

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises the network.

        Args:
            config: An instance of this class's `Config`.
            label_encoder: Converts labels to conditions.
            image_size: Height and width of training images in pixels.

        Raises:
            ValueError: The settings do not go together, or do not fit the image size.
        """
        nn.Module.__init__(self)
        self.config = config
        self.label_encoder = label_encoder
        self.image_size = image_size

    @classmethod
    def network_count(cls, config: Any, label_encoder: LabelEncoder) -> int:
        """Returns the number of independently trained networks in it, before any is built.

        It is 1 unless the component combines several, as `per-pair` does.

        Args:
            config: The settings that it would be built with.
            label_encoder: The label encoder that it would be built with.
        """
        return 1


class Generator(Backbone):
    """Translates images from a source label to a target label.

    Attributes:
        size_multiple: Height and width of images must be multiples of this many pixels.
        required_labels: Which attributes of the source it must know: `all`, those that `changed`, or `none`.
        is_conditional: Whether the output depends on labels. One that does not is only useful inside a bank.
    """

    size_multiple: int = 1
    required_labels: Literal["all", "changed", "none"] = "all"
    is_conditional: bool = True

    @abstractmethod
    def forward(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Translates images.

        Args:
            image: Images of shape `(B, 3, H, W)` in [-1, 1].
            source: Labels of the images, `(B, L)`.
            target: Labels to translate to, `(B, L)`.
            style_code: What `style_code` returned for the targets.

        Returns:
            Images of the same shape and range.
        """

    def style_code(self, target: Tensor, noise: Tensor) -> Tensor | None:
        """Computes style codes, for generators that have them.

        Args:
            target: Target labels, `(B, L)`.
            noise: Standard normal noise, `(B, 64)`.

        Returns:
            Style codes `(B, ...)`, or None (the default).
        """
        return None


OutputMode = Literal["image", "blend", "residual"]
"""A setting of generators: how the last layer's channels become an image, see `compose_output`."""

OUTPUT_CHANNELS: dict[OutputMode, int] = {"image": 3, "blend": 4, "residual": 3}
"""Channels that the last layer of a generator must have, by output mode."""

OUTPUT_DESCRIPTION = (
    "what the last layer gives: image, as published; blend, colours and a mask that is laid over the input, so that "
    "unedited regions stay (GANimation, Pumarola et al. 2018, equation 1); or residual, which is added to the input "
    "(Shen and Liu 2017)"
)
"""The description of such a setting."""


def compose_output(mode: OutputMode, image: Tensor, raw: Tensor) -> Tensor:
    """Converts the last layer's output to an image.

    Args:
        mode: The output mode.
        image: Input images of the generator, `(B, 3, H, W)` in [-1, 1].
        raw: Unbounded output of the last layer, `(B, OUTPUT_CHANNELS[mode], H, W)`.

    Returns:
        Images `(B, 3, H, W)` in [-1, 1], of the dtype of `image`.
    """
    raw = raw.to(image.dtype)  # Under autocast, layers return another dtype than that of the images.
    if mode == "blend":
        return torch.lerp(image, raw[:, :3].tanh(), raw[:, 3:].sigmoid())
    if mode == "residual":
        return (image + 2 * raw.tanh()).clamp(-1, 1)  # Twice, so that black can become white.
    return raw.tanh()


def checked_images(output: Any, image: Tensor, generator: Generator) -> Tensor:
    """Returns a generator's output if it has the shape of its input; raises `PluginError` otherwise."""
    if isinstance(output, Tensor) and output.shape == image.shape:
        return output
    actual = f"shape {list(output.shape)}" if isinstance(output, Tensor) else repr(output)[:100]
    raise PluginError(f"generator {generator.name!r} returned {actual}; expected images of shape {list(image.shape)}")


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator.

    Attributes:
        score: Realness scores, `(B, ...)`: one per image or per patch, unbounded.
        logits: Domain logits, `(B, K)` with K = `label_encoder.num_logits`, or None.
    """

    score: Tensor
    logits: Tensor | None


class Discriminator(Backbone):
    """Scores how real images look, and classifies their domain.

    Attributes:
        is_batch_independent: Whether the output for a sample depends on that sample alone (no batch statistics). Real
            and fake images are then scored in one forward pass.
        requires_truth: Whether it compares with ground truth, which only `data.targets=paired` provides.
    """

    is_batch_independent: bool = False
    requires_truth: bool = False

    @abstractmethod
    def forward(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Scores images.

        Args:
            image: Images of shape `(B, 3, H, W)` in [-1, 1].
            label: The labels that the images should have, `(B, L)`, for conditional discriminators.
            source_image: The images that they were translated from, `(B, 3, H, W)`, for discriminators of pairs.

        Returns:
            Scores and, where it classifies, logits.
        """

    def input_gradient(
        self, image: Tensor, label: Tensor, source_image: Tensor | None = None, *, reduction: Reduction = "mean"
    ) -> Tensor:
        """Computes the gradient of the score with respect to the image, for gradient penalties.

        Override it if the network has a cheaper way to the same gradient.

        Args:
            image: Images of shape `(B, 3, H, W)` in [-1, 1]; no gradient flows back through them.
            label: Labels, as for `forward`.
            source_image: Source images, as for `forward`.
            reduction: Whether the gradient is of the mean or of the sum over each image's score map.

        Returns:
            Gradients of shape `(B, 3, H, W)`, differentiable with respect to the weights.
        """

        def total_score(image: Tensor) -> Tensor:
            score: Tensor = self(image, label, source_image).score.reshape(len(image), -1)
            return (score.sum(1) if reduction == "sum" else score.mean(1)).sum()

        image = image.detach()
        if torch.compiler.is_compiling():  # torch.compile refuses double backward through autograd.grad.
            gradient: Tensor = torch.func.grad(total_score)(image)
            return gradient
        image.requires_grad_()
        (gradient,) = torch.autograd.grad(total_score(image), image, create_graph=True)
        return gradient
