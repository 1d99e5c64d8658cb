"""The contract, weights of a file, and a run of four steps."""

from types import SimpleNamespace

import pytest
import timm
import torch
from mdtranslate_perceptual.loss import Perceptual
from torch.nn import functional as F

from mdtranslate.testing import loss_checks

SMALL = {"name": "timm", "model": "test_resnet"}


def small(encoder, size, network=SMALL, stages=2, **settings):
    config = Perceptual.Config(network=network, stages=stages, **settings)
    return Perceptual(config, encoder=encoder, image_size=size)


@loss_checks(small)
def test_the_contract(check):
    check()


@loss_checks(lambda encoder, size: small(encoder, size, of="translation"))
def test_the_contract_of_the_other_way(check):
    check()


def test_weights_of_a_file_are_taken_and_in_no_checkpoint(tmp_path):
    torch.manual_seed(3)
    whole = timm.create_model("test_resnet")
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    loss = small(None, 32, network={**SMALL, "weights": str(tmp_path / "w.pth")})
    assert loss.state_dict() == {} and list(loss.parameters()) == []
    own = loss._network[0].network.state_dict()
    assert own and all(torch.equal(each, whole.state_dict()[name]) for name, each in own.items())


def test_more_stages_than_the_network_has_are_refused_when_it_is_made():
    count = len(small(None, 32)._network[0].maps(torch.zeros(1, 3, 32, 32)))
    small(None, 32, stages=count)
    with pytest.raises(ValueError, match=f"^stages={count + 1}: the network has {count} feature maps$"):
        small(None, 32, stages=count + 1)


def test_it_is_what_it_says_it_is():
    loss = small(None, 32)
    one, other = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    found = loss.generator(SimpleNamespace(real=one, reconstruction=other)).item()
    maps = zip(*(loss._network[0].maps(each)[:2] for each in (one, other)), strict=True)
    # 2 less twice the cosine: what the squared difference of two vectors of length 1 is.
    expected = [(2 - 2 * F.cosine_similarity(mine, theirs, dim=1)).mean().item() for mine, theirs in maps]
    assert found == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_that_stargan_trains_with_it(tiny_run):
    run = tiny_run("losses.perceptual={ network = { name = 'timm', model = 'test_resnet' }, stages = 2 }")
    assert "generator/perceptual" in (run / "log.jsonl").read_text()
