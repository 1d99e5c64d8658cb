"""StarGAN's parts against the paper and against formulas written out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from mdtranslate_stargan.losses import CycleReconstruction, DomainClassification, WassersteinGP
from mdtranslate_stargan.mask_vector import MaskVector
from mdtranslate_stargan.networks import InstanceNorm, StarGANDiscriminator, StarGANGenerator
from torch import Tensor
from torch.nn import functional as F

from mdtranslate import Attribute, Ramp, Translation, Value
from mdtranslate.engine import Trainer
from mdtranslate.model import Model
from mdtranslate.recipes import resolve
from mdtranslate.translation import Batch

HAIR = Attribute("hair", ("Black_Hair", "Blond_Hair", "Brown_Hair"), optional=True)
MOOD = Attribute("mood", ("happy", "sad"))
MALE, YOUNG = Attribute("Male"), Attribute("Young")
FIVE = {"celeba": [Attribute(name) for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")]}
ONE = {"faces": [HAIR, MALE, MOOD]}
TWO = {"faces": [HAIR, MALE], "moods": [MOOD, YOUNG]}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def encoder(attributes: Mapping[str, Sequence[Attribute]], exclusive: str = "softmax") -> MaskVector:
    return MaskVector(MaskVector.Config(exclusive=exclusive), attributes=attributes)


def pictures(attributes: Mapping[str, Sequence[Attribute]]) -> list[tuple[dict[str, Value], int]]:
    """Everything that can be known of a picture, unknown included, for every dataset."""
    found = []
    for number, own in enumerate(attributes.values()):
        for values in product(*([*each.allowed, ...] for each in own)):
            known = {each.name: value for each, value in zip(own, values, strict=True) if value is not ...}
            found.append((known, number))
    return found


# The encoder.


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_decode_inverts_encode(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    everything = pictures(attributes)
    labels = torch.stack([mask.encode(*each) for each in everything])
    assert labels.dtype == torch.float32
    assert [mask.decode(label) for label in labels] == [known for known, _ in everything]
    assert mask.dataset(labels).tolist() == [number for _, number in everything]
    assert len(labels.unique(dim=0)) == len(everything), "yes, no, none and unknown are four things"


def test_encode_refuses_what_a_dataset_does_not_label() -> None:
    mask = encoder(TWO)
    for wrong, number in [({"Young": True}, 0), ({"hair": "Red"}, 0), ({"mood": None}, 1), ({"Male": "yes"}, 0)]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            mask.encode(wrong, number)  # type: ignore[arg-type]


def test_the_papers_layout() -> None:
    moods = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    both = encoder({**FIVE, "rafd": [Attribute("expression", moods)]})
    assert (both.size, both.classes) == (15, 13)
    names = [each.name for each in FIVE["celeba"]]
    assert list(both.layout) == [
        *(f"celeba.{name}" for name in names),
        *(f"rafd.expression={mood}" for mood in moods),
        "celeba?",
        "rafd?",
    ]
    # Section 3.2: [c1, c2, m], zeros where the labels are the other dataset's.
    first = both.condition(both.encode({"Blond_Hair": True, "Black_Hair": False, "Young": True}, 0)[None])
    assert first.tolist() == [[0, 1, 0, 0, 1, *[0] * 8, 1, 0]]
    second = both.condition(both.encode({"expression": "happy"}, 1)[None])
    assert second.tolist() == [[*[0] * 5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]
    # Appendix, table 4: the first convolution sees the picture and the whole condition.
    generator = StarGANGenerator(StarGANGenerator.Config(channels=4, blocks=0), encoder=both, image_size=32)
    assert next(each for each in generator.modules() if isinstance(each, torch.nn.Conv2d)).in_channels == 18
    single = encoder(FIVE)
    assert (single.size, single.classes, list(single.layout)) == (5, 5, names), "one dataset: no mask"


def test_conditions_of_exclusive_attributes() -> None:
    mask = encoder(ONE)
    assert list(mask.layout) == [*(f"hair={value}" for value in HAIR.values), "Male", "mood=happy", "mood=sad"]

    def condition(**known: Value) -> list[float]:
        found: list[float] = mask.condition(mask.encode(known, 0)[None])[0].tolist()
        return found

    assert condition(hair="Blond_Hair", Male=True, mood="sad") == [0, 1, 0, 1, 0, 1]
    assert condition(hair=None, Male=False, mood="happy") == [0, 0, 0, 0, 1, 0]
    assert condition() == [0] * 6


@pytest.mark.parametrize("exclusive", ["softmax", "binary"])
@pytest.mark.parametrize("attributes", [ONE, TWO], ids=["one", "two"])
def test_the_loss_by_hand(attributes: Mapping[str, Sequence[Attribute]], exclusive: str) -> None:
    mask = encoder(attributes, exclusive)
    everything = pictures(attributes)
    labels = torch.stack([mask.encode(*each) for each in everything])
    logits = torch.randn(len(labels), mask.classes, requires_grad=True)
    columns = {name.split(".")[-1]: place for place, name in enumerate(mask.layout[: mask.classes])}
    expected = []
    for row, (known, number) in zip(logits, everything, strict=True):
        total = torch.zeros(())
        for attribute in attributes[list(attributes)[number]]:
            if attribute.name not in known:
                continue
            value = known[attribute.name]
            if not attribute.values:
                total = total + F.softplus(-row[columns[attribute.name]] if value else row[columns[attribute.name]])
                continue
            own = {each: row[columns[f"{attribute.name}={each}"]] for each in attribute.values}
            if exclusive == "binary":
                total = total + sum(F.softplus(-logit if each == value else logit) for each, logit in own.items())
            else:
                scores = {**own, **({None: torch.zeros(())} if attribute.optional else {})}
                total = total - scores[value] + torch.stack(list(scores.values())).logsumexp(0)  # type: ignore[index]
        expected.append(total)
    found = mask.loss(logits, labels)
    torch.testing.assert_close(found, torch.stack(expected))
    unknown = torch.tensor([not known for known, _ in everything])
    assert unknown.any() and (found[unknown] == 0).all() and (found[~unknown] > 0).all()
    (slope,) = torch.autograd.grad(found.sum(), logits)
    assert (slope[unknown] == 0).all() and slope.isfinite().all()


@pytest.mark.parametrize("attributes", [ONE, TWO], ids=["one", "two"])
def test_infer_fills_only_what_is_unknown(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    everything = pictures(attributes)
    labels = torch.stack([mask.encode(*each) for each in everything])
    # Logits that speak for one picture of the dataset; of "no" and "none of these" by speaking against all else.
    for truth, number in everything:
        if len(truth) < len(attributes[list(attributes)[number]]):
            continue
        logits = (20 * mask.condition(mask.encode(truth, number)[None])[:, : mask.classes] - 10).expand(len(labels), -1)
        filled = mask.infer(logits, labels)
        assert (mask.dataset(filled) == mask.dataset(labels)).all()
        for (known, own), label in zip(everything, filled, strict=True):
            found = mask.decode(label)
            assert {name: found[name] for name in known} == known
            if own == number:
                assert found == {**truth, **known}
            else:
                assert len(found) == len(attributes[list(attributes)[own]])


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_edits_make_another_domain(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    for known, number in pictures(attributes):
        edits = mask.edits(known, number)
        assert edits and len({tuple(each.items()) for each in edits}) == len(edits)
        before = mask.encode(known, number)
        for edit in edits:
            ((name, value),) = edit.items()
            assert known.get(name, ...) != value
            assert not torch.equal(mask.encode({**known, **edit}, number), before)
        for attribute in attributes[list(attributes)[number]]:
            offered = {edit[attribute.name] for edit in edits if attribute.name in edit}
            assert offered == {*attribute.allowed} - {None} - {known.get(attribute.name, ...)}


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_domains_are_numbered_as_they_stand(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    assert mask.domain(mask.domains).tolist() == list(range(len(mask.domains)))
    complete = [
        mask.encode(*each) for each in pictures(attributes) if len(each[0]) == len([*attributes.values()][each[1]])
    ]
    assert {tuple(row.tolist()) for row in mask.domains} == {tuple(row.tolist()) for row in complete}
    partial = [
        mask.encode(*each) for each in pictures(attributes) if len(each[0]) < len([*attributes.values()][each[1]])
    ]
    assert set(mask.domain(torch.stack(partial)).tolist()) == {-1}


def test_too_many_domains() -> None:
    with pytest.raises(ValueError, match="more than 4096"):
        _ = encoder({"many": [Attribute(str(number)) for number in range(13)]}).domains


# The networks.


def test_the_papers_networks() -> None:
    mask = encoder(FIVE)

    def count(network: torch.nn.Module) -> int:
        return sum(each.numel() for each in network.parameters())

    with torch.device("meta"):
        generator = StarGANGenerator(StarGANGenerator.Config(), encoder=mask, image_size=128)
        discriminator = StarGANDiscriminator(StarGANDiscriminator.Config(), encoder=mask, image_size=128)
    assert count(generator) == 8_430_528
    assert count(discriminator) == 44_762_048


def small(
    attributes: Mapping[str, Sequence[Attribute]] = ONE, condition: str = "planes"
) -> tuple[MaskVector, StarGANGenerator, StarGANDiscriminator]:
    mask = encoder(attributes)
    generator = StarGANGenerator(
        StarGANGenerator.Config(channels=4, blocks=1, condition=condition), encoder=mask, image_size=16
    )
    discriminator = StarGANDiscriminator(StarGANDiscriminator.Config(channels=4, layers=2), encoder=mask, image_size=16)
    return mask, generator, discriminator


def batch(mask: MaskVector, count: int = 3) -> Batch:
    everything = [each for each in pictures(dict(zip(mask.datasets, mask.attributes, strict=True))) if each[0]]
    source = torch.stack([mask.encode(*everything[place]) for place in range(-count, 0)])
    return Batch(
        torch.rand(count, 3, 16, 16) * 2 - 1, source, source.roll(1, 0), torch.randn(count, 64), torch.rand(count)
    )


def test_shapes_and_range() -> None:
    mask, generator, discriminator = small()
    given = batch(mask)
    fake = generator(given.real, given.source, given.target)
    assert fake.shape == given.real.shape and fake.abs().max() <= 1
    verdict = discriminator(given.real, given.source)
    assert verdict.score.shape == (3, 1, 4, 4) and verdict.logits.shape == (3, mask.classes)
    with pytest.raises(ValueError, match="multiple of 32"):
        StarGANDiscriminator(StarGANDiscriminator.Config(channels=4, layers=5), encoder=mask, image_size=48)


@pytest.mark.parametrize("condition", ["planes", "norms"])
def test_the_generator_heeds_the_target_and_nothing_else(condition: str) -> None:
    mask, generator, _ = small(condition=condition)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    targets = mask.domains
    out = generator(image.expand(len(targets), -1, -1, -1), targets, targets)
    for one in range(len(targets)):
        for other in range(one):
            assert (out[one] - out[other]).abs().max() > 1e-3
    torch.testing.assert_close(
        generator(image, targets[:1], targets[1:2]), generator(image, targets[5:6], targets[1:2])
    )


@pytest.mark.parametrize("condition", ["planes", "norms"])
def test_instance_statistics_always(condition: str) -> None:
    mask, generator, _ = small(condition=condition)
    given = batch(mask, 2)
    with torch.no_grad():
        for each in generator.parameters():
            each.add_(torch.randn_like(each) * 0.1)
        trained = generator.train()(given.real, given.source, given.target)
        used = generator.eval()(given.real, given.source, given.target)
        alone = torch.cat(
            [
                generator(*(part[place : place + 1] for part in (given.real, given.source, given.target)))
                for place in (0, 1)
            ]
        )
    assert torch.equal(trained, used)
    torch.testing.assert_close(alone, used, rtol=1e-4, atol=1e-5)
    assert not list(generator.buffers())


def test_instance_norm_is_instance_norm() -> None:
    norm = InstanceNorm(5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 5, 6, 7) * 3 + 1
    expected = F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5)
    torch.testing.assert_close(norm(x, torch.zeros(3, 2)), expected)


# The losses.


def setting() -> tuple[Batch, StarGANGenerator, StarGANDiscriminator, Translation]:
    mask, generator, discriminator = small()
    given = batch(mask)
    return given, generator, discriminator, Translation(given, generator, discriminator, mask)


def loss(kind: Any, **settings: Any) -> Any:
    return kind(kind.Config(**settings), encoder=encoder(ONE), image_size=16)


@pytest.mark.parametrize("penalised", ["mean", "sum"])
def test_wgan_gp_by_hand(penalised: str) -> None:
    given, generator, discriminator, t = setting()
    terms = loss(WassersteinGP, gradient_penalty=7, penalised=penalised).discriminator(t)
    fake = generator(given.real, given.source, given.target).detach()

    def score(image: Tensor) -> Tensor:
        return discriminator(image, given.target).score.flatten(1)

    torch.testing.assert_close(terms["distance"], score(fake).mean(1) - score(given.real).mean(1))

    # As the paper's own code has it: mixed in proportions of its own per picture, the norm held to 1.
    alpha = given.uniform.view(-1, 1, 1, 1)
    mixed = (alpha * given.real + (1 - alpha) * fake).requires_grad_(True)
    out = score(mixed).mean(1) if penalised == "mean" else score(mixed)
    (slope,) = torch.autograd.grad(out, mixed, torch.ones_like(out), create_graph=True, retain_graph=True)
    penalty = 7 * (slope.reshape(3, -1).pow(2).sum(1).sqrt() - 1) ** 2
    torch.testing.assert_close(terms["penalty"], penalty)

    weights = list(discriminator.parameters())
    ours = torch.autograd.grad(terms["penalty"].mean(), weights, allow_unused=True)
    theirs = torch.autograd.grad(penalty.mean(), weights, allow_unused=True)
    assert sum(each is not None and bool(each.abs().max() > 1e-6) for each in theirs) >= 3
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)
    assert all(each.grad is None for each in generator.parameters())


def test_wgan_gp_of_the_generator_and_without_penalty() -> None:
    given, generator, discriminator, t = setting()
    found = loss(WassersteinGP).generator(t.then_generator())
    fake = generator(given.real, given.source, given.target)
    torch.testing.assert_close(found, -discriminator(fake, given.target).score.mean((1, 2, 3)))
    assert set(loss(WassersteinGP, gradient_penalty=0).discriminator(t)) == {"distance"}


def test_domain_classification_by_hand() -> None:
    given, generator, discriminator, t = setting()
    mask = t.encoder
    term = loss(DomainClassification)
    torch.testing.assert_close(
        term.discriminator(t), mask.loss(discriminator(given.real, given.source).logits, given.source)
    )
    fake = generator(given.real, given.source, given.target)
    torch.testing.assert_close(term.generator(t), mask.loss(discriminator(fake, given.target).logits, given.target))


def test_cycle_reconstruction_by_hand() -> None:
    given, generator, _, t = setting()
    back = generator(generator(given.real, given.source, given.target), given.target, given.source)
    found = loss(CycleReconstruction).generator(t)
    torch.testing.assert_close(found, (given.real - back).abs().flatten(1).mean(1))
    assert loss(CycleReconstruction).discriminator(t) is None
    assert loss(CycleReconstruction).weight(0) == 10.0
    assert loss(CycleReconstruction, weight=Ramp(start=0, end=1, steps=2)).weight(1) == 0.5


# The lazy translation.


class Passes:
    """Counts the forward passes of a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.count = 0
        network.register_forward_hook(self._seen)

    def _seen(self, *_: object) -> None:
        self.count += 1


