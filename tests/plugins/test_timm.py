"""Networks of timm as features and as discriminators, and the loss that compares by features."""

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


def pictures(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_features_are_the_same_each_time_and_learn_nothing() -> None:
    one = features()
    torch.manual_seed(5)
    other, real = features(), pictures()
    assert one.identity == f"timm {SMALL}, random weights"
    assert torch.equal(one(real), other(real)) and one(real).shape[0] == 2 and one(real).ndim == 2
    assert not any(each.requires_grad for each in one.parameters())
    one.train()
    assert not one.network.training
    given = real.requires_grad_()
    maps = one.maps(given)
    assert all(each.ndim == 4 for each in maps) and maps[0].shape[2] > maps[-1].shape[2]
    torch.autograd.grad(maps[-1].sum(), given)
    assert features(size=64)(pictures()).shape == one(pictures()).shape


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(7)
    network = timm.create_model(SMALL, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    own, real = features(weights=tmp_path / "w.pth"), pictures()
    mean, deviation = (torch.tensor(network.default_cfg[name])[:, None, None] for name in ("mean", "std"))
    wanted = network.eval().forward_features(((real + 1) / 2 - mean) / deviation)
    assert torch.allclose(own(real), network.forward_head(wanted, pre_logits=True), atol=1e-5)
    assert own.identity.startswith(f"timm {SMALL}, weights sha256 ") and own.identity != features().identity
    state = network.state_dict()
    state.pop(next(iter(state)))
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(CheckpointError, match=r"short\.pth: has not the weights of"):
        features(weights=tmp_path / "short.pth")


@pytest.mark.parametrize("model", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_a_discriminator_takes_weights_of_the_whole_network(tmp_path: Path, model: str) -> None:
    torch.manual_seed(7)
    whole = timm.create_model(model, num_classes=3)
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    stages = len(timm.create_model(model, features_only=True).feature_info.channels())
    settings = {"name": "timm-discriminator", "model": model, "weights": str(tmp_path / "w.pth"), "stages": stages}
    trunk = component(Discriminator, settings, 64).trunk
    maps = whole.eval().forward_intermediates(pictures(2, 64), intermediates_only=True)
    own = trunk.eval()(pictures(2, 64))
    assert [each.shape for each in own] == [each.shape for each in maps][-len(own) :]
    torch.testing.assert_close(own[-1], maps[-1], msg="its last map is that of the whole network")


def test_a_network_for_one_size_is_shown_that_size() -> None:
    own = TimmFeatures(TimmFeatures.Config(model="test_vit"))
    side = own.network.default_cfg["input_size"][-1]
    assert own.size == side and own(pictures(2, 64)).shape[0] == 2
    smaller = TimmFeatures(TimmFeatures.Config(model="test_vit", size=64))
    assert smaller(pictures(2, 96)).shape[0] == 2
    vit = component(Discriminator, {"name": "timm-discriminator", "model": "test_vit", "stages": 2}, 64)
    assert vit(pictures(2, 64), None).score.shape[:2] == (2, 1)


def test_an_unknown_network_is_named_with_its_nearest() -> None:
    with pytest.raises(RecipeError, match="timm has no network 'resnet81'; did you mean"):
        component(Discriminator, {"name": "timm-discriminator", "model": "resnet81"})
    with pytest.raises(RecipeError, match="stages=7"):
        component(Discriminator, {"name": "timm-discriminator", "model": SMALL, "stages": 7})


def test_a_penalty_on_a_timm_discriminator_reaches_its_weights() -> None:
    network = component(Discriminator, {"name": "timm-discriminator", "model": SMALL, "stages": 3}, 64)
    image = pictures(2, 64).requires_grad_()
    verdict = network(image, None)
    assert verdict.score.shape[:2] == (2, 1) and verdict.logits.shape == (2, network.encoder.classes)
    (slope,) = torch.autograd.grad(verdict.score.sum(), image, create_graph=True)
    slope.square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in network.score.parameters() if each.ndim > 1)
    trunk = [each for each in network.trunk.parameters() if each.ndim == 4 and each.grad is not None]
    assert trunk and all(each.grad.any() for each in trunk[:3])


def test_content_is_compared_by_pixels_or_by_features() -> None:
    real, fake = pictures(), pictures().flip(3)
    t = translation(real, fake, truth=fake)
    assert torch.allclose(loss("content").generator(t), (real - fake).abs().mean((1, 2, 3)))
    own = loss({"name": "content", "network": {"name": "timm", "model": SMALL}, "layers": [0, 2]})
    network = features()
    wanted = [(a - b).abs().flatten(1).mean(1) for a, b in zip(network.maps(fake), network.maps(real), strict=True)]
    assert torch.allclose(own.generator(t), (wanted[0] + wanted[2]) / 2, atol=1e-6)
    assert not own.state_dict() and not list(own.parameters()), "its weights are in no checkpoint"
    own.double()
    assert next(own._network[0].parameters()).dtype == torch.float64, "and move with it"
    assert loss({"name": "content", "to": "truth"}).generator(t).tolist() == [0.0, 0.0]
    assert loss({"name": "content", "to": "truth"}).needs_truth and not loss("content").needs_truth
    with pytest.raises(RecipeError, match=r"loss 'content' .*layers: there is no map 9; the network has"):
        loss({"name": "content", "network": {"name": "timm", "model": SMALL}, "layers": [9]})
    with pytest.raises(RecipeError, match=r"loss 'content': features 'timm' .*model: timm has no network 'resnt18'"):
        loss({"name": "content", "network": {"name": "timm", "model": "resnt18"}})
    with pytest.raises(RecipeError, match="layers are of a network, and none is given"):
        loss({"name": "content", "layers": [1]})


def test_features_are_a_kind_of_component() -> None:
    assert isinstance(component_features(), Features)


def component_features() -> Features:
    from pydantic import TypeAdapter

    from mdtranslate import Choice

    return TypeAdapter(Choice[Features]).validate_python({"name": "timm", "model": SMALL}).build()
