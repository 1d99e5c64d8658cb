"""One batch on its way from source to target: what losses look at."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mdtranslate.api.label_encoder import LabelEncoder
from mdtranslate.api.networks import Discriminator, Generator, Verdict, as_pictures
from mdtranslate.errors import PluginError, RecipeError
from mdtranslate.utils.random_streams import uniform

T = TypeVar("T")
NOISE = 64  # Numbers of a style code's noise.


@dataclass(frozen=True)
class Batch:
    """What one step is given, a pure function of (seed, step), on the device.

    `real`: images [B, 3, S, S] in [-1, 1]. `source`, `target`: labels [B, L]. `seeds`: int64 [B], from which a
    translation draws all that varies by image. `truth`: the true images after the translation, like `real`, where
    images come in pairs (`data.targets=paired`).
    """

    real: Tensor
    source: Tensor
    target: Tensor
    seeds: Tensor
    truth: Tensor | None = None

    def cut(self, count: int) -> list[Batch]:
        """The same in `count` parts of equal size."""
        if count == 1:
            return [self]
        size = len(self.real) // count
        parts = [slice(start, start + size) for start in range(0, size * count, size)]
        values = (self.real, self.source, self.target, self.seeds, self.truth)
        return [Batch(*(None if each is None else each[part] for each in values)) for part in parts]  # type: ignore[arg-type]


class lazy(Generic[T]):
    """An attribute that is computed when it is first read.

    `functools.cached_property` holds a lock on Python 3.11, which `torch.compile` refuses.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, owner: Any, _: type | None = None) -> T:
        value = owner.__dict__[self.compute.__name__] = self.compute(owner)
        return value


