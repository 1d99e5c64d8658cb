"""StarGAN's networks against the paper, and their settings."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from mdtranslate_stargan.convolutions import conv4x4_stride2, conv4x4_stride2_transposed
from mdtranslate_stargan.networks import InstanceNorm, StarGANDiscriminator, StarGANGenerator
from stargan_parts import FIVE, batch, label_encoder, small
from torch.nn import functional as F

from mdtranslate import Discriminator


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("size", "layers", "projection"), [(16, 2, False), (32, 4, True), (64, 3, False)])
def test_the_input_gradient_and_its_gradients_match_autograd(
    size: int, layers: int, projection: bool, reduction: Any
) -> None:
    mask = label_encoder(FIVE)
    config = StarGANDiscriminator.Config(channels=4, layers=layers, projection=projection)
    dtype = torch.float32 if projection else torch.float64  # Conditions are float32.
    network = StarGANDiscriminator(config, label_encoder=mask, image_size=size).to(dtype)
    attributes = {attribute.name: True for attribute in FIVE["celeba"]}
    label, image = mask.encode(attributes, 0).repeat(3, 1), torch.randn(3, 3, size, size, dtype=dtype)
    results = []
    for input_gradient in (network.input_gradient, partial(Discriminator.input_gradient, network)):
        network.zero_grad()
        gradient = input_gradient(image, label, reduction=reduction)
        ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean().backward()
        # A bias has no effect but through the signs: autograd returns None or zeros for it.
        gradients = [param.grad for param in network.parameters() if param.grad is not None and param.grad.any()]
        results.append([gradient.detach(), *gradients])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(
            actual, expected, rtol=1e-4 if projection else 1e-9, atol=1e-5 if projection else 1e-12
        )


def test_matrix_products_of_small_maps_match_convolutions() -> None:
    convolution = torch.nn.Conv2d(5, 7, 4, stride=2, padding=1).double()
    for side in (2, 4, 8, 16):
        image = torch.randn(2, 5, side, side, dtype=torch.float64)
        torch.testing.assert_close(conv4x4_stride2(image, convolution), convolution(image))
        back = torch.randn(2, 7, side // 2, side // 2, dtype=torch.float64)
        expected = F.conv_transpose2d(back, convolution.weight, stride=2, padding=1)
        torch.testing.assert_close(conv4x4_stride2_transposed(back, convolution), expected)


def test_parameter_counts_of_the_paper() -> None:
    mask = label_encoder(FIVE)

    def count(network: torch.nn.Module) -> int:
        return sum(param.numel() for param in network.parameters())

    with torch.device("meta"):
        generator = StarGANGenerator(StarGANGenerator.Config(), label_encoder=mask, image_size=128)
        discriminator = StarGANDiscriminator(StarGANDiscriminator.Config(), label_encoder=mask, image_size=128)
    assert count(generator) == 8_430_528
    assert count(discriminator) == 44_762_048


def test_shapes_and_range() -> None:
    mask, generator, discriminator = small()
    data = batch(mask)
    fake = generator(data.real, data.source, data.target)
    assert fake.shape == data.real.shape and fake.abs().max() <= 1
    output = discriminator(data.real, data.source)
    assert output.score.shape == (3, 1, 4, 4) and output.logits.shape == (3, mask.num_logits)
    with pytest.raises(ValueError, match="multiple of 32"):
        StarGANDiscriminator(StarGANDiscriminator.Config(channels=4, layers=5), label_encoder=mask, image_size=48)


@pytest.mark.parametrize("conditioning", ["concat", "norm"])
def test_the_generator_depends_on_the_target_alone(conditioning: str) -> None:
    mask, generator, _ = small(conditioning=conditioning)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    targets = mask.domains
    out = generator(image.expand(len(targets), -1, -1, -1), targets, targets)
    for one in range(len(targets)):
        for other in range(one):
            assert (out[one] - out[other]).abs().max() > 1e-3
    torch.testing.assert_close(
        generator(image, targets[:1], targets[1:2]), generator(image, targets[5:6], targets[1:2])
    )


@pytest.mark.parametrize("conditioning", ["concat", "norm"])
def test_instance_statistics_are_always_used(conditioning: str) -> None:
    mask, generator, _ = small(conditioning=conditioning)
    data = batch(mask, 2)
    with torch.no_grad():
        for param in generator.parameters():
            param.add_(torch.randn_like(param) * 0.1)
        training_output = generator.train()(data.real, data.source, data.target)
        output = generator.eval()(data.real, data.source, data.target)
        single_outputs = [
            generator(*(tensor[index : index + 1] for tensor in (data.real, data.source, data.target)))
            for index in (0, 1)
        ]
    assert torch.equal(training_output, output)
    torch.testing.assert_close(torch.cat(single_outputs), output, rtol=1e-4, atol=1e-5)
    assert not list(generator.buffers())


def test_instance_norm_matches_pytorch() -> None:
    norm = InstanceNorm(5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 5, 6, 7) * 3 + 1
    expected = F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5)
    torch.testing.assert_close(norm(x, torch.zeros(3, 2)), expected)


def test_with_label_difference_the_generator_depends_on_the_difference_alone() -> None:
    mask, generator, _ = small(label="difference", conditioning="norm")
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    domains = mask.domains
    unchanged = generator(image.expand(len(domains), -1, -1, -1), domains, domains)
    torch.testing.assert_close(unchanged, unchanged[:1].expand_as(unchanged))
    assert (generator(image, domains[:1], domains[1:2]) - unchanged[:1]).abs().max() > 1e-3


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_any_kernel_size_keeps_the_image_size(kernel_size: int) -> None:
    mask, generator, _ = small(kernel_size=kernel_size, output="blend")
    data = batch(mask)
    assert generator(data.real, data.source, data.target).shape == data.real.shape
    first = next(module for module in generator.modules() if isinstance(module, torch.nn.Conv2d))
    assert first.kernel_size == (kernel_size, kernel_size)


def test_conditional_normalisation_by_hand() -> None:
    norm = InstanceNorm(5, condition_size=2)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, condition = torch.randn(3, 5, 6, 7) * 3 + 1, torch.randn(3, 2)
    scale, shift = (condition @ norm.modulate.weight.T)[:, :, None, None].chunk(2, 1)
    plain = F.instance_norm(x, eps=1e-5)
    expected = (norm.weight[:, None, None] + scale) * plain + norm.bias[:, None, None] + shift
    torch.testing.assert_close(norm(x, condition), expected, rtol=1e-4, atol=1e-5)


def test_projection_scores_an_image_for_its_domain() -> None:
    mask, _, plain = small()
    _, _, projecting = small(projection=True)
    image, domains = torch.rand(1, 3, 16, 16) * 2 - 1, mask.domains
    many = image.expand(len(domains), -1, -1, -1)
    torch.testing.assert_close(plain(many, domains).score, plain(many, domains[:1].expand_as(domains)).score)
    output = projecting(many, domains)
    features = projecting.main(image).mean((2, 3))
    projection = (mask.condition(domains) @ projecting.embed.weight.T * features).sum(1)
    torch.testing.assert_close(output.score, projecting.conv1(projecting.main(many)) + projection[:, None, None, None])
    assert len(output.score.flatten(1).mean(1).unique()) == len(domains)
