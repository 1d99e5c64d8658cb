"""For each check of generators and of discriminators, one that breaks it."""

from __future__ import annotations

import random
from types import SimpleNamespace

import torch
from bad_settings import COMMON, variants
from torch import nn
from torch.nn import functional as F

from mdtranslate import Verdict
from mdtranslate.testing.sample_components import Critic, Painter


class GoodPainter(Painter):
    """A generator that keeps the contract."""

    name = "good-painter"


class GoodCritic(Critic):
    """A discriminator that keeps the contract."""

    name = "good-critic"


painter, critic = variants(GoodPainter), variants(GoodCritic)


def painting(change, **more):
    """With what it paints changed."""

    def forward(self, image, source, target, code=None):
        return change(self, image, target, GoodPainter.forward(self, image, source, target, code))

    return painter(forward=forward, **more)


def judging(change, **more):
    def forward(self, image, label, made_from=None):
        return change(self, image, label, GoodCritic.forward(self, image, label, made_from))

    return critic(forward=forward, **more)


def built(make, good, change):
    """With more done when it is made."""

    def __init__(self, *given, **more):
        good.__init__(self, *given, **more)
        change(self)

    return make(__init__=__init__)


def both(make, good, change):
    """What breaks the checks of either kind. `change(f)`: what comes out, changed by `f(self, out)`."""
    return {
        "first_weights_are_seeded": built(
            make, good, lambda self: nn.init.normal_(self.first.weight, generator=ENTROPY)
        ),
        "pictures_do_not_mix": change(lambda self, out: out - out.mean(0) * 0.5),
        "is_the_same_twice": change(lambda self, out: out * (1 - 1e-3 * random.random())),
        "trained_it_draws_nothing": change(lambda self, out: out + 0 * torch.rand(())),
        "runs_in_bf16": change(lambda self, out: out / 0 if torch.is_autocast_enabled("cpu") else out),
        "can_be_one_graph": change(lambda self, out: out * _breaks()),
    }


ENTROPY = torch.Generator()
ENTROPY.seed()


def _unseeded(self):
    nn.init.normal_(self.first.weight, generator=ENTROPY)


def _breaks():
    torch._dynamo.graph_break()
    return 1.0


def _on_picture(f):
    return painting(lambda self, image, target, made: f(self, made))


def _on_verdict(f):
    return judging(lambda self, image, label, verdict: Verdict(f(self, verdict.score), f(self, verdict.logits)))


def _plain(good):
    """Multiplies by a tensor that is in no state."""

    class Plain(good):
        """Multiplies by a tensor that is in no state."""

        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            self.plain = torch.rand(())

        def forward(self, *given):
            out = super().forward(*given)
            return out * self.plain if isinstance(out, torch.Tensor) else Verdict(out.score * self.plain, out.logits)

    return Plain


def _tied(good):
    """A copy looks at the weights of the one that it was copied from."""

    class Tied(good):
        """A copy looks at the weights of the one that it was copied from."""

        def __deepcopy__(self, memo):
            made = type(self)(self.config, encoder=self.encoder, image_size=self.image_size)
            made.first = self.first
            return made

    return Tied


def _strided(good):
    """Reads pictures as they lie in memory."""

    class Strided(good):
        """Reads pictures as they lie in memory."""

        def forward(self, image, *given):
            lies = torch.as_strided(image, (len(image), image[0].numel()), (image[0].numel(), 1))
            return super().forward(lies.reshape(image.shape), *given)

    return Strided


def _changing(good):
    class Changing(good):
        """Changes the pictures that it is shown."""

        def forward(self, image, *given):
            with torch.no_grad():
                image.mul_(0.5)
            return super().forward(image, *given)

    return Changing


def _wordless(good):
    class Wordless(good):
        """Says nothing of why it cannot be made."""

        def __init__(self, config, *, encoder, image_size):
            if image_size == 100:
                raise ValueError
            super().__init__(config, encoder=encoder, image_size=image_size)

    return Wordless


def _one_dataset(good):
    class OneDataset(good):
        """Knows how many channels the paper's labels have."""

        def __init__(self, config, *, encoder, image_size):
            super().__init__(config, encoder=encoder, image_size=image_size)
            self.known = encoder.size

        def forward(self, image, source, target=None, *given):
            condition = self.encoder.condition(source)
            F.linear(condition, torch.ones(1, 3))
            return super().forward(image, source, target, *given)

    return OneDataset


