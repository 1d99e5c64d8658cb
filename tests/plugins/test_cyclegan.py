"""CycleGAN's networks, losses and files, against what the paper and its released code have."""

from __future__ import annotations

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


def count(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def grey(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 4, 4).clone()


@pytest.mark.parametrize(
    ("kind", "table", "size", "weights"),
    [
        (Generator, {"name": "resnet-generator"}, 256, 11_378_179),
        (Generator, {"name": "resnet-generator", "blocks": 6}, 128, 7_837_699),
        (Discriminator, {"name": "patchgan"}, 256, 2_764_737),
        (Discriminator, {"name": "patchgan", "pairs": True, "affine": True}, 256, 2_768_705),
    ],
)
def test_networks_have_the_weights_of_the_paper(kind: Any, table: Any, size: int, weights: int) -> None:
    network = component(kind, table, size)
    assert count(network) == weights
    assert next(network.parameters()).detach().std() == pytest.approx(0.02, rel=0.05)


def test_a_score_sees_70_pixels() -> None:
    network = component(Discriminator, {"name": "patchgan", "channels": 2}, 128).double()
    for each in network.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.ones_(each.weight)
    network.model = nn.Sequential(*(each for each in network.model if isinstance(each, nn.Conv2d)))
    image = torch.zeros(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    score = network(image, None).score
    score[0, 0, 7, 7].backward()
    assert image.grad is not None
    seen = torch.nonzero(image.grad[0, 0])
    assert score.shape == (1, 1, 14, 14) and (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_pairs_need_what_a_picture_was_made_from() -> None:
    network = component(Discriminator, {"name": "patchgan", "channels": 2, "layers": 2, "pairs": True})
    one, other = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    assert not torch.equal(network(one, None, other).score, network(one, None, one).score)
    with pytest.raises(RecipeError, match="pairs=true needs pictures that come in pairs"):
        network(one, None)
    with pytest.raises(RecipeError, match="4 layers leave no patch of pictures of 32 pixels"):
        component(Discriminator, {"name": "patchgan", "layers": 4})


def test_least_squares() -> None:
    own = loss("lsgan")
    t = translation(grey(0.5, -1.0), grey(0.25, 1.0))
    terms = own.discriminator(t)
    # A made picture is judged beside what it was made from.
    assert terms["real"].tolist() == pytest.approx([0.5 * 0.25, 0.5 * 4.0])
    assert terms["fake"].tolist() == pytest.approx([0.5 * 0.75**2, 0.0])
    assert own.generator(t).tolist() == pytest.approx([0.25**2, 1.0])


def test_the_pool_shows_earlier_pictures_and_is_kept() -> None:
    own = loss({"name": "lsgan", "pool": 2})

    def shown(*fakes: float, random: tuple[float, ...] = (0.9, 0.9)) -> list[float]:
        t = translation(grey(*fakes) * 0, grey(*fakes), random=torch.tensor(random))
        return own._through_pool(t)[:, 0, 0, 0].tolist()

    assert shown(0.1, 0.2) == pytest.approx([0.1, 0.2]), "while it fills, they come as they are"
    assert shown(0.3, 0.4) == pytest.approx([0.3, 0.4]), "half of the time they do, later too"
    assert shown(0.5, 0.6, random=(0.3, 0.1)) == pytest.approx([0.2, 0.1])
    again = loss({"name": "lsgan", "pool": 2})
    again.load_state_dict(own.state_dict())
    own = again
    assert shown(0.7, 0.8, random=(0.3, 0.9)) == pytest.approx([0.5, 0.8])
    assert own.filled.tolist() == [0, 2], "each value has its own"
    t = translation(grey(0.0), grey(0.9), random=torch.tensor([0.3]))
    assert own.discriminator(t)["fake"].item() == pytest.approx(0.5 * 0.7**2)


def test_identity_asks_for_what_a_picture_is_already() -> None:
    asked = []
    t = translation(grey(0.5), grey(0.25))
    t.generate = lambda image, source, target: asked.append((source, target)) or grey(0.2)  # type: ignore[method-assign]
    assert loss("identity").generator(t).item() == pytest.approx(0.3)
    assert torch.equal(asked[0][0], t.target) and torch.equal(asked[0][1], t.source)


class Block(nn.Module):
    def __init__(self, wide: int, dropout: bool) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3), nn.InstanceNorm2d(wide)]
        middle = [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(
            *half, *middle, nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3), nn.InstanceNorm2d(wide)
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv_block(x)


def released(wide: int, blocks: int, dropout: bool = False) -> nn.ModuleDict:
    """The order of layers, and so the names of weights, of the released files."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, wide, 7), nn.InstanceNorm2d(wide), nn.ReLU()]
    for times in (1, 2):
        down = nn.Conv2d(wide * times, wide * times * 2, 3, 2, 1)
        layers += [down, nn.InstanceNorm2d(wide * times * 2), nn.ReLU()]
    layers += [Block(wide * 4, dropout) for _ in range(blocks)]
    for times in (4, 2):
        up = nn.ConvTranspose2d(wide * times, wide * times // 2, 3, 2, 1, 1)
        layers += [up, nn.InstanceNorm2d(wide * times // 2), nn.ReLU()]
    torch.manual_seed(blocks)
    made = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(wide, 3, 7), nn.Tanh())
    with torch.no_grad():
        for each in made.parameters():
            each.normal_(0, 0.1)
    return nn.ModuleDict({"model": made}).eval()


def difference(picture: Image.Image, network: nn.ModuleDict, given: np.ndarray) -> int:
    """Grey levels between a picture and what a released network makes of `given`."""
    with torch.no_grad():
        out = network["model"](torch.from_numpy(given).permute(2, 0, 1)[None] / 127.5 - 1)
    wanted = ((out[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
    return int(np.abs(np.asarray(picture).astype(int) - wanted).max())


@pytest.mark.parametrize("dropout", [False, True])
def test_published_generators_make_the_same_pictures(tmp_path: Path, dropout: bool) -> None:
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
    translator, given = (
        Translator.load(tmp_path / "both"),
        np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8),
    )
    wide = np.random.default_rng(1).integers(0, 256, (44, 60, 3), np.uint8)
    assert translator.edits() == {"animal": ("horse", "zebra")}
    for network, before, after in ((networks[0], "horse", "zebra"), (networks[1], "zebra", "horse")):
        assert difference(translator(given, source={"animal": before}, animal=after), network, given) <= 1
        made = translator(wide, source={"animal": before}, animal=after, size="native")
        assert difference(made, network, wide) <= 1
    assert np.array_equal(np.asarray(translator(given, source={"animal": "zebra"}, animal="zebra")), given)


def test_one_published_generator_goes_one_way(tmp_path: Path) -> None:
    torch.save(released(3, 1).state_dict(), tmp_path / "latest_net_G.pth")
    words = ("--attributes", "animal=horse|zebra", "--out")
    assert mdtranslate("import", "cyclegan", "latest_net_G.pth", *words, "one", cwd=tmp_path).returncode == 0
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    usage = Translator.load(tmp_path / "one").usage
    assert usage == "PHOTO --all --from animal=VALUE", "what nothing tells has to be told"
    done = mdtranslate(
        "translate", "one", *usage.replace("PHOTO", "a.png").replace("VALUE", "horse").split(), cwd=tmp_path
    )
    assert done.returncode == 0 and (tmp_path / "translated/a.all.png").exists(), done.stderr + done.stdout
    translator, given = Translator.load(tmp_path / "one"), np.zeros((16, 16, 3), np.uint8)
    translator(given, source={"animal": "horse"}, animal="zebra")
    with pytest.raises(RecipeError, match="no network of this translator makes animal=zebra>horse"):
        translator(given, source={"animal": "zebra"}, animal="horse")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: {"main.0.weight": torch.zeros(4, 8, 7, 7)}, r"it holds main\.0\.weight"),
        (lambda state: {**state, "model.1.weight": torch.zeros(4, 3, 5, 5)}, r"model\.1\.weight is no 7 x 7"),
        (
            lambda state: {key: each for key, each in state.items() if ".10." not in key},
            "do not follow each other|lacks",
        ),
        (lambda state: {**state, "model.4.weight": torch.zeros(8, 5, 3, 3)}, r"model\.4\.weight"),
        (lambda state: {**state, "model.2.weight": torch.zeros(4)}, "its normalisations have weights"),
        (
            lambda state: {**state, "model.19.weight": torch.zeros(1, 4, 7, 7), "model.19.bias": torch.zeros(1)},
            "makes pictures of 1",
        ),
        (lambda state: {**state, "model.1.weight": torch.zeros(4, 1, 7, 7)}, "takes pictures of 1 channels"),
    ],
)
def test_what_is_no_published_generator_is_refused_in_one_line(tmp_path: Path, spoil: Any, message: str) -> None:
    torch.save(spoil(released(4, 2).state_dict()), tmp_path / "G.pth")
    done = mdtranslate("import", "cyclegan", "G.pth", "--attributes", "x=a|b", "--out", "t", cwd=tmp_path)
    assert done.returncode == 65 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    import re

    assert re.search(message, done.stderr) and "G.pth" in done.stderr
    assert not (tmp_path / "t").exists()
