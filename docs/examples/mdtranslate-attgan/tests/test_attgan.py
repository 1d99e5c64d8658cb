"""The contract of each component, and a short run of each recipe."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

import mdtranslate_attgan
import pytest
import torch
from mdtranslate_attgan.losses import Classification, Reconstruction
from mdtranslate_attgan.networks import AttGANDiscriminator, AttGANGenerator

from mdtranslate.errors import DataError
from mdtranslate.testing import discriminator_checks, generator_checks, loss_checks


def build_generator(label_encoder, image_size, **settings):
    config = AttGANGenerator.Config(channels=4, layers=3, **settings)
    return AttGANGenerator(config, label_encoder=label_encoder, image_size=image_size)


def build_stgan_generator(label_encoder, image_size):
    return build_generator(label_encoder, image_size, label="difference", shortcuts=2, injections=0)


def build_discriminator(label_encoder, image_size):
    config = AttGANDiscriminator.Config(channels=4, layers=3, hidden=8)
    return AttGANDiscriminator(config, label_encoder=label_encoder, image_size=image_size)


@generator_checks(build_generator)
def test_generator(check):
    check()


@generator_checks(build_stgan_generator)
def test_generator_of_stgan(check):
    check()


@discriminator_checks(build_discriminator)
def test_discriminator(check):
    check()


@loss_checks(Reconstruction)
def test_reconstruction(check):
    check()


@loss_checks(Classification)
def test_classification(check):
    check()


def test_layers_equal_those_of_the_released_code():
    label_encoder = SimpleNamespace(condition_size=13, num_logits=13)
    with torch.device("meta"):
        generator = AttGANGenerator(AttGANGenerator.Config(), label_encoder=label_encoder, image_size=128)
        discriminator = AttGANDiscriminator(AttGANDiscriminator.Config(), label_encoder=label_encoder, image_size=128)
    parts = (generator.down, generator.up, discriminator.down)
    layers = [[(block[0].in_channels, block[0].out_channels) for block in part] for part in parts]
    down = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    # The latent and the label; the second layer also has the skip connection; then only the previous layer.
    up = [(1024 + 13, 1024), (1024 + 512 + 13, 512), (512, 256), (256, 128), (128, 3)]
    assert layers == [down, up, down]


def test_classification_is_the_mean_over_attributes():
    # The first dataset has 13 attributes, the second 2; the loss of each attribute is 0.5.
    label_encoder = SimpleNamespace(attributes=[range(13), range(2)], dataset_index=lambda label: label[:, 0].long())
    label = torch.tensor([[0.0], [1.0]])
    t = SimpleNamespace(source=label, target=label, real_output=None, fake_output=None)
    t.classification_loss = lambda output, label: torch.tensor([6.5, 1.0])
    loss = Classification(Classification.Config(), label_encoder=label_encoder, image_size=128)
    assert loss.discriminator(t).tolist() == [0.5, 0.5]
    assert loss.generator(t).tolist() == [5.0, 5.0]


SMALL_NETWORKS = (
    "generator.channels=4",
    "generator.layers=3",
    "discriminator.channels=4",
    "discriminator.layers=3",
    "discriminator.hidden=8",
)
SMALL_DATASET = (
    "datasets.avatars.train=24",
    "datasets.avatars.val=4",
    "datasets.avatars.test=8",
    "datasets.avatars.size=32",
)


@pytest.mark.parametrize("label", ["target", "difference"])
def test_the_recipe_trains(tiny_run, label):
    run = tiny_run(*SMALL_DATASET, *SMALL_NETWORKS, f"generator.label={label}", recipe="attgan-avatars")
    assert (run / "translator").is_dir()


def test_the_recipe_of_the_paper_is_valid(tiny_run, tmp_path):
    file = Path(mdtranslate_attgan.__file__).parent / "recipes" / "attgan.toml"
    recipe = tomllib.loads(file.read_text("utf-8"))
    assert recipe["generator"]["name"] == "attgan-generator" and recipe["data"]["batch_size"] == 32
    # The run accepts the recipe with its settings, and then finds no images.
    with pytest.raises(DataError, match=str(tmp_path)):
        tiny_run(f"datasets.celeba.root='{tmp_path}'", *SMALL_NETWORKS, recipe="attgan")
