"""A run over the dataset `squares` that nobody trained."""

from __future__ import annotations

from pathlib import Path

from mdtranslate.api import Crop
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import Resolved, resolve
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.config.schema import Judging, Recipe
from mdtranslate.data.source import attributes_of, build_sources
from mdtranslate.inference.translator import Translator

RECIPE = """
encoder = "mask-vector"
generator = { name = "stargan-generator", channels = 4, blocks = 1 }
discriminator = { name = "stargan-discriminator", channels = 4, layers = 2 }
losses.wgan-gp = {}
data.image_size = 16
train.critic_steps = 2
"""


def judging(**settings: int) -> Judging:
    """How a judge is trained, mirrored pictures among it, with these settings."""
    return Judging.model_validate({"flip": True, **settings})


def toy_recipe(folder: Path, datasets: str) -> Resolved:
    """Small networks and the datasets that are given as TOML."""
    (folder / "toy.toml").write_text(RECIPE + datasets)
    return resolve(str(folder / "toy.toml"))


def toy_model(recipe: Recipe) -> Model:
    attributes = attributes_of(build_sources(recipe))
    return Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=16)


def toy_run(folder: Path, datasets: str) -> RunFolder:
    """The folder of such a run, with a translator that knows nothing."""
    resolved = toy_recipe(folder, datasets)
    run = RunFolder.create("toy", folder / "run")
    run.begin(resolved, {})
    model = toy_model(resolved.recipe)
    crops = dict.fromkeys(model.encoder.datasets, Crop())
    Translator(model, image_size=16, crops=crops).save(run.translator)
    return run
