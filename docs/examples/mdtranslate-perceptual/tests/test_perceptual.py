"""The contract, weights from a file, and a run of four steps."""

from types import SimpleNamespace

import pytest
import timm
import torch
from mdtranslate_perceptual.loss import Perceptual
from torch.nn import functional as F

from mdtranslate.testing import loss_checks

NETWORK = {"name": "timm", "model": "test_resnet"}


def build(label_encoder, image_size, network=NETWORK, num_maps=2, **settings):
    config = Perceptual.Config(network=network, num_maps=num_maps, **settings)
    return Perceptual(config, label_encoder=label_encoder, image_size=image_size)


@loss_checks(build)
def test_contract(check):
    check()


@loss_checks(lambda label_encoder, image_size: build(label_encoder, image_size, image="translation"))
def test_contract_for_translations(check):
    check()


def test_weights_from_a_file_are_loaded_but_not_part_of_checkpoints(tmp_path):
    torch.manual_seed(3)
    model = timm.create_model("test_resnet")
    torch.save(model.state_dict(), tmp_path / "w.pth")
    loss = build(None, 32, network={**NETWORK, "weights": str(tmp_path / "w.pth")})
    assert loss.state_dict() == {} and list(loss.parameters()) == []
    weights = loss._network[0].network.state_dict()
    assert weights and all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in weights.items())


def test_too_many_feature_maps_are_refused():
    available = len(build(None, 32)._network[0].feature_maps(torch.zeros(1, 3, 32, 32)))
    build(None, 32, num_maps=available)
    with pytest.raises(ValueError, match=f"num_maps={available + 1}"):
        build(None, 32, num_maps=available + 1)


def test_the_term_is_a_cosine_distance():
    loss = build(None, 32)
    real, reconstruction = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    term = loss.generator(SimpleNamespace(real=real, reconstruction=reconstruction)).item()
    maps = zip(*(loss._network[0].feature_maps(image)[:2] for image in (real, reconstruction)), strict=True)
    # The squared difference of two vectors of length 1 is 2 minus twice their cosine similarity.
    expected = [(2 - 2 * F.cosine_similarity(first, second, dim=1)).mean().item() for first, second in maps]
    assert term == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_stargan_trains_with_it(tiny_run):
    run = tiny_run("losses.perceptual={ network = { name = 'timm', model = 'test_resnet' }, num_maps = 2 }")
    assert "generator/perceptual" in (run / "log.jsonl").read_text()
