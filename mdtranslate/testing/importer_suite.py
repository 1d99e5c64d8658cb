"""Checks of the contract of importers. Whether imported models give the published images is not checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from mdtranslate.api import Attribute, Importer
from mdtranslate.api.importer import StateDict
from mdtranslate.errors import CheckpointError, RecipeError
from mdtranslate.testing.checks import NotApplicable, Suite
from mdtranslate.testing.component_checks import add_common_checks, as_builder
from mdtranslate.testing.sample_components import GLASSES, HAIR, YOUNG
from mdtranslate.testing.side_effects import recorded_side_effects

FILE = Path("unrelated.ckpt")
ATTRIBUTE_CHOICES = ((HAIR, GLASSES), (YOUNG,), (Attribute("kind", ("horse", "zebra")),))
"""Attributes of a dataset to try, since importers may accept only those of the published code."""


class ImporterCase:
    """An importer.

    Attributes:
        importer: The importer.
        component: Its class.
        config: Its settings.
    """

    def __init__(self, component: type[Importer] | Callable[[], Importer]) -> None:
        """Initialises the case.

        Args:
            component: The class, built with default settings, or a function that builds the importer.
        """
        self.importer: Importer = as_builder(component)()
        self.component, self.config = type(self.importer), self.importer.config


IMPORTER: Suite[ImporterCase] = Suite(ImporterCase)
add_common_checks(IMPORTER)


@IMPORTER.check
def rejects_unrelated_weights(case: ImporterCase) -> str | None:
    """`read` raises `CheckpointError` for weights with other names, with one line that names the file.

    Users with several files may choose the wrong one.
    """
    return _check_error(case, {"fc.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)})


@IMPORTER.check
def rejects_empty_files(case: ImporterCase) -> str | None:
    """`read` raises `CheckpointError` for a file without weights, with one line that names the file.

    An interrupted training may leave such files.
    """
    return _check_error(case, {})


@IMPORTER.check
def opens_no_files(case: ImporterCase) -> str | None:
    """`read` neither opens files nor uses the network: it receives the content of the files.

    The core reads them without running code that they contain.
    """
    with recorded_side_effects() as effects:
        _check_error(case, {"fc.weight": torch.zeros(3, 3)})
    opened = [str(path) for path in effects.read if path.name == FILE.name]
    return [*opened, *effects.network][0] if opened or effects.network else None


def _check_error(case: ImporterCase, state: StateDict) -> str | None:
    """Reads a file with these weights; describes what is wrong with the error."""
    for attributes in ATTRIBUTE_CHOICES:
        try:
            model = case.importer.read({FILE: state}, {"images": attributes})
        except CheckpointError as error:
            message = str(error)
            return None if FILE.name in message and "\n" not in message else f"a message without the file: {message!r}"
        except RecipeError:
            continue  # The published code has other labels.
        return f"no error; {type(model).__name__} was returned"
    raise NotApplicable("it accepts none of the attributes that are tried")
