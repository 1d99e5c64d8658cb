"""pix2pix's generator, losses and importer, against the paper and its released code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_way import component, loss, translation
from runs import mdtranslate
from test_cyclegan import count_parameters, difference, grey
from torch import nn
from torch.nn import functional as F

from mdtranslate import Generator, Translator
from mdtranslate.errors import RecipeError


def test_parameter_count_of_the_paper() -> None:
    assert count_parameters(component(Generator, "unet-generator", 256)) == 54_413_955
    small = component(Generator, {"name": "unet-generator", "channels": 4}, 64)
    assert small.size_multiple == 64, "down to a pixel"
    with pytest.raises(RecipeError, match=r"depth 7 .* 128"):
        component(Generator, {"name": "unet-generator", "depth": 7}, 64)


def test_the_size_multiple_of_a_bank_is_that_of_its_members() -> None:
    member = {"name": "unet-generator", "channels": 2, "depth": 4}
    bank = component(Generator, {"name": "per-pair", "member": member}, 32)
    assert bank.size_multiple == 16


def test_dropout_is_active_in_training_only() -> None:
    network = component(Generator, {"name": "unet-generator", "channels": 4}, 64)
    image = torch.rand(2, 3, 64, 64)
    assert not torch.equal(network(image, None, None), network(image, None, None))
    network.eval()
    out = network(image, None, None)
    assert torch.equal(out, network(image, None, None)) and out.shape == image.shape
    single = network(image[1:], None, None)
    assert torch.allclose(out[1:], single, atol=1e-5), "statistics are per image"


def test_log_loss() -> None:
    log_loss, truth = loss("gan"), grey(1.0, 2.0)
    t = translation(grey(0.5, -1.0), grey(0.25, 1.0), truth=truth)
    real, fake = (
        torch.tensor([1.5, 1.0]),
        torch.tensor([0.75, 0.0]),
    )  # Sums of the means of ground truth or fake, and source.
    terms = log_loss.discriminator(t)
    assert torch.allclose(terms["real"], -0.5 * F.logsigmoid(real))
    assert torch.allclose(terms["fake"], -0.5 * (1 - real.new_tensor([0.75, 0.0]).sigmoid()).log())
    assert torch.allclose(log_loss.generator(t), -F.logsigmoid(fake))


def test_components_that_require_truth_need_paired_targets(tmp_path: Path) -> None:
    truth_l1 = loss("truth-l1")
    assert truth_l1.generator(translation(grey(0.0), grey(0.25), truth=grey(1.0))).item() == pytest.approx(0.75)
    for setting, key in [("losses.truth-l1.weight=1", "losses.truth-l1"), ("discriminator=patchgan", "discriminator")]:
        more = ["discriminator.condition_on_source=true"] if key == "discriminator" else []
        done = mdtranslate("run", "stargan", setting, *more, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith(f"error: {key}: ") and not [*tmp_path.iterdir()]
        assert "data.targets=paired" in done.stderr and len(done.stderr.splitlines()) == 1


class Released(nn.Module):
    """A level of the released U-Net, with its order of layers; batch normalisation with a batch size of 1."""

    def __init__(self, pixels: int, channels: int, below: nn.Module | None = None, outermost: bool = False) -> None:
        super().__init__()
        self.outermost = outermost
        down = nn.Conv2d(3 if outermost else pixels, channels, 4, 2, 1, bias=False)
        up = nn.ConvTranspose2d(
            channels if below is None else 2 * channels, 3 if outermost else pixels, 4, 2, 1, bias=outermost
        )
        if outermost:
            layers = [down, below, nn.ReLU(), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, nn.BatchNorm2d(pixels)]
        else:
            layers = [nn.LeakyReLU(0.2), down, nn.BatchNorm2d(channels), below, nn.ReLU(), up, nn.BatchNorm2d(pixels)]
        self.model = nn.Sequential(*layers)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def released(channels: int, depth: int) -> nn.ModuleDict:
    widths = [channels * min(2**level, 8) for level in range(depth)]
    block: nn.Module | None = None
    for level in reversed(range(1, depth)):
        block = Released(widths[level - 1], widths[level], block)
    torch.manual_seed(depth)
    network = Released(3, channels, block, outermost=True)
    with torch.no_grad():
        for name, param in network.named_parameters():
            param.normal_(1.0 if param.ndim == 1 and "weight" in name else 0.0, 0.2)
    return nn.ModuleDict({"model": network})


def test_a_published_generator_gives_the_same_images(tmp_path: Path) -> None:
    network = released(3, 5)
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    done = mdtranslate(
        "import", "pix2pix", "latest_net_G.pth", "--attributes", "side=label|photo", "--out", "t", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    translator = Translator.load(tmp_path / "t")
    assert translator.image_size == 32 and translator.edits() == {"side": ("label", "photo")}
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    network.train()  # The published test never leaves training mode.
    assert difference(translator(pixels[:32], source={"side": "label"}, side="photo"), network, pixels[:32]) <= 1
    result = translator(pixels, source={"side": "label"}, side="photo", size="native")
    assert difference(result, network, pixels) <= 1
    with pytest.raises(RecipeError, match="side=photo>label"):
        translator(pixels, source={"side": "photo"}, side="label")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: {"model.1.weight": torch.zeros(4, 3, 7, 7)}, "model.1.weight"),
        (lambda state: {**state, "model.model.0.weight": torch.zeros(3, 3, 5, 5)}, "model.model.0.weight"),
        (lambda state: {**state, "model.model.0.weight": torch.zeros(3, 1, 4, 4)}, "input has 1 channels"),
        (lambda state: {key: value for key, value in state.items() if value.ndim == 4}, "has no batch normalisation"),
        (lambda state: {**state, "model.model.1.model.9.weight": torch.zeros(3)}, "level 1 has weights at index 9"),
    ],
)
def test_other_checkpoints_are_refused_in_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    torch.save(damage(released(3, 5).state_dict()), tmp_path / "G.pth")
    done = mdtranslate("import", "pix2pix", "G.pth", "--attributes", "x=a|b", "--out", "t", cwd=tmp_path)
    assert done.returncode == 65 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr and not (tmp_path / "t").exists()