class Translation:
    """One batch and the networks, for one update. Everything is computed when a loss first asks, once.

    In the discriminator's update `fake` has no graph. Where the generator's update follows on the same batch, it takes
    over that `fake` (`then_generator`): the generator has not changed in between, so one forward pass serves both.
    Without its graph the generator's update makes `fake` anew.
    """

    def __init__(
        self,
        batch: Batch,
        generator: Generator,
        discriminator: Discriminator,
        encoder: LabelEncoder,
        *,
        learns: Literal["discriminator", "generator"] = "discriminator",
        carry_graph: bool = False,
        made: tuple[Tensor, Tensor | None] | None = None,
        lower: torch.dtype | None = None,
        thrifty: bool = False,
    ) -> None:
        """`learns`: whose update it is; `carry_graph`: the generator's follows, so keep the graph of `fake` for it.

        `made`: `fake` and `code`, where they are there already. `thrifty`: keeps no inner values of a pass of the
        generator, and computes them anew on the way back. `lower`: the type that passes of the networks compute in
        where that loses little (autocast); what losses get is float32 all the same, and so is everything about
        `input_gradient`. None: that of the weights.
        """
        self.batch = batch
        self.real, self.source, self.target = batch.real, batch.source, batch.target
        self.truth = batch.truth
        self.encoder = encoder
        self.loss_name = ""
        self._generator = generator
        self._discriminator = discriminator
        self._learns, self._carry_graph, self._lower, self._thrifty = learns, carry_graph, lower, thrifty
        if made is not None:
            self.fake, self.code = made

    def random(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Random numbers for the loss that asks: a stream of its own for each loss and each name.

        The same loss gets the same numbers of a name in both updates of a batch, however the batch is divided into
        micro-batches and among processes, and in a run that was resumed.

        Args:
            name: Of the stream, chosen by the loss.
            shape: Of the numbers for one image.

        Returns:
            Uniform numbers in [0, 1), float32 [B, *shape].
        """
        return uniform(self.batch.seeds, f"{self.loss_name}/{name}", shape)

    @lazy
    def uniform(self) -> Tensor:
        """A number in [0, 1) for each image, [B], the same for all losses; `random` gives a loss numbers of its own."""
        return uniform(self.batch.seeds, "uniform")

    @lazy
    def noise(self) -> Tensor:
        """Normal noise, [B, 64]: for style codes."""
        noise: Tensor = torch.special.ndtri(uniform(self.batch.seeds, "noise", (NOISE,)).clamp(min=2**-25))
        return noise

    @lazy
    def real_sample(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the discriminator is to take for real: images, their labels, and the images that they were made from.

        `real` with its source label; of pairs `truth` with the target label, as made from `real`. These are the
        arguments of `judge` and `input_gradient`.
        """
        return (self.real, self.source, None) if self.truth is None else (self.truth, self.target, self.real)

    @lazy
    def fake(self) -> Tensor:
        """`real` translated to `target`, [B, 3, S, S]."""
        return self._made if self._learns == "generator" else self._made.detach()

    @lazy
    def code(self) -> Tensor | None:
        """The style code of `target`, for generators that have codes."""
        return self._generator.code(self.target, self.noise)

    @lazy
    def reconstruction(self) -> Tensor:
        """`fake` translated back to `source`."""
        return self.generate(self.fake, self.target, self.source)

    @lazy
    def verdict_on_real(self) -> Verdict:
        """The discriminator on real pictures: on `real`; of pairs, on `truth` as made from `real`."""
        if self._both is not None:
            return self._both[0]
        return self.judge(*self.real_sample)

    @lazy
    def verdict_on_fake(self) -> Verdict:
        """The discriminator on `fake`."""
        if self._both is not None:
            return self._both[1]
        return self.judge(self.fake, self.target, self.real)

    def generate(self, image: Tensor, source: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        """A pass of the generator that only the asking loss needs, such as an identity `(real, source, source)`."""
        given = image, source, target, code
        with self._lowered():
            thrifty = self._thrifty and torch.is_grad_enabled()
            made = checkpoint(self._generator, *given, use_reentrant=False) if thrifty else self._generator(*given)
        out = as_pictures(made, image, self._generator)
        return out if self._lower is None else out.float()

    def judge(self, image: Tensor, label: Tensor, made_from: Tensor | None = None) -> Verdict:
        """A pass of the discriminator that only the asking loss needs."""
        with self._lowered():
            verdict: Verdict = self._discriminator(image, label, made_from)
        if not isinstance(verdict, Verdict):
            raise PluginError(f"discriminator {self._discriminator.name!r} returned no Verdict(score, logits)")
        if self._lower is None:
            return verdict
        return Verdict(verdict.score.float(), None if verdict.logits is None else verdict.logits.float())

    def classification(self, verdict: Verdict, label: Tensor) -> Tensor:
        """How badly the verdict's logits fit `label`: [B]."""
        if verdict.logits is None:
            raise RecipeError("the discriminator gives no logits, so domains cannot be classified")
        return self.encoder.loss(verdict.logits.float(), label)

    def input_gradient(
        self, image: Tensor, label: Tensor, made_from: Tensor | None = None, *, total: bool = False
    ) -> Tensor:
        """The gradient of the discriminator's score by its input, for penalties: R1, WGAN-GP.

        Always of float32, without autocast: in bfloat16 a penalty's gradients are 2 % off.

        Args:
            image: [B, 3, S, S] in [-1, 1]; no gradient goes through it.
            label: [B, L], what a conditional discriminator takes the image for.
            made_from: [B, 3, S, S], for discriminators of pairs.
            total: Of the sum over an image's score map, not of its mean.

        Returns:
            [B, 3, S, S], itself differentiable by the discriminator's weights.
        """
        gradient: Tensor = self._discriminator.slope(image.detach(), label, made_from, total=total)
        return gradient

    def score_gradient(self, image: Tensor, *, total: bool = False) -> Tensor:
        """`input_gradient` of images that have the target label and were made from `real`."""
        return self.input_gradient(image, self.target, self.real, total=total)

    def then_generator(self) -> Translation:
        """The same batch for the generator's update, with the `fake` of this one."""
        networks = self._generator, self._discriminator, self.encoder
        made = (self._made, self.code) if self._carry_graph else None
        return Translation(
            self.batch, *networks, learns="generator", made=made, lower=self._lower, thrifty=self._thrifty
        )

    def _lowered(self) -> AbstractContextManager[object]:
        # One for each pass: autocast keeps its copies of weights until it ends, also those made without a graph.
        return nullcontext() if self._lower is None else torch.autocast(self.real.device.type, self._lower)

    @lazy
    def _both(self) -> tuple[Verdict, Verdict] | None:
        """The verdicts on real and on made pictures by one pass, where both are wanted and neither sees the other."""
        if self._learns == "generator" or not self._discriminator.alone:
            return None
        real, label, made_from = self.real_sample
        made_from = None if made_from is None else torch.cat([made_from, made_from])
        score, logits = self.judge(torch.cat([real, self.fake]), torch.cat([label, self.target]), made_from)
        halves = zip(score.chunk(2), (None, None) if logits is None else logits.chunk(2), strict=True)
        first, second = (Verdict(*half) for half in halves)
        return first, second

    @lazy
    def _made(self) -> Tensor:
        with torch.set_grad_enabled(self._carry_graph or self._learns == "generator"):
            return self.generate(self.real, self.source, self.target, self.code)
