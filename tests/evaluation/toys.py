"""An untrained run on the dataset `squares`."""

from __future__ import annotations

from pathlib import Path

from mdtranslate.api import Crop
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_loader import ResolvedRecipe, resolve
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.config.schema import ClassifierTraining
from mdtranslate.data.recipe_datasets import attributes_by_dataset, build_datasets
from mdtranslate.inference.translator import Translator

RECIPE = """
label_encoder = "mask-vector"
generator = { name = "stargan-generator", channels = 4, blocks = 1 }
discriminator = { name = "stargan-discriminator", channels = 4, layers = 2 }
losses.wgan-gp = {}
data.image_size = 16
train.critic_steps = 2
"""


def classifier_training(**settings: int) -> ClassifierTraining:
    """Returns training settings of a classifier, with flips as `data.flip` has them by default."""
    return ClassifierTraining.model_validate({"flip": True, **settings})


def toy_recipe(folder: Path, datasets: str) -> ResolvedRecipe:
    """Returns a recipe of small networks for datasets in TOML."""
    (folder / "toy.toml").write_text(RECIPE + datasets)
    return resolve(str(folder / "toy.toml"))


def toy_model(recipe: Recipe) -> Model:
    attributes = attributes_by_dataset(build_datasets(recipe))
    return Model.build(
        recipe.label_encoder, recipe.generator, recipe.discriminator, attributes=attributes, image_size=16
    )


def toy_run(folder: Path, datasets: str) -> RunFolder:
    """Creates the folder of such a run, with an untrained translator."""
    resolved = toy_recipe(folder, datasets)
    run = RunFolder.create("toy", folder / "run")
    run.record_start(resolved, {})
    model = toy_model(resolved.recipe)
    crops = dict.fromkeys(model.label_encoder.datasets, Crop())
    Translator(model, image_size=16, crops=crops).save(run.translator)
    return run
