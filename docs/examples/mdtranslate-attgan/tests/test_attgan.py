"""The contract of each part, and both recipes for a few steps."""

from types import SimpleNamespace

import pytest
import torch
from mdtranslate_attgan.losses import Classification, Reconstruction
from mdtranslate_attgan.networks import AttGANDiscriminator, AttGANGenerator

from mdtranslate.config.recipes import resolve
from mdtranslate.testing import discriminator_checks, generator_checks, loss_checks


def generator(encoder, size, **settings):
    config = AttGANGenerator.Config(channels=4, layers=3, **settings)
    return AttGANGenerator(config, encoder=encoder, image_size=size)


@generator_checks(generator)
def test_the_generator(check):
    check()


@generator_checks(lambda encoder, size: generator(encoder, size, label="difference", shortcuts=2, injections=0))
def test_the_generator_of_stgan(check):
    check()


@discriminator_checks(
    lambda encoder, size: AttGANDiscriminator(
        AttGANDiscriminator.Config(channels=4, layers=3, hidden=8), encoder=encoder, image_size=size
    )
)
def test_the_discriminator(check):
    check()


@loss_checks(Reconstruction)
def test_the_reconstruction(check):
    check()


@loss_checks(Classification)
def test_the_classification(check):
    check()


def test_the_layers_are_those_of_the_released_code():
    encoder = SimpleNamespace(size=13, classes=13)
    with torch.device("meta"):
        made = AttGANGenerator(AttGANGenerator.Config(), encoder=encoder, image_size=128)
        judge = AttGANDiscriminator(AttGANDiscriminator.Config(), encoder=encoder, image_size=128)
    parts = (made.down, made.up, judge.down)
    layers = [[(each[0].in_channels, each[0].out_channels) for each in part] for part in parts]
    down = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    # The latent and the label; with the shortcut and the label once more; then only what came before.
    up = [(1024 + 13, 1024), (1024 + 512 + 13, 512), (512, 256), (256, 128), (128, 3)]
    assert layers == [down, up, down]


def test_attributes_weigh_as_their_mean():
    # Thirteen of one dataset, two of another, each term 0.5.
    encoder = SimpleNamespace(attributes=[range(13), range(2)], dataset=lambda label: label[:, 0].long())
    label = torch.tensor([[0.0], [1.0]])
    t = SimpleNamespace(source=label, target=label, verdict_on_real=None, verdict_on_fake=None)
    t.classification = lambda verdict, label: torch.tensor([6.5, 1.0])
    loss = Classification(Classification.Config(), encoder=encoder, image_size=128)
    assert loss.discriminator(t).tolist() == [0.5, 0.5]
    assert loss.generator(t).tolist() == [5.0, 5.0]


@pytest.mark.parametrize("label", ["target", "difference"])
def test_that_its_recipe_trains(tiny_run, label):
    small = ["generator.channels=4", "generator.layers=3", "discriminator.channels=4", "discriminator.layers=3"]
    data = [
        "datasets.avatars.train=24",
        "datasets.avatars.val=4",
        "datasets.avatars.test=8",
        "datasets.avatars.size=32",
    ]
    run = tiny_run(*data, *small, "discriminator.hidden=8", f"generator.label={label}", recipe="attgan-avatars")
    assert (run / "translator").is_dir()


def test_that_the_papers_recipe_is_one(tmp_path):
    recipe = resolve("attgan", [f"datasets.celeba.root='{tmp_path}'"]).recipe
    assert recipe.generator.name == "attgan-generator" and recipe.data.batch_size == 32