def test_no_pass_that_no_loss_needs_and_none_twice() -> None:
    _, generator, discriminator, t = setting()
    made, judged = Passes(generator), Passes(discriminator)
    _ = t.verdict_on_real, t.verdict_on_real
    assert (made.count, judged.count) == (0, 1)
    _ = t.fake, t.fake, t.verdict_on_fake, t.verdict_on_fake
    assert (made.count, judged.count) == (1, 2)
    _ = t.reconstruction, t.reconstruction
    assert (made.count, judged.count) == (2, 2)
    assert not t.fake.requires_grad


def test_one_pass_serves_both_updates() -> None:
    given, generator, discriminator, _ = setting()
    mask = generator.encoder
    made = Passes(generator)
    first = Translation(given, generator, discriminator, mask, carry_graph=True)
    assert not first.fake.requires_grad
    second = first.then_generator()
    assert second.fake.requires_grad and torch.equal(second.fake, first.fake)
    assert made.count == 1
    weights = list(generator.parameters())
    carried = torch.autograd.grad(loss(WassersteinGP).generator(second).mean(), weights)
    alone = Translation(given, generator, discriminator, mask, carry_graph=True).then_generator()
    fresh = torch.autograd.grad(loss(WassersteinGP).generator(alone).mean(), weights)
    assert max(each.abs().max() for each in fresh) > 0
    for one, other in zip(carried, fresh, strict=True):
        torch.testing.assert_close(one, other)


