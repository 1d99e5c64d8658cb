"""Networks of timm as features and as discriminators, and the content loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from mdtranslate_timm.networks import TimmFeatures
from one_way import component, loss, translation

from mdtranslate import Discriminator, Features
from mdtranslate.errors import CheckpointError, RecipeError

SMALL = "test_resnet"


def features(**settings: object) -> TimmFeatures:
    return TimmFeatures(TimmFeatures.Config(model=SMALL, **settings))  # type: ignore[arg-type]


def images(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_features_are_reproducible_and_frozen() -> None:
    one = features()
    torch.manual_seed(5)
    other, real = features(), images()
    assert one.fingerprint == f"timm {SMALL}, random weights"
    assert torch.equal(one(real), other(real)) and one(real).shape[0] == 2 and one(real).ndim == 2
    assert not any(param.requires_grad for param in one.parameters())
    one.train()
    assert not one.network.training
    maps = one.feature_maps(real.requires_grad_())
    assert all(feature_map.ndim == 4 for feature_map in maps) and maps[0].shape[2] > maps[-1].shape[2]
    torch.autograd.grad(maps[-1].sum(), real)
    assert features(input_size=64)(images()).shape == one(images()).shape


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(7)
    network = timm.create_model(SMALL, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    loaded, real = features(weights=tmp_path / "w.pth"), images()
    mean, std = (torch.tensor(network.default_cfg[name])[:, None, None] for name in ("mean", "std"))
    expected = network.eval().forward_features(((real + 1) / 2 - mean) / std)
    assert torch.allclose(loaded(real), network.forward_head(expected, pre_logits=True), atol=1e-5)
    assert loaded.fingerprint.startswith(f"timm {SMALL}, weights sha256 ")
    assert loaded.fingerprint != features().fingerprint
    state = network.state_dict()
    state.pop(next(iter(state)))
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(CheckpointError, match=r"short\.pth: "):
        features(weights=tmp_path / "short.pth")


@pytest.mark.parametrize("model", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_a_discriminator_loads_weights_of_the_whole_network(tmp_path: Path, model: str) -> None:
    torch.manual_seed(7)
    whole = timm.create_model(model, num_classes=3)
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    stages = len(timm.create_model(model, features_only=True).feature_info.channels())
    settings = {"name": "timm-discriminator", "model": model, "weights": str(tmp_path / "w.pth"), "stages": stages}
    trunk = component(Discriminator, settings, 64).trunk
    maps = whole.eval().forward_intermediates(images(2, 64), intermediates_only=True)
    trunk_maps = trunk.eval()(images(2, 64))
    assert [trunk_map.shape for trunk_map in trunk_maps] == [full.shape for full in maps][-len(trunk_maps) :]
    torch.testing.assert_close(trunk_maps[-1], maps[-1])


def test_images_are_resized_to_a_fixed_input_size() -> None:
    fixed = TimmFeatures(TimmFeatures.Config(model="test_vit"))
    side = fixed.network.default_cfg["input_size"][-1]
    assert fixed.input_size == side and fixed(images(2, 64)).shape[0] == 2
    smaller = TimmFeatures(TimmFeatures.Config(model="test_vit", input_size=64))
    assert smaller(images(2, 96)).shape[0] == 2
    vit = component(Discriminator, {"name": "timm-discriminator", "model": "test_vit", "stages": 2}, 64)
    assert vit(images(2, 64), None).score.shape[:2] == (2, 1)


def test_an_unknown_network_is_named_with_a_suggestion() -> None:
    with pytest.raises(RecipeError, match="'resnet81'; did you mean"):
        component(Discriminator, {"name": "timm-discriminator", "model": "resnet81"})
    with pytest.raises(RecipeError, match="stages=7"):
        component(Discriminator, {"name": "timm-discriminator", "model": SMALL, "stages": 7})


def test_a_penalty_on_a_timm_discriminator_reaches_its_weights() -> None:
    network = component(Discriminator, {"name": "timm-discriminator", "model": SMALL, "stages": 3}, 64)
    image = images(2, 64).requires_grad_()
    output = network(image, None)
    assert output.score.shape[:2] == (2, 1) and output.logits.shape == (2, network.label_encoder.num_logits)
    (gradient,) = torch.autograd.grad(output.score.sum(), image, create_graph=True)
    gradient.square().sum().backward()
    assert network.score.weight.grad is not None and network.score.weight.grad.any()
    trunk = [param for param in network.trunk.parameters() if param.ndim == 4 and param.grad is not None]
    assert trunk and all(param.grad.any() for param in trunk[:3])


def test_content_compares_pixels_or_features() -> None:
    real, fake = images(), images().flip(3)
    t = translation(real, fake, truth=fake)
    assert torch.allclose(loss("content").generator(t), (real - fake).abs().mean((1, 2, 3)))
    content = loss({"name": "content", "network": {"name": "timm", "model": SMALL}, "layers": [0, 2]})
    network = features()
    differences = [
        (a - b).abs().flatten(1).mean(1)
        for a, b in zip(network.feature_maps(fake), network.feature_maps(real), strict=True)
    ]
    assert torch.allclose(content.generator(t), (differences[0] + differences[2]) / 2, atol=1e-6)
    assert not content.state_dict() and not list(content.parameters()), "weights of the network are not in checkpoints"
    content.double()
    assert next(content._networks[0].parameters()).dtype == torch.float64
    assert loss({"name": "content", "reference": "truth"}).generator(t).tolist() == [0.0, 0.0]
    assert loss({"name": "content", "reference": "truth"}).requires_truth and not loss("content").requires_truth
    with pytest.raises(RecipeError, match=r"loss 'content' .*layers: .* 9"):
        loss({"name": "content", "network": {"name": "timm", "model": SMALL}, "layers": [9]})
    with pytest.raises(RecipeError, match=r"loss 'content': features 'timm' .*'resnt18'"):
        loss({"name": "content", "network": {"name": "timm", "model": "resnt18"}})
    with pytest.raises(RecipeError, match=r"layers: .*network"):
        loss({"name": "content", "layers": [1]})


def test_features_are_a_kind_of_component() -> None:
    assert isinstance(component_features(), Features)


def component_features() -> Features:
    from pydantic import TypeAdapter

    from mdtranslate import Choice

    return TypeAdapter(Choice[Features]).validate_python({"name": "timm", "model": SMALL}).build()
