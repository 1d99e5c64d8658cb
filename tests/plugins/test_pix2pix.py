"""pix2pix's generator, losses and files, against what the paper and its released code have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_way import component, loss, translation
from runs import mdtranslate
from test_cyclegan import count, difference, grey
from torch import nn
from torch.nn import functional as F

from mdtranslate import Generator, Translator
from mdtranslate.errors import RecipeError


def test_the_generator_has_the_weights_of_the_paper() -> None:
    assert count(component(Generator, "unet-generator", 256)) == 54_413_955
    small = component(Generator, {"name": "unet-generator", "channels": 4}, 64)
    assert small.multiple == 64, "down to a pixel"
    with pytest.raises(RecipeError, match="depth 7 needs an image_size that is a multiple of 128"):
        component(Generator, {"name": "unet-generator", "depth": 7}, 64)


def test_a_bank_takes_pictures_that_its_networks_can_halve() -> None:
    of = {"name": "unet-generator", "channels": 2, "depth": 4}
    made = component(Generator, {"name": "per-pair", "of": of}, 32)
    assert made.multiple == 16, "as deep as they are, which their class does not know"


def test_dropout_is_its_noise_while_it_trains_and_ends_with_it() -> None:
    network = component(Generator, {"name": "unet-generator", "channels": 4}, 64)
    image = torch.rand(2, 3, 64, 64)
    assert not torch.equal(network(image, None, None), network(image, None, None))
    network.eval()
    out = network(image, None, None)
    assert torch.equal(out, network(image, None, None)) and out.shape == image.shape
    alone = network(image[1:], None, None)
    assert torch.allclose(out[1:], alone, atol=1e-5), "a picture's statistics are its own"


def test_log_loss() -> None:
    own, truth = loss("gan"), grey(1.0, 2.0)
    t = translation(grey(0.5, -1.0), grey(0.25, 1.0), truth=truth)
    real, fake = torch.tensor([1.5, 1.0]), torch.tensor([0.75, 0.0])  # The truth, and what was made, beside the source.
    terms = own.discriminator(t)
    assert torch.allclose(terms["real"], -0.5 * F.logsigmoid(real))
    assert torch.allclose(terms["fake"], -0.5 * (1 - real.new_tensor([0.75, 0.0]).sigmoid()).log())
    assert torch.allclose(own.generator(t), -F.logsigmoid(fake))


def test_what_compares_with_true_pictures_needs_them(tmp_path: Path) -> None:
    own = loss("truth-l1")
    assert own.generator(translation(grey(0.0), grey(0.25), truth=grey(1.0))).item() == pytest.approx(0.75)
    for setting, key in [("losses.truth-l1.weight=1", "losses.truth-l1"), ("discriminator=patchgan", "discriminator")]:
        more = ["discriminator.pairs=true"] if key == "discriminator" else []
        done = mdtranslate("run", "stargan", setting, *more, cwd=tmp_path)
        said = f"error: {key}: compares with true pictures; data.targets=paired brings them\n"
        assert (done.returncode, done.stderr) == (2, said) and not [*tmp_path.iterdir()]


class Released(nn.Module):
    """A block of the released U-Net in a block, in its order of layers; batch norms as at a batch of one."""

    def __init__(self, given: int, wide: int, below: nn.Module | None = None, outermost: bool = False) -> None:
        super().__init__()
        self.outermost = outermost
        down = nn.Conv2d(3 if outermost else given, wide, 4, 2, 1, bias=False)
        up = nn.ConvTranspose2d(wide if below is None else 2 * wide, 3 if outermost else given, 4, 2, 1, bias=outermost)
        if outermost:
            layers = [down, below, nn.ReLU(), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, nn.BatchNorm2d(given)]
        else:
            layers = [nn.LeakyReLU(0.2), down, nn.BatchNorm2d(wide), below, nn.ReLU(), up, nn.BatchNorm2d(given)]
        self.model = nn.Sequential(*layers)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def released(wide: int, depth: int) -> nn.ModuleDict:
    widths = [wide * min(2**level, 8) for level in range(depth)]
    block: nn.Module | None = None
    for level in reversed(range(1, depth)):
        block = Released(widths[level - 1], widths[level], block)
    torch.manual_seed(depth)
    made = Released(3, wide, block, outermost=True)
    with torch.no_grad():
        for name, each in made.named_parameters():
            each.normal_(1.0 if each.ndim == 1 and "weight" in name else 0.0, 0.2)
    return nn.ModuleDict({"model": made})


def test_a_published_generator_makes_the_same_pictures(tmp_path: Path) -> None:
    network = released(3, 5)
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    done = mdtranslate(
        "import", "pix2pix", "latest_net_G.pth", "--attributes", "side=label|photo", "--out", "t", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    translator = Translator.load(tmp_path / "t")
    assert translator.image_size == 32 and translator.edits() == {"side": ("label", "photo")}
    given = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    network.train()  # The published test never leaves training mode.
    assert difference(translator(given[:32], source={"side": "label"}, side="photo"), network, given[:32]) <= 1
    made = translator(given, source={"side": "label"}, side="photo", size="native")
    assert difference(made, network, given) <= 1
    with pytest.raises(RecipeError, match="makes side=photo>label"):
        translator(given, source={"side": "photo"}, side="label")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: {"model.1.weight": torch.zeros(4, 3, 7, 7)}, "it holds model.1.weight"),
        (lambda state: {**state, "model.model.0.weight": torch.zeros(3, 3, 5, 5)}, "model.model.0.weight is no 4 x 4"),
        (lambda state: {**state, "model.model.0.weight": torch.zeros(3, 1, 4, 4)}, "takes pictures of 1 channels"),
        (lambda state: {key: each for key, each in state.items() if each.ndim == 4}, "has no batch normalisation"),
        (lambda state: {**state, "model.model.1.model.9.weight": torch.zeros(3)}, "level 1 holds something at 9"),
    ],
)
def test_what_is_no_published_generator_is_refused_in_one_line(tmp_path: Path, spoil: Any, message: str) -> None:
    torch.save(spoil(released(3, 5).state_dict()), tmp_path / "G.pth")
    done = mdtranslate("import", "pix2pix", "G.pth", "--attributes", "x=a|b", "--out", "t", cwd=tmp_path)
    assert done.returncode == 65 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr and not (tmp_path / "t").exists()
