"""The generator of the small recipes: what its settings promise, and what sets it apart from StarGAN's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mdtranslate_stargan.networks import StarGANGenerator
from mdtranslate_stargan.unet import ConditionalUNet, UpsamplingConv2d
from stargan_parts import ONE, TWO, encoder
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Generator


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def network(component: type[Generator] = ConditionalUNet, size: int = 32, **settings: Any) -> Any:
    """A small network whose last convolution is not at zero any more, as after training."""
    config: Any = component.Config
    made = component(config(channels=4, blocks=1, **settings), encoder=encoder(ONE), image_size=size)
    convolutions = [module for module in made.modules() if isinstance(module, nn.Conv2d)]
    nn.init.normal_(convolutions[-1].weight, std=0.1)
    return made


def images(count: int = 1, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size) * 2 - 1


def test_the_untrained_generator_returns_a_blend_of_the_input_and_grey() -> None:
    mask = encoder(ONE)
    made = ConditionalUNet(ConditionalUNet.Config(), encoder=mask, image_size=32)
    image, domains = images(), mask.domains
    kept = 1 - torch.tensor(-1.0).sigmoid()
    torch.testing.assert_close(made(image, domains[:1], domains[1:2]), image * kept)


def test_with_the_difference_an_unchanged_label_is_the_same_for_all_domains() -> None:
    made, image = network(), images()
    domains = made.encoder.domains
    unchanged = made(image.expand(len(domains), -1, -1, -1), domains, domains)
    torch.testing.assert_close(unchanged, unchanged[:1].expand_as(unchanged))
    assert (made(image, domains[:1], domains[1:2]) - unchanged[:1]).abs().max() > 1e-3


def test_with_the_target_the_source_does_not_matter() -> None:
    made, image = network(label="target"), images()
    domains = made.encoder.domains
    one, other = (made(image, source, domains[2:3]) for source in (domains[:1], domains[1:2]))
    assert torch.equal(one, other)
    assert (made(image, domains[:1], domains[1:2]) - one).abs().max() > 1e-3


def test_without_a_label_the_target_does_not_matter() -> None:
    made, image = network(label="none"), images()
    domains = made.encoder.domains
    assert not made.conditional and network().conditional
    assert torch.equal(made(image, domains[:1], domains[1:2]), made(image, domains[:1], domains[2:3]))


def checkerboard(made: Generator) -> float:
    """How much neighbouring pixels differ in the translation of an image of one colour, away from its borders."""
    image = torch.tensor([0.3, -0.2, 0.6])[None, :, None, None].expand(1, 3, 64, 64)
    domains = made.encoder.domains
    with torch.no_grad():
        middle = made(image, domains[:1], domains[1:2])[..., 24:40, 24:40]
    return float((middle - middle[..., :1, :1]).abs().max())


@pytest.mark.parametrize("bias", [False, True])
def test_upsampling_and_convolution_in_one_are_those_one_after_the_other(bias: bool) -> None:
    made = UpsamplingConv2d(5, 7, bias=bias).double()
    x = torch.randn(2, 5, 6, 9, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), made.weight, made.bias, padding=1)
    torch.testing.assert_close(made(x), expected)
    weights = torch.linspace(0, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    learned = [*made.parameters(), x]
    gradients = [torch.autograd.grad((each * weights).sum(), learned) for each in (made(x), expected)]
    torch.testing.assert_close(*gradients)
    assert list(made.state_dict()) == (["weight", "bias"] if bias else ["weight"])


def test_there_is_no_checkerboard_where_transposed_convolutions_leave_one() -> None:
    # StarGAN's generator is conditioned by its norms here, too, so that the upsampling is what differs.
    assert checkerboard(network(StarGANGenerator, 64, condition="norms", kernel=3)) > 1e-3
    assert checkerboard(network(size=64, depth=1)) < 1e-5


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_sides_are_multiples_of_two_for_each_halving(depth: int) -> None:
    made = network(depth=depth)
    domains = made.encoder.domains
    assert made.multiple == 2**depth
    image = torch.rand(1, 3, 2 * made.multiple, 3 * made.multiple) * 2 - 1
    fake = made(image, domains[:1], domains[1:2])
    assert fake.shape == image.shape and fake.abs().max() <= 1
    widths = [layer.convolution.out_channels for layer in made.down]
    assert widths == [8, 16][: depth - 1]


def test_an_attribute_that_is_unknown_conditions_like_one_that_does_not_change() -> None:
    made = ConditionalUNet(ConditionalUNet.Config(channels=4), encoder=encoder(TWO), image_size=32)
    nn.init.normal_(made.last.weight, std=0.1)
    image, mask = images(), made.encoder
    source, target = mask.encode({"Male": True}, 0)[None], mask.encode({"Male": False}, 0)[None]
    more = mask.encode({"Male": True, "hair": "Black_Hair"}, 0)[None]
    same = mask.encode({"Male": False, "hair": "Black_Hair"}, 0)[None]
    torch.testing.assert_close(made(image, source, target), made(image, more, same))
