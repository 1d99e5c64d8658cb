"""The contract, weights of a file, and a run of four steps."""

import timm
import torch
from mdtranslate_perceptual.loss import Perceptual

from mdtranslate.testing import loss_checks


def small(encoder, size, **settings):
    config = Perceptual.Config(model="test_resnet", stages=2, **settings)
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
    loss = small(None, 32, weights=tmp_path / "w.pth")
    assert loss.state_dict() == {} and list(loss.parameters()) == []
    own = loss._network[0].state_dict()
    assert own and all(torch.equal(each, whole.state_dict()[name]) for name, each in own.items())


def test_that_stargan_trains_with_it(tiny_run):
    run = tiny_run("losses.perceptual={ model = 'test_resnet', stages = 2 }")
    assert "generator/perceptual" in (run / "log.jsonl").read_text()
