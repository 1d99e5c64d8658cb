"""Runs commands of the documentation, with settings that make them take seconds."""

from __future__ import annotations

import re

from click.testing import CliRunner, Result

from mdtranslate.cli.main import cli
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.registry import registry
from mdtranslate.config.toml_tree import flatten
from mdtranslate.errors import MdtranslateError
from mdtranslate.testing.fixtures import TINY_SETTINGS


def run_command(*arguments: str) -> Result:
    """Runs `mdtranslate` in this process, because a subprocess spends most of its time importing torch."""
    result = CliRunner().invoke(cli, arguments)
    if isinstance(result.exception, MdtranslateError):
        result.exit_code = result.exception.exit_code
    elif result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def tiny_settings(arguments: list[str]) -> list[str]:
    """Returns settings with which the `run` or `doctor` command of these arguments takes seconds."""
    overrides = [word for word in arguments if re.match(r"datasets[.=]", word) and "--plugin" not in arguments]
    recipe = next(word for word in arguments if word in registry().names("recipe"))
    keys = {key for key, _ in flatten(resolve(recipe, overrides).tree)}
    if any(word.startswith("datasets=") for word in arguments):
        keys = {key for key in keys if not key.startswith("datasets.avatars.")}
    settings = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
    settings.append("datasets.celeba.split=official")  # The splits of the recipes need thousands of images.
    settings += [setting for setting in TINY_SETTINGS if not setting.startswith(("generator.", "discriminator."))]
    return [item for item in settings if item.startswith(("data.", "train.")) or item.partition("=")[0] in keys]
