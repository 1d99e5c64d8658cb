"""The contract of each part, and both recipes for a few steps."""

import pytest
from mdtranslate_attgan.losses import Classification, Reconstruction
from mdtranslate_attgan.networks import AttGANDiscriminator, AttGANGenerator

from mdtranslate.recipes import resolve
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
