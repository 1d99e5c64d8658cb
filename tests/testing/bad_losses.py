"""For each check of losses, one that breaks it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from bad_settings import break_common_checks, subclass_factory

from mdtranslate import Loss, Settings


class Good(Loss):
    """Real images should score high and fake ones low, and translations should be close to their source images."""

    name = "good"

    def discriminator(self, t):
        return {"real": -_mean(t.real_output.score), "fake": _mean(t.fake_output.score)}

    def generator(self, t):
        return (t.fake - t.real).square().mean((1, 2, 3)) - _mean(t.fake_output.score)


def _mean(score):
    return score.flatten(1).mean(1)


variant = subclass_factory(Good)


def generator(change):
    """Changes the generator's term."""
    return variant(generator=lambda self, t: change(self, t, Good.generator(self, t)))


class WithoutWeight(Settings):
    """Settings without a weight."""


class HiddenState(Good):
    """Keeps the last batch's mean in a tensor that is not a buffer, and has a buffer that never changes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("count", torch.zeros(()))
        self.last = torch.zeros(())

    def generator(self, t):
        term, last = super().generator(t), self.last
        self.last = term.detach().mean()
        return term + last


class ChangedByCopy(Good):
    """Copies have another factor."""

    factor = 1.0

    def __deepcopy__(self, memo):
        copy = type(self)(self.config, label_encoder=self.label_encoder, image_size=self.image_size)
        copy.factor = self.factor + 1
        return copy

    def generator(self, t):
        return super().generator(t) * self.factor


class RootAtZero(Good):
    """Total variation, whose root has no finite gradient at 0."""

    def generator(self, t):
        dx, dy = t.fake.diff(dim=3)[:, :, :-1], t.fake.diff(dim=2)[:, :, :, :-1]
        return (dx.square() + dy.square()).sqrt().mean((1, 2, 3))


class ConstantBuffer(Good):
    """Mixes samples, and has a buffer that never changes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("kernel", torch.ones(3))

    def generator(self, t):
        term = super().generator(t)
        return term - term.mean()


class WrongCall(Good):
    """Passes tensors to a torch function that do not fit."""

    def generator(self, t):
        return torch.nn.functional.cross_entropy(t.fake_output.score, t.target)


def _count_calls(self, t, term):
    self.calls = getattr(self, "calls", 0) + 1
    return term * self.calls


def _break_graph(self, t, term):
    torch._dynamo.graph_break()
    return term


def _modify_images(self, t, term):
    with torch.no_grad():
        t.real.mul_(0.5)
    return term


BAD = {
    **break_common_checks(Good, variant),
    "config_derives_from_loss_config": SimpleNamespace(cls=variant(Config=WithoutWeight), config=WithoutWeight()),
    "returns_terms": variant(discriminator=lambda self, t: None, generator=lambda self, t: None),
    "terms_are_per_sample": generator(lambda self, t, term: term.mean()),
    "terms_are_finite": generator(lambda self, t, term: term + t.real.mean((1, 2, 3)).abs().log()),
    "terms_have_gradients": generator(lambda self, t, term: term.detach()),
    "discriminator_terms_exclude_the_generator": variant(
        discriminator=lambda self, t: _mean(t.discriminate(t.generate(t.real, t.source, t.target), t.target).score)
    ),
    "samples_are_independent": generator(lambda self, t, term: term - term.mean()),
    "term_names_are_constant": generator(
        lambda self, t, term: {"usual": term, **({"rare": term} if len(term) > 2 else {})}
    ),
    "is_deterministic": generator(_count_calls),
    "state_is_in_buffers": HiddenState,
    "can_be_copied": ChangedByCopy,
    "does_not_modify_the_batch": generator(_modify_images),
    "draws_no_global_random_numbers": generator(lambda self, t, term: term + 1e-9 * torch.rand(len(term))),
    "requires_truth_is_correct": generator(lambda self, t, term: (t.fake - t.truth).abs().mean((1, 2, 3))),
    "weight_follows_the_setting": variant(weight=lambda self, step: 1.0),
    "compiles_to_one_graph": generator(_break_graph),
    "supports_any_labels": generator(
        lambda self, t, term: term + self.label_encoder.condition(t.target) @ torch.ones(3)
    ),
}
