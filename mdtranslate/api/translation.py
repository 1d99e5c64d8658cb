"""A batch and the networks, as losses see them: everything is computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mdtranslate.api.batch import Batch
from mdtranslate.api.label_encoder import LabelEncoder
from mdtranslate.api.networks import Discriminator, DiscriminatorOutput, Generator, Reduction, checked_images
from mdtranslate.errors import PluginError, RecipeError
from mdtranslate.utils.random_streams import uniform

T = TypeVar("T")
NOISE_SIZE = 64
"""Length of the noise vector of style codes."""


class lazy_property(Generic[T]):
    """An attribute that is computed when it is first read.

    `functools.cached_property` holds a lock on Python 3.11, which `torch.compile` refuses.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance: Any, _: type | None = None) -> T:
        value = instance.__dict__[self.compute.__name__] = self.compute(instance)
        return value


class Translation:
    """One batch and the networks, for one update. Losses read it; nothing is computed that no loss asks for.

    In the discriminator's update `fake` carries no graph. If the generator is updated on the same batch, it reuses that
    `fake` (see `for_generator_update`): the generator has not changed in between, so one forward pass serves both.

    Attributes:
        real: Source images, `(B, 3, S, S)` in [-1, 1].
        source: Labels of `real`, `(B, L)`.
        target: Labels to translate to, `(B, L)`.
        truth: Ground truth of the translation, like `real`, where `data.targets=paired`; None otherwise.
        label_encoder: Converts labels to conditions, and back to attributes.
    """

    def __init__(
        self,
        batch: Batch,
        generator: Generator,
        discriminator: Discriminator,
        label_encoder: LabelEncoder,
        *,
        updated: Literal["discriminator", "generator"] = "discriminator",
        keep_graph: bool = False,
        precomputed: tuple[Tensor, Tensor | None] | None = None,
        autocast_dtype: torch.dtype | None = None,
        activation_checkpointing: bool = False,
    ) -> None:
        """Initialises a translation; plugins never do this themselves.

        Args:
            batch: The data.
            generator: The generator.
            discriminator: The discriminator.
            label_encoder: The label encoder.
            updated: The network whose update this is.
            keep_graph: Keep the graph of `fake` for the generator's update that follows.
            precomputed: `fake` and `style_code`, if they were computed before.
            autocast_dtype: Autocast dtype of forward passes, or None for no autocast. Losses always receive float32,
                and `input_gradient` never uses autocast.
            activation_checkpointing: Recompute activations of the generator in the backward pass to save memory.
        """
        self.batch = batch
        self.real, self.source, self.target = batch.real, batch.source, batch.target
        self.truth = batch.truth
        self.label_encoder = label_encoder
        self.loss_name = ""
        self._generator = generator
        self._discriminator = discriminator
        self._updated, self._keep_graph = updated, keep_graph
        self._autocast_dtype, self._activation_checkpointing = autocast_dtype, activation_checkpointing
        if precomputed is not None:
            self.fake, self.style_code = precomputed

    def random(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Returns random numbers from a stream of this loss and this name.

        A loss gets the same numbers in both updates of a batch, in any split into micro-batches and processes, and
        after a resume.

        Args:
            name: Name of the stream, chosen by the loss.
            shape: Shape of the numbers of one sample.

        Returns:
            Uniform numbers in [0, 1), float32 of shape `(B, *shape)`.
        """
        return uniform(self.batch.seeds, f"{self.loss_name}/{name}", shape)

    @lazy_property
    def noise(self) -> Tensor:
        """Standard normal noise for style codes, `(B, 64)`."""
        # Clamped, since the inverse normal distribution function of 0 is infinite.
        noise: Tensor = torch.special.ndtri(uniform(self.batch.seeds, "noise", (NOISE_SIZE,)).clamp(min=2**-25))
        return noise

    @lazy_property
    def real_sample(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the discriminator should take for real, as arguments of `discriminate` and `input_gradient`.

        `(real, source, None)`, or with paired data `(truth, target, real)`.
        """
        return (self.real, self.source, None) if self.truth is None else (self.truth, self.target, self.real)

    @lazy_property
    def fake(self) -> Tensor:
        """`real` translated to `target`, `(B, 3, S, S)` in [-1, 1]."""
        return self._generated if self._updated == "generator" else self._generated.detach()

    @lazy_property
    def style_code(self) -> Tensor | None:
        """The style code of `target`, `(B, ...)`, or None if the generator has no style codes."""
        return self._generator.style_code(self.target, self.noise)

    @lazy_property
    def reconstruction(self) -> Tensor:
        """`fake` translated back to `source`, `(B, 3, S, S)` in [-1, 1]."""
        return self.generate(self.fake, self.target, self.source)

    @lazy_property
    def real_output(self) -> DiscriminatorOutput:
        """The discriminator's output for `real_sample`."""
        if self._joint_output is not None:
            return self._joint_output[0]
        return self.discriminate(*self.real_sample)

    @lazy_property
    def fake_output(self) -> DiscriminatorOutput:
        """The discriminator's output for `fake`."""
        if self._joint_output is not None:
            return self._joint_output[1]
        return self.discriminate(self.fake, self.target, self.real)

    def generate(self, image: Tensor, source: Tensor, target: Tensor, style_code: Tensor | None = None) -> Tensor:
        """Runs the generator, for losses that need another translation, such as an identity `(real, source, source)`.

        Args:
            image: Images of shape `(B, 3, S, S)` in [-1, 1].
            source: Labels of the images, `(B, L)`.
            target: Labels to translate to, `(B, L)`.
            style_code: Style codes of the targets.

        Returns:
            Images of the same shape and range, float32.

        Raises:
            mdtranslate.errors.PluginError: The generator returned something else.
        """
        arguments = image, source, target, style_code
        with self._autocast():
            if self._activation_checkpointing and torch.is_grad_enabled():
                output = checkpoint(self._generator, *arguments, use_reentrant=False)
            else:
                output = self._generator(*arguments)
        fake = checked_images(output, image, self._generator)
        return fake if self._autocast_dtype is None else fake.float()

    def discriminate(self, image: Tensor, label: Tensor, source_image: Tensor | None = None) -> DiscriminatorOutput:
        """Runs the discriminator, for losses that need another input than `real_output` and `fake_output` have.

        Args:
            image: Images of shape `(B, 3, S, S)` in [-1, 1].
            label: Labels that the images should have, `(B, L)`.
            source_image: Images that they were translated from, for discriminators of pairs.

        Returns:
            Scores and logits, float32.

        Raises:
            mdtranslate.errors.PluginError: The discriminator returned something else.
        """
        with self._autocast():
            output: DiscriminatorOutput = self._discriminator(image, label, source_image)
        if not isinstance(output, DiscriminatorOutput):
            raise PluginError(
                f"discriminator {self._discriminator.name!r} returned {type(output).__name__}; "
                "expected DiscriminatorOutput(score, logits)"
            )
        if self._autocast_dtype is None:
            return output
        return DiscriminatorOutput(output.score.float(), None if output.logits is None else output.logits.float())

    def classification_loss(self, output: DiscriminatorOutput, label: Tensor) -> Tensor:
        """Computes the classification loss of a discriminator's logits, per sample.

        Args:
            output: Output of the discriminator, of which `logits` are used.
            label: True labels, `(B, L)`.

        Returns:
            Losses of shape `(B,)`.

        Raises:
            mdtranslate.errors.RecipeError: The discriminator returns no logits.
        """
        if output.logits is None:
            raise RecipeError("the discriminator returns no logits, so domains cannot be classified")
        return self.label_encoder.loss(output.logits.float(), label)

    def input_gradient(
        self, image: Tensor, label: Tensor, source_image: Tensor | None = None, *, reduction: Reduction = "mean"
    ) -> Tensor:
        """Computes the gradient of the discriminator's score with respect to its input, for R1 and gradient penalties.

        Always in float32 without autocast: in bfloat16 the parameter gradients of a penalty are 2 % off.

        Args:
            image: Images of shape `(B, 3, S, S)` in [-1, 1]; no gradient flows back through them.
            label: Labels for a conditional discriminator, `(B, L)`.
            source_image: Source images for discriminators of pairs.
            reduction: Whether the gradient is of the mean or of the sum over each image's score map.

        Returns:
            Gradients of shape `(B, 3, S, S)`, differentiable with respect to the discriminator's weights.
        """
        gradient: Tensor = self._discriminator.input_gradient(image.detach(), label, source_image, reduction=reduction)
        return gradient

    def for_generator_update(self) -> Translation:
        """Returns the same batch for the generator's update, with this `fake` if its graph was kept."""
        return Translation(
            self.batch,
            self._generator,
            self._discriminator,
            self.label_encoder,
            updated="generator",
            precomputed=(self._generated, self.style_code) if self._keep_graph else None,
            autocast_dtype=self._autocast_dtype,
            activation_checkpointing=self._activation_checkpointing,
        )

    def _autocast(self) -> AbstractContextManager[object]:
        # A new context for each pass: autocast caches weight copies until it ends, also those made without a graph.
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.real.device.type, self._autocast_dtype)

    @lazy_property
    def _joint_output(self) -> tuple[DiscriminatorOutput, DiscriminatorOutput] | None:
        """Outputs for real and fake images from one forward pass, if the discriminator allows it."""
        if self._updated == "generator" or not self._discriminator.is_batch_independent:
            return None
        real, label, source_image = self.real_sample
        source_image = None if source_image is None else torch.cat([source_image, source_image])
        score, logits = self.discriminate(torch.cat([real, self.fake]), torch.cat([label, self.target]), source_image)
        halves = zip(score.chunk(2), (None, None) if logits is None else logits.chunk(2), strict=True)
        real_output, fake_output = (DiscriminatorOutput(*half) for half in halves)
        return real_output, fake_output

    @lazy_property
    def _generated(self) -> Tensor:
        with torch.set_grad_enabled(self._keep_graph or self._updated == "generator"):
            return self.generate(self.real, self.source, self.target, self.style_code)