def shared(good, make, change):
    return {
        **{name: SimpleNamespace(cls=cls, config=config) for name, (cls, config) in COMMON(good, make).items()},
        **both(make, good, change),
        "weights_can_be_saved": _plain(good),
        "can_be_copied": _tied(good),
        "takes_channels_last": _strided(good),
        "leaves_its_input": _changing(good),
        "other_sizes_are_refused_in_words": _wordless(good),
        "takes_any_labels": _one_dataset(good),
    }


class BeginsAtNothing(GoodPainter):
    """Statistics of the batch, behind a last layer that is 0 at first."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.norm = nn.BatchNorm2d(3)
        nn.init.zeros_(self.norm.weight)

    def forward(self, image, source, target, code=None):
        painted = super().forward(image, source, target, code)
        mixed = self.norm(painted) + self.norm.weight[:, None, None] * painted.mean(0)
        return (image + mixed).clamp(-1, 1)


class FailsAtWork(GoodPainter):
    """It is built for any size, and works at some."""

    def forward(self, image, source, target, code=None):
        halved = F.avg_pool2d(image, 8)
        return super().forward(image, source, target) * 0.9 + 0.1 * F.interpolate(halved, scale_factor=8)


class TakesNoCode(GoodPainter):
    """It has codes, and cannot be given one."""

    def code(self, target, noise):
        return noise[:, :2]

    def forward(self, image, source, target, code=None):
        assert code is None, "what is that?"
        return super().forward(image, source, target)


class Dropping(GoodCritic):
    """It leaves some of what it sees out while it trains, and judges each picture alone."""

    stochastic = True

    def forward(self, image, label, made_from=None):
        return super().forward(F.dropout2d(image, 0.5, self.training), label)


def _unused(self):
    self.spare = nn.Linear(2, 2)


GENERATORS = {
    **shared(GoodPainter, painter, _on_picture),
    "trains_as_it_works": _on_picture(lambda self, out: out if self.training else out * 0.5),
    "gives_pictures": painting(lambda self, image, target, made: made * 3),
    "takes_other_sizes": painting(lambda self, image, target, made: made[..., :32, :32]),
    "multiple_is_a_count": painter(multiple=0),
    "says_what_it_reads": painter(reads="some"),
    "heeds_the_target": painting(
        # What is the same everywhere in a channel, normalisation takes away: but for rounding, nothing is heard of it.
        lambda self, image, target, made: self.last(
            F.instance_norm(self.first(image) + self.shift(self.encoder.condition(target))[:, :, None, None])
        ).tanh()
    ),
    "heeds_no_target_where_it_says_so": painter(conditional=False),
    "heeds_the_picture": painting(lambda self, image, target, made: made[:1].expand_as(made)),
    "gradients_reach_each_parameter": built(painter, GoodPainter, _unused),
    "gradients_reach_the_picture": painting(
        lambda self, image, target, made: GoodPainter.forward(self, image.detach(), target, target)
    ),
    "can_be_exported": painting(lambda self, image, target, made: made if float(made.max()) > -2 else image),
    "codes_are_of_the_target_and_the_noise": painter(code=lambda self, target, noise: torch.rand(len(target), 2)),
    "counts_its_networks": painter(count=classmethod(lambda cls, config, encoder: 0)),
}
DISCRIMINATORS = {
    **shared(GoodCritic, critic, _on_verdict),
    "gives_verdicts": judging(lambda self, image, label, verdict: tuple(verdict)),
    "heeds_the_picture": judging(lambda self, image, label, verdict: Verdict(verdict.score * 0, verdict.logits * 0)),
    "alone_means_alone": judging(
        lambda self, image, label, verdict: Verdict(verdict.score - verdict.score.mean(0) * 0.5, verdict.logits)
    ),
    "gradients_reach_each_parameter": built(critic, GoodCritic, _unused),
    "gradients_reach_the_picture": judging(
        lambda self, image, label, verdict: GoodCritic.forward(self, image.detach(), label)
    ),
    "slopes_are_those_of_autograd": critic(
        slope=lambda self, image, label, made_from=None, *, total=False: GoodCritic.slope(self, image, label) * 2
    ),
    "penalties_teach_the_weights": critic(
        slope=lambda self, image, label, made_from=None, *, total=False: GoodCritic.slope(self, image, label).detach()
    ),
    "needs_truth_only_where_it_says_so": critic(
        forward=lambda self, image, label, made_from=None: GoodCritic.forward(self, image - made_from, label)
    ),
    "takes_what_a_picture_was_made_from": critic(
        forward=lambda self, image, label: GoodCritic.forward(self, image, label)
    ),
}
