"""StarGAN's networks against the paper, and what their settings promise."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from mdtranslate_stargan.networks import InstanceNorm, StarGANDiscriminator, StarGANGenerator, doubled, halved
from stargan_parts import FIVE, batch, encoder, small
from torch.nn import functional as F

from mdtranslate import Discriminator


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize(("size", "layers", "projection"), [(16, 2, False), (32, 4, True), (64, 3, False)])
def test_the_slope_and_its_gradients_are_those_of_autograd(
    size: int, layers: int, projection: bool, total: bool
) -> None:
    mask = encoder(FIVE)
    config = StarGANDiscriminator.Config(channels=4, layers=layers, projection=projection)
    kind = torch.float32 if projection else torch.float64  # Conditions are of single precision.
    network = StarGANDiscriminator(config, encoder=mask, image_size=size).to(kind)
    known = {each.name: True for each in FIVE["celeba"]}
    label, image = mask.encode(known, 0).repeat(3, 1), torch.randn(3, 3, size, size, dtype=kind)
    found = []
    for slope in (network.slope, partial(Discriminator.slope, network)):
        network.zero_grad()
        own = slope(image, label, total=total)
        ((own.flatten(1).norm(dim=1) - 1) ** 2).mean().backward()
        # A bias has no part in it but through the signs: autograd gives it none, or zeros.
        gradients = [each.grad for each in network.parameters() if each.grad is not None and each.grad.any()]
        found.append([own.detach(), *gradients])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4 if projection else 1e-9, atol=1e-5 if projection else 1e-12)


def test_small_maps_are_the_same_as_matrix_products() -> None:
    convolution = torch.nn.Conv2d(5, 7, 4, stride=2, padding=1).double()
    for side in (2, 4, 8, 16):
        image = torch.randn(2, 5, side, side, dtype=torch.float64)
        torch.testing.assert_close(halved(image, convolution), convolution(image))
        back = torch.randn(2, 7, side // 2, side // 2, dtype=torch.float64)
        expected = F.conv_transpose2d(back, convolution.weight, stride=2, padding=1)
        torch.testing.assert_close(doubled(back, convolution), expected)


def test_the_papers_networks() -> None:
    mask = encoder(FIVE)

    def count(network: torch.nn.Module) -> int:
        return sum(each.numel() for each in network.parameters())

    with torch.device("meta"):
        generator = StarGANGenerator(StarGANGenerator.Config(), encoder=mask, image_size=128)
        discriminator = StarGANDiscriminator(StarGANDiscriminator.Config(), encoder=mask, image_size=128)
    assert count(generator) == 8_430_528
    assert count(discriminator) == 44_762_048


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


def test_the_difference_is_all_that_the_generator_is_told_where_it_is_asked_for() -> None:
    mask, generator, _ = small(label="difference", condition="norms")
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    domains = mask.domains
    unchanged = generator(image.expand(len(domains), -1, -1, -1), domains, domains)
    torch.testing.assert_close(unchanged, unchanged[:1].expand_as(unchanged))
    assert (generator(image, domains[:1], domains[1:2]) - unchanged[:1]).abs().max() > 1e-3


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_any_kernel_keeps_the_size(kernel: int) -> None:
    mask, generator, _ = small(kernel=kernel, output="blend")
    given = batch(mask)
    assert generator(given.real, given.source, given.target).shape == given.real.shape
    first = next(each for each in generator.modules() if isinstance(each, torch.nn.Conv2d))
    assert first.kernel_size == (kernel, kernel)


def test_conditional_normalisation_by_hand() -> None:
    norm = InstanceNorm(5, condition=2)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, condition = torch.randn(3, 5, 6, 7) * 3 + 1, torch.randn(3, 2)
    scale, shift = (condition @ norm.modulate.weight.T)[:, :, None, None].chunk(2, 1)
    plain = F.instance_norm(x, eps=1e-5)
    expected = (norm.weight[:, None, None] + scale) * plain + norm.bias[:, None, None] + shift
    torch.testing.assert_close(norm(x, condition), expected, rtol=1e-4, atol=1e-5)


def test_projection_judges_a_picture_as_one_of_its_domain() -> None:
    mask, _, plain = small()
    _, _, projecting = small(projection=True)
    image, domains = torch.rand(1, 3, 16, 16) * 2 - 1, mask.domains
    many = image.expand(len(domains), -1, -1, -1)
    torch.testing.assert_close(plain(many, domains).score, plain(many, domains[:1].expand_as(domains)).score)
    verdict = projecting(many, domains)
    features = projecting.main(image).mean((2, 3))
    fit = (mask.condition(domains) @ projecting.embed.weight.T * features).sum(1)
    torch.testing.assert_close(verdict.score, projecting.conv1(projecting.main(many)) + fit[:, None, None, None])
    assert len(verdict.score.flatten(1).mean(1).unique()) == len(domains)
