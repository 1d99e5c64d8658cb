"""The contract of importers, as checks. That pictures are those of the published code only its author can check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from mdtranslate.api import Attribute, Importer
from mdtranslate.api.importer import State
from mdtranslate.errors import CheckpointError, RecipeError
from mdtranslate.testing import sample_components
from mdtranslate.testing.checks import DoesNotApply, Suite
from mdtranslate.testing.component_checks import common, maker
from mdtranslate.testing.side_effects import watched

Make = Callable[[], Importer]
STRANGE = Path("strange.ckpt")
LABELS = (
    (sample_components.HAIR, sample_components.GLASSES),
    (sample_components.YOUNG,),
    (Attribute("kind", ("horse", "zebra")),),
)


class Given:
    """An importer."""

    def __init__(self, given: type[Importer] | Make) -> None:
        """`given`: a class, with its default settings; or a function that makes one."""
        self.importer = maker(given)()
        self.component, self.config = type(self.importer), self.importer.config


IMPORTER: Suite[Given] = Suite(Given)
common(IMPORTER)


@IMPORTER.check
def weights_of_something_else_are_refused(given: Given) -> str | None:
    """`read` of weights with other names raises `CheckpointError`, one line that names the file.

    Who has several files takes the wrong one.
    """
    return _refused(given, {"fc.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)})


@IMPORTER.check
def a_file_without_weights_is_refused(given: Given) -> str | None:
    """`read` of a file that holds no weights raises `CheckpointError`, one line that names the file.

    An interrupted training leaves such files.
    """
    return _refused(given, {})


@IMPORTER.check
def opens_no_file_itself(given: Given) -> str | None:
    """`read` opens no file and asks no network: it is given what the files hold.

    The core reads them, without running any code that is in them.
    """
    with watched() as seen:
        _refused(given, {"fc.weight": torch.zeros(3, 3)})
    opened = [path for path in seen.read if path.name == STRANGE.name]
    return f"{[*opened, *seen.network][0]}" if opened or seen.network else None


def _refused(given: Given, state: State) -> str | None:
    """What is wrong with how a file of these weights is refused."""
    for attributes in LABELS:
        try:
            found = given.importer.read({STRANGE: state}, {"pictures": attributes})
        except CheckpointError as error:
            text = str(error)
            return None if STRANGE.name in text and "\n" not in text else f"a message that does not name it: {text!r}"
        except RecipeError:
            continue  # The published code has other labels.
        return f"{type(found).__name__}, as if they were its own"
    raise DoesNotApply("it takes none of the labels that are tried")
