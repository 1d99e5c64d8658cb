"""CycleGAN's networks, losses and importer, against the paper and its released code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_way import component, loss, translation
from PIL import Image
from runs import mdtranslate
from torch import nn

from mdtranslate import Discriminator, Generator, Translator
from mdtranslate.errors import RecipeError


def count_parameters(network: nn.Module) -> int:
    return sum(param.numel() for param in network.parameters())


def grey(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 4, 4).clone()


@pytest.mark.parametrize(
    ("kind", "settings", "size", "count"),
    [
        (Generator, {"name": "resnet-generator"}, 256, 11_378_179),
        (Generator, {"name": "resnet-generator", "blocks": 6}, 128, 7_837_699),
        (Discriminator, {"name": "patchgan"}, 256, 2_764_737),
        (Discriminator, {"name": "patchgan", "condition_on_source": True, "affine": True}, 256, 2_768_705),
    ],
)
def test_networks_have_the_weights_of_the_paper(kind: Any, settings: Any, size: int, count: int) -> None:
    network = component(kind, settings, size)
    assert count_parameters(network) == count
    assert next(network.parameters()).detach().std() == pytest.approx(0.02, rel=0.05)


def test_a_score_depends_on_70_pixels() -> None:
    network = component(Discriminator, {"name": "patchgan", "channels": 2}, 128).double()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    network.model = nn.Sequential(*(layer for layer in network.model if isinstance(layer, nn.Conv2d)))
    image = torch.zeros(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    score = network(image, None).score
    score[0, 0, 7, 7].backward()
    assert image.grad is not None
    positions = torch.nonzero(image.grad[0, 0])
    assert score.shape == (1, 1, 14, 14) and (positions.max(0).values - positions.min(0).values + 1).tolist() == [
        70,
        70,
    ]


def test_condition_on_source_needs_source_images() -> None:
    network = component(Discriminator, {"name": "patchgan", "channels": 2, "layers": 2, "condition_on_source": True})
    one, other = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    assert not torch.equal(network(one, None, other).score, network(one, None, one).score)
    with pytest.raises(RecipeError, match=r"condition_on_source.*data.targets=paired"):
        network(one, None)
    with pytest.raises(RecipeError, match="layers=4"):
        component(Discriminator, {"name": "patchgan", "layers": 4})


def test_least_squares() -> None:
    lsgan = loss("lsgan")
    t = translation(grey(0.5, -1.0), grey(0.25, 1.0))
    terms = lsgan.discriminator(t)
    # Fake images are scored together with their source images.
    assert terms["real"].tolist() == pytest.approx([0.5 * 0.25, 0.5 * 4.0])
    assert terms["fake"].tolist() == pytest.approx([0.5 * 0.75**2, 0.0])
    assert lsgan.generator(t).tolist() == pytest.approx([0.25**2, 1.0])


def test_the_pool_returns_earlier_images_and_is_kept() -> None:
    lsgan = loss({"name": "lsgan", "pool_size": 2})

    def sampled(*fakes: float, random: tuple[float, ...] = (0.9, 0.9)) -> list[float]:
        t = translation(grey(*fakes) * 0, grey(*fakes), random=torch.tensor(random))
        return lsgan._sample_pool(t)[:, 0, 0, 0].tolist()

    assert sampled(0.1, 0.2) == pytest.approx([0.1, 0.2]), "while it fills, images are returned as they are"
    assert sampled(0.3, 0.4) == pytest.approx([0.3, 0.4]), "with probability 1/2 they are later, too"
    assert sampled(0.5, 0.6, random=(0.3, 0.1)) == pytest.approx([0.2, 0.1])
    restored = loss({"name": "lsgan", "pool_size": 2})
    restored.load_state_dict(lsgan.state_dict())
    lsgan = restored
    assert sampled(0.7, 0.8, random=(0.3, 0.9)) == pytest.approx([0.5, 0.8])
    assert lsgan.pool_counts.tolist() == [0, 2], "each value has a separate pool"
    t = translation(grey(0.0), grey(0.9), random=torch.tensor([0.3]))
    assert lsgan.discriminator(t)["fake"].item() == pytest.approx(0.5 * 0.7**2)


def test_identity_exchanges_source_and_target() -> None:
    labels = []
    t = translation(grey(0.5), grey(0.25))
    t.generate = lambda image, source, target: labels.append((source, target)) or grey(0.2)  # type: ignore[method-assign]
    assert loss("identity").generator(t).item() == pytest.approx(0.3)
    assert torch.equal(labels[0][0], t.target) and torch.equal(labels[0][1], t.source)


class Block(nn.Module):
    def __init__(self, channels: int, dropout: bool) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        middle = [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(
            *half, *middle, nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv_block(x)


def released(channels: int, blocks: int, dropout: bool = False) -> nn.ModuleDict:
    """Returns a network with the layers, and so the names of weights, of the released code."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU()]
    for times in (1, 2):
        down = nn.Conv2d(channels * times, channels * times * 2, 3, 2, 1)
        layers += [down, nn.InstanceNorm2d(channels * times * 2), nn.ReLU()]
    layers += [Block(channels * 4, dropout) for _ in range(blocks)]
    for times in (4, 2):
        up = nn.ConvTranspose2d(channels * times, channels * times // 2, 3, 2, 1, 1)
        layers += [up, nn.InstanceNorm2d(channels * times // 2), nn.ReLU()]
    torch.manual_seed(blocks)
    result = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh())
    with torch.no_grad():
        for param in result.parameters():
            param.normal_(0, 0.1)
    return nn.ModuleDict({"model": result}).eval()


def difference(image: Image.Image, network: nn.ModuleDict, pixels: np.ndarray) -> int:
    """Returns the largest difference in grey levels between an image and a released network's output for `pixels`."""
    with torch.no_grad():
        out = network["model"](torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1)
    expected = ((out[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
    return int(np.abs(np.asarray(image).astype(int) - expected).max())


@pytest.mark.parametrize("dropout", [False, True])
def test_published_generators_give_the_same_images(tmp_path: Path, dropout: bool) -> None:
    networks = [released(4, blocks, dropout) for blocks in (2, 2)]
    for name, network in zip("AB", networks, strict=True):
        state = {f"module.{key}": value for key, value in network.state_dict().items()}
        state["module.model.2.running_mean"] = torch.ones(4)
        torch.save(state, tmp_path / f"{name}.pth")
    done = mdtranslate(
        "import", "cyclegan", "A.pth", "B.pth", "--attributes", "animal=horse|zebra", "--set", "image_size=32",
        "--out", "both", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    translator = Translator.load(tmp_path / "both")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    large = np.random.default_rng(1).integers(0, 256, (44, 60, 3), np.uint8)
    assert translator.edits() == {"animal": ("horse", "zebra")}
    for network, before, after in ((networks[0], "horse", "zebra"), (networks[1], "zebra", "horse")):
        assert difference(translator(pixels, source={"animal": before}, animal=after), network, pixels) <= 1
        result = translator(large, source={"animal": before}, animal=after, size="native")
        assert difference(result, network, large) <= 1
    assert np.array_equal(np.asarray(translator(pixels, source={"animal": "zebra"}, animal="zebra")), pixels)


def test_one_published_generator_has_one_direction(tmp_path: Path) -> None:
    torch.save(released(3, 1).state_dict(), tmp_path / "latest_net_G.pth")
    words = ("--attributes", "animal=horse|zebra", "--out")
    assert mdtranslate("import", "cyclegan", "latest_net_G.pth", *words, "one", cwd=tmp_path).returncode == 0
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    usage = Translator.load(tmp_path / "one").usage
    assert usage == "PHOTO --all --from animal=VALUE"
    done = mdtranslate(
        "translate", "one", *usage.replace("PHOTO", "a.png").replace("VALUE", "horse").split(), cwd=tmp_path
    )
    assert done.returncode == 0 and (tmp_path / "translated/a.all.png").exists(), done.stderr + done.stdout
    translator, pixels = Translator.load(tmp_path / "one"), np.zeros((16, 16, 3), np.uint8)
    translator(pixels, source={"animal": "horse"}, animal="zebra")
    with pytest.raises(RecipeError, match="animal=zebra>horse"):
        translator(pixels, source={"animal": "zebra"}, animal="horse")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: {"main.0.weight": torch.zeros(4, 8, 7, 7)}, r"main\.0\.weight"),
        (lambda state: {**state, "model.1.weight": torch.zeros(4, 3, 5, 5)}, r"model\.1\.weight"),
        (lambda state: {key: value for key, value in state.items() if ".10." not in key}, "residual blocks"),
        (lambda state: {**state, "model.4.weight": torch.zeros(8, 5, 3, 3)}, r"model\.4\.weight"),
        (lambda state: {**state, "model.2.weight": torch.zeros(4)}, "normalisations have weights"),
        (
            lambda state: {**state, "model.19.weight": torch.zeros(1, 4, 7, 7), "model.19.bias": torch.zeros(1)},
            "output has 1 channels",
        ),
        (lambda state: {**state, "model.1.weight": torch.zeros(4, 1, 7, 7)}, "input has 1 channels"),
    ],
)
def test_other_checkpoints_are_refused_in_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    torch.save(damage(released(4, 2).state_dict()), tmp_path / "G.pth")
    done = mdtranslate("import", "cyclegan", "G.pth", "--attributes", "x=a|b", "--out", "t", cwd=tmp_path)
    assert done.returncode == 65 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert re.search(message, done.stderr) and "G.pth" in done.stderr
    assert not (tmp_path / "t").exists()
