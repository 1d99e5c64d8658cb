"""For each check of losses, one that breaks it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from bad_settings import COMMON, variants

from mdtranslate import Loss, Settings


class Good(Loss):
    """Real pictures are scored high and made ones low, and a translation is near the picture."""

    name = "good"

    def discriminator(self, t):
        return {"real": -_mean(t.verdict_on_real.score), "fake": _mean(t.verdict_on_fake.score)}

    def generator(self, t):
        return (t.fake - t.real).square().mean((1, 2, 3)) - _mean(t.verdict_on_fake.score)


def _mean(score):
    return score.flatten(1).mean(1)


variant = variants(Good)


def generator(change):
    """Good, with what it says to the generator changed."""
    return variant(generator=lambda self, t: change(self, t, Good.generator(self, t)))


class WeightOfItsOwn(Settings):
    """Settings without a weight."""


def _kept(self, t, term):
    self.sum = getattr(self, "sum", 0) + 1
    return term * self.sum


class Hidden(Good):
    """Remembers the last batch's mean in a tensor that is no buffer, and begins with a buffer to be let off."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.register_buffer("count", torch.zeros(()))
        self.last = torch.zeros(())

    def generator(self, t):
        term, before = super().generator(t), self.last
        self.last = term.detach().mean()
        return term + before


class Tied(Good):
    """Copies are other ones."""

    factor = 1.0

    def __deepcopy__(self, memo):
        made = type(self)(self.config, encoder=self.encoder, image_size=self.image_size)
        made.factor = self.factor + 1
        return made

    def generator(self, t):
        return super().generator(t) * self.factor


def _broken(self, t, term):
    torch._dynamo.graph_break()
    return term


def _changed(self, t, term):
    with torch.no_grad():
        t.real.mul_(0.5)
    return term


class RoughAtZero(Good):
    """Total variation, whose root has no slope at 0."""

    def generator(self, t):
        across, down = t.fake.diff(dim=3)[:, :, :-1], t.fake.diff(dim=2)[:, :, :, :-1]
        return (across.square() + down.square()).sqrt().mean((1, 2, 3))


class ConstantBuffer(Good):
    """Mixes pictures, and has a buffer that never changes."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.register_buffer("kernel", torch.ones(3))

    def generator(self, t):
        term = super().generator(t)
        return term - term.mean()


class WrongCall(Good):
    """Compares scores with nothing that they could be compared with."""

    def generator(self, t):
        return torch.nn.functional.cross_entropy(t.verdict_on_fake.score, t.target)


BAD = {
    **{name: SimpleNamespace(cls=cls, config=config) for name, (cls, config) in COMMON(Good, variant).items()},
    "config_extends_that_of_losses": SimpleNamespace(cls=variant(Config=WeightOfItsOwn), config=WeightOfItsOwn()),
    "has_something_to_say": variant(discriminator=lambda self, t: None, generator=lambda self, t: None),
    "terms_are_one_a_picture": generator(lambda self, t, term: term.mean()),
    "terms_are_finite": generator(lambda self, t, term: term + t.real.mean((1, 2, 3)).abs().log()),
    "terms_teach": generator(lambda self, t, term: term.detach()),
    "the_discriminator_does_not_teach_the_generator": variant(
        discriminator=lambda self, t: _mean(t.judge(t.generate(t.real, t.source, t.target), t.target).score)
    ),
    "terms_do_not_mix_pictures": generator(lambda self, t, term: term - term.mean()),
    "terms_are_always_the_same_ones": generator(
        lambda self, t, term: {"usual": term, **({"rare": term} if len(term) > 2 else {})}
    ),
    "is_the_same_twice": generator(_kept),
    "what_it_keeps_is_in_its_state": Hidden,
    "can_be_copied": Tied,
    "leaves_the_batch": generator(_changed),
    "draws_nothing_itself": generator(lambda self, t, term: term + 1e-9 * torch.rand(len(term))),
    "needs_truth_only_where_it_says_so": generator(lambda self, t, term: (t.fake - t.truth).abs().mean((1, 2, 3))),
    "weight_follows_its_setting": variant(weight=lambda self, step: 1.0),
    "can_be_one_graph": generator(_broken),
    "takes_any_labels": generator(lambda self, t, term: term + self.encoder.condition(t.target) @ torch.ones(3)),
}