LOSSES = ["wgan-gp", "domain-classification", "cycle-reconstruction"]


@pytest.mark.parametrize("name", LOSSES)
def test_the_engine_gives_the_generator_every_gradient(name: str) -> None:
    """Of each loss alone, after the discriminator's update on the same batch, as of a forward pass made afresh."""
    small_nets = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=2"]
    recipe = resolve("stargan", [*small_nets, "data.image_size=16", "train.critic_steps=1"]).recipe
    networks = (recipe.encoder, recipe.generator, recipe.discriminator)
    model = Model.build(*networks, attributes=ONE, image_size=16)
    losses = {each: recipe.losses[each].build(encoder=model.encoder, image_size=16) for each in LOSSES}
    trainer = Trainer(recipe, model, losses, torch.device("cpu"))
    assert isinstance(model.encoder, MaskVector)
    given = batch(model.encoder)
    passes = Passes(model.generator)
    t = Translation(given, model.generator, model.discriminator, model.encoder, carry_graph=True)
    trainer.update("discriminator", t, 0)
    assert passes.count == 1
    # Only one loss has its say in the generator's update; the discriminator is what the first update made of it.
    trainer.losses = {name: losses[name]}
    before = [each.detach().clone() for each in model.generator.parameters()]
    fake = model.generator(given.real, given.source, given.target)
    verdict = model.discriminator(fake, given.target, given.real)
    back = model.generator(fake, given.target, given.source)
    by_hand = {
        "wgan-gp": -verdict.score.mean(),
        "domain-classification": model.encoder.loss(verdict.logits, given.target).mean(),
        "cycle-reconstruction": 10 * (back - given.real).abs().mean(),
    }[name]
    expected = torch.autograd.grad(by_hand, list(model.generator.parameters()))
    trainer.update("generator", t.then_generator(), 0)
    for weight, slope in zip(model.generator.parameters(), expected, strict=True):
        assert weight.grad is not None, "the loss does not reach the generator"
        torch.testing.assert_close(weight.grad, slope, rtol=1e-3, atol=1e-6)
    assert any(not torch.equal(one, other) for one, other in zip(model.generator.parameters(), before, strict=True))
