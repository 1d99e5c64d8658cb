"""Commands of the documentation, as a reader types them, made a matter of seconds."""

from __future__ import annotations

import re

from click.testing import CliRunner, Result

from mdtranslate.cli.main import cli
from mdtranslate.config.recipes import flat, resolve
from mdtranslate.config.registry import registry
from mdtranslate.errors import MdtranslateError
from mdtranslate.testing.fixtures import TINY


def typed(*words: str) -> Result:
    """`mdtranslate` with these words, in this process: most of a short command is the import of torch."""
    done = CliRunner().invoke(cli, words)
    if isinstance(done.exception, MdtranslateError):
        done.exit_code = done.exception.exit_code
    elif done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def small(words: list[str]) -> list[str]:
    """Settings that make a training, or a look at data, of these words a matter of seconds."""
    given = [word for word in words if re.match(r"datasets[.=]", word) and "--plugin" not in words]
    recipe = next(word for word in words if word in registry().names("recipe"))
    found = {key for key, _ in flat(resolve(recipe, given).tree)}
    if any(word.startswith("datasets=") for word in words):
        found = {key for key in found if not key.startswith("datasets.avatars.")}
    wanted = ["generator.channels=4", "generator.blocks=1", "discriminator.channels=4", "discriminator.layers=3"]
    wanted.append("datasets.celeba.split=official")  # Those of the recipes need thousands of pictures.
    wanted += [each for each in TINY if not each.startswith(("generator.", "discriminator."))]
    return [each for each in wanted if each.startswith(("data.", "train.")) or each.partition("=")[0] in found]
