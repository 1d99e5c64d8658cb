"""Checkpoints of the released StarGAN code, against a plain transcription of its generator."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import mdtranslate
from speed.published_step import Discriminator, Generator
from torch import nn

from mdtranslate import Translator

FIVE = "Black_Hair,Blond_Hair,Brown_Hair,Male,Young"
MOODS = "expression=angry|contemptuous|disgusted|fearful|happy|neutral|sad|surprised"


def trained(network: nn.Module) -> nn.Module:
    """Sets weights and running statistics to random values, other than any initialisation."""
    torch.manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.randn_like(tensor) * 0.2 + (tensor.ndim == 1))
    return network


def save(
    folder: Path, labels: int, *, channels: int = 6, blocks: int = 2, layers: int = 3, size: int = 32
) -> nn.Module:
    network = trained(Generator(labels, channels, blocks))
    torch.save(network.state_dict(), folder / "G.ckpt")
    known = labels - 2 if labels > 5 else labels
    torch.save(trained(Discriminator(size, known, 4, layers)).state_dict(), folder / "D.ckpt")
    return network


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return mdtranslate("import", "stargan", *arguments, cwd=home)


def published(network: nn.Module, pixels: Any, label: list[float]) -> Any:
    """Returns the output of the released code, which is never in evaluation mode and so uses instance statistics."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        out = network.train()(image, torch.tensor(label)[None])
    return ((out[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()


@pytest.mark.parametrize(("channels", "blocks", "size"), [(6, 2, 32), (4, 0, 16), (8, 3, 64)])
def test_images_are_those_of_the_released_generator(tmp_path: Path, channels: int, blocks: int, size: int) -> None:
    network = save(tmp_path, 5, channels=channels, blocks=blocks, size=size)
    done = run(tmp_path, "G.ckpt", "D.ckpt", "--attributes", FIVE, "--out", "out")
    assert done.returncode == 0, done.stderr
    translator = Translator.load(tmp_path / "out")
    assert translator.image_size == size
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    before = {"Black_Hair": True, "Blond_Hair": False, "Brown_Hair": False, "Male": True, "Young": False}
    actual = translator(pixels, source=before, edits={"Black_Hair": False, "Blond_Hair": True, "Young": True})
    expected = published(network, pixels, [0, 1, 0, 1, 1])
    assert np.abs(np.asarray(actual, float) - expected).max() <= 1
    assert expected.std() > 5
    large = np.random.default_rng(1).integers(0, 256, (size + 8, size + 20, 3), np.uint8)
    actual = translator(large, source=before, edits={"Young": True}, size="native")
    assert np.abs(np.asarray(actual, float) - published(network, large, [1, 0, 0, 1, 1])).max() <= 1
    assert not [key for key in translator.model.generator.state_dict() if "running" in key]


def test_a_joint_model_has_its_mask(tmp_path: Path) -> None:
    network = save(tmp_path, 15)
    done = run(tmp_path, "G.ckpt", "D.ckpt", "--attributes", FIVE, "--attributes", MOODS, "--out", "out")
    assert done.returncode == 0, done.stderr
    translator = Translator.load(tmp_path / "out")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    actual = translator(pixels, source={"expression": "sad"}, expression="happy")
    label = [0.0] * 5 + [0, 0, 0, 0, 1, 0, 0, 0] + [0, 1]
    assert np.abs(np.asarray(actual, float) - published(network, pixels, label)).max() <= 1


def test_without_a_discriminator_unknown_attributes_are_required(tmp_path: Path) -> None:
    save(tmp_path, 5)
    done = run(tmp_path, "G.ckpt", "--attributes", FIVE, "--set", "image_size=32", "--out", "out")
    assert done.returncode == 0, done.stderr
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    known = [word for name in FIVE.split(",")[:4] for word in ("--from", f"{name}=no")]
    refused = mdtranslate("translate", "out", "red.png", "--set", "Male=yes", *known, cwd=tmp_path)
    assert refused.returncode == 2 and "Young" in refused.stderr and "--from Young=" in refused.stderr
    known += ["--from", "Young=yes"]
    assert mdtranslate("translate", "out", "red.png", "--set", "Male=yes", *known, cwd=tmp_path).returncode == 0


def test_old_checkpoint_formats_are_read(tmp_path: Path) -> None:
    network = save(tmp_path, 5)
    old = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "G.ckpt", _use_new_zipfile_serialization=False)
    done = run(tmp_path, "G.ckpt", "--attributes", FIVE, "--out", "out")
    assert done.returncode == 0, done.stderr


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def cut(folder: Path) -> None:
    content = (folder / "G.ckpt").read_bytes()
    (folder / "G.ckpt").write_bytes(content[: len(content) // 2])


def evil(folder: Path) -> None:
    torch.save({"main.0.weight": Evil()}, folder / "G.ckpt")


def other(folder: Path) -> None:
    torch.save({"model.1.weight": torch.zeros(3)}, folder / "G.ckpt")


def nested(folder: Path) -> None:
    torch.save({"state": {"main.0.weight": torch.zeros(3)}}, folder / "G.ckpt")


def garbage(folder: Path) -> None:
    (folder / "G.ckpt").write_bytes(b"no checkpoint at all")


def lacking(folder: Path) -> None:
    state = torch.load(folder / "G.ckpt", weights_only=True)
    del state["main.4.weight"]
    torch.save(state, folder / "G.ckpt")


def gone(folder: Path) -> None:
    (folder / "G.ckpt").unlink()


@pytest.mark.parametrize("damage", [cut, evil, other, nested, garbage, lacking, gone])
def test_other_checkpoints_are_refused_in_one_line(tmp_path: Path, damage: Any) -> None:
    save(tmp_path, 5)
    damage(tmp_path)
    done = run(tmp_path, "G.ckpt", "D.ckpt", "--attributes", FIVE, "--out", "out")
    assert done.returncode == 65, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "G.ckpt" in done.stderr
    assert "code ran" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["G.ckpt", "D.ckpt", "--attributes", "Male,Young"], "5 condition channels; --attributes makes 2"),
        (["G.ckpt", "--attributes", FIVE, "--attributes", MOODS], "--attributes makes 13 and 2 of the mask"),
        (["G.ckpt", "--attributes", "Male,Male"], "Male"),
        (["G.ckpt", "--attributes", "hair=Black"], "name=value|value"),
        (["G.ckpt", "--attributes", FIVE, "--set", "image_size=big"], "image_size"),
        (["G.ckpt", "--attributes", FIVE, "--set", "size"], "--set"),
    ],
)
def test_attributes_or_settings_that_do_not_fit_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    save(tmp_path, 5)
    done = run(tmp_path, *arguments, "--out", "out")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_discriminator_alone_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 5)
    done = run(tmp_path, "D.ckpt", "--attributes", FIVE, "--out", "out")
    assert done.returncode == 65 and "D.ckpt" in done.stderr and "generator" in done.stderr
