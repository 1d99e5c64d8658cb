"""The generator of the small recipes: its settings, and its differences to StarGAN's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mdtranslate_stargan.networks import StarGANGenerator
from mdtranslate_stargan.unet import ConditionalUNet, UpsamplingConv2d
from stargan_parts import ONE, TWO, label_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import Generator


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def network(component: type[Generator] = ConditionalUNet, size: int = 32, **settings: Any) -> Any:
    """Builds a small network whose last convolution is not zero, as after training."""
    config: Any = component.Config
    generator = component(config(channels=4, blocks=1, **settings), label_encoder=label_encoder(ONE), image_size=size)
    convolutions = [module for module in generator.modules() if isinstance(module, nn.Conv2d)]
    nn.init.normal_(convolutions[-1].weight, std=0.1)
    return generator


def images(count: int = 1, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size) * 2 - 1


def test_the_untrained_generator_returns_a_blend_of_the_input_and_grey() -> None:
    mask = label_encoder(ONE)
    generator = ConditionalUNet(ConditionalUNet.Config(), label_encoder=mask, image_size=32)
    image, domains = images(), mask.domains
    kept = 1 - torch.tensor(-1.0).sigmoid()
    torch.testing.assert_close(generator(image, domains[:1], domains[1:2]), image * kept)


def test_with_label_difference_an_unchanged_label_is_the_same_for_all_domains() -> None:
    generator, image = network(), images()
    domains = generator.label_encoder.domains
    unchanged = generator(image.expand(len(domains), -1, -1, -1), domains, domains)
    torch.testing.assert_close(unchanged, unchanged[:1].expand_as(unchanged))
    assert (generator(image, domains[:1], domains[1:2]) - unchanged[:1]).abs().max() > 1e-3


def test_with_label_target_the_source_does_not_matter() -> None:
    generator, image = network(label="target"), images()
    domains = generator.label_encoder.domains
    one, other = (generator(image, source, domains[2:3]) for source in (domains[:1], domains[1:2]))
    assert torch.equal(one, other)
    assert (generator(image, domains[:1], domains[1:2]) - one).abs().max() > 1e-3


def test_with_label_none_the_target_does_not_matter() -> None:
    generator, image = network(label="none"), images()
    domains = generator.label_encoder.domains
    assert not generator.is_conditional and network().is_conditional
    assert torch.equal(generator(image, domains[:1], domains[1:2]), generator(image, domains[:1], domains[2:3]))


def checkerboard(generator: Generator) -> float:
    """Returns how much pixels differ in the translation of an image of one colour, away from its borders."""
    image = torch.tensor([0.3, -0.2, 0.6])[None, :, None, None].expand(1, 3, 64, 64)
    domains = generator.label_encoder.domains
    with torch.no_grad():
        middle = generator(image, domains[:1], domains[1:2])[..., 24:40, 24:40]
    return float((middle - middle[..., :1, :1]).abs().max())


@pytest.mark.parametrize("bias", [False, True])
def test_upsampling_convolution_matches_upsampling_and_convolution(bias: bool) -> None:
    convolution = UpsamplingConv2d(5, 7, bias=bias).double()
    x = torch.randn(2, 5, 6, 9, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(
        F.interpolate(x, scale_factor=2.0, mode="nearest"), convolution.weight, convolution.bias, padding=1
    )
    torch.testing.assert_close(convolution(x), expected)
    weights = torch.linspace(0, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    inputs = [*convolution.parameters(), x]
    gradients = [torch.autograd.grad((output * weights).sum(), inputs) for output in (convolution(x), expected)]
    torch.testing.assert_close(*gradients)
    assert list(convolution.state_dict()) == (["weight", "bias"] if bias else ["weight"])


def test_no_checkerboard_unlike_transposed_convolutions() -> None:
    # Both generators use conditional normalisation, so that they differ in their upsampling.
    assert checkerboard(network(StarGANGenerator, 64, conditioning="norm", kernel_size=3)) > 1e-3
    assert checkerboard(network(size=64, depth=1)) < 1e-5


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_size_multiple_is_two_to_the_depth(depth: int) -> None:
    generator = network(depth=depth)
    domains = generator.label_encoder.domains
    assert generator.size_multiple == 2**depth
    image = torch.rand(1, 3, 2 * generator.size_multiple, 3 * generator.size_multiple) * 2 - 1
    fake = generator(image, domains[:1], domains[1:2])
    assert fake.shape == image.shape and fake.abs().max() <= 1
    widths = [layer.convolution.out_channels for layer in generator.down]
    assert widths == [8, 16][: depth - 1]


def test_unknown_attributes_condition_like_unchanged_ones() -> None:
    generator = ConditionalUNet(ConditionalUNet.Config(channels=4), label_encoder=label_encoder(TWO), image_size=32)
    nn.init.normal_(generator.last.weight, std=0.1)
    image, mask = images(), generator.label_encoder
    source, target = mask.encode({"Male": True}, 0)[None], mask.encode({"Male": False}, 0)[None]
    more = mask.encode({"Male": True, "hair": "Black_Hair"}, 0)[None]
    same = mask.encode({"Male": False, "hair": "Black_Hair"}, 0)[None]
    torch.testing.assert_close(generator(image, source, target), generator(image, more, same))


def test_widths_and_decoder_blocks() -> None:
    """Channels double up to the limit; blocks follow each upsampling but the last, and change with the label."""
    generator = network(depth=3, max_channels=10, decoder_blocks=2)
    widths = [layer.convolution.out_channels for layer in generator.down]
    assert widths == [8, 10] and [len(blocks) for blocks in generator.decoder_blocks] == [2, 2]
    assert [block.main[0].in_channels for block in generator.decoder_blocks[0]] == [8, 8]
    image, domains = images(), generator.label_encoder.domains
    generator(image, domains[:1], domains[1:2]).sum().backward()
    for blocks in generator.decoder_blocks:
        assert all(block.main[1].modulate.weight.grad.any() for block in blocks)


def test_the_palette_makes_even_regions_of_colours_that_differ_between_images() -> None:
    generator = network(palette=2, size=64)
    domains = generator.label_encoder.domains
    nn.init.zeros_(generator.last.weight)
    with torch.no_grad():
        generator.last.bias[-1] = 100.0  # All weight to the last colour.
        fake = generator(images(2, 64), domains[:2], domains[1:3])
    torch.testing.assert_close(fake, fake[..., :1, :1].expand_as(fake))
    assert (fake[0, :, 0, 0] - fake[1, :, 0, 0]).abs().max() > 1e-3


def test_a_colour_of_the_palette_can_be_the_mean_of_a_region_of_the_input() -> None:
    generator = network(palette=1, size=32)
    domains, image = generator.label_encoder.domains, images()
    nn.init.zeros_(generator.last.weight)
    with torch.no_grad():
        generator.last.bias[-1] = 100.0
        nn.init.zeros_(generator.palette.region.weight)  # The whole image.
        nn.init.zeros_(generator.palette.color)
        generator.palette.color_bias[..., 3] = -100.0
        fake = generator(image, domains[:1], domains[1:2])
    torch.testing.assert_close(fake, image.mean((2, 3), keepdim=True).expand_as(fake))


def test_an_untrained_palette_returns_mostly_the_input() -> None:
    encoder = label_encoder(ONE)
    generator = ConditionalUNet(ConditionalUNet.Config(palette=4), label_encoder=encoder, image_size=32)
    image, domains = images(2), encoder.domains
    black, white = torch.full((1, 3, 32, 32), -1.0), torch.full((1, 3, 32, 32), 1.0)
    with torch.no_grad():
        difference = generator(white, domains[:1], domains[1:2]) - generator(black, domains[:1], domains[1:2])
        assert difference.min() >= 2 * 0.73
        assert generator(image, domains[:2], domains[1:3]).abs().max() <= 1


def test_a_palette_needs_the_output_that_it_extends() -> None:
    with pytest.raises(ValueError, match="palette=2 needs output=blend"):
        network(palette=2, output="residual")
