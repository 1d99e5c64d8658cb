"""Contract checks for the authors of components, and pytest fixtures.

A component is checked by a test that takes `check` and calls it; each promise of the contract is a case of its own::

    from mdtranslate.testing import dataset_checks

    @dataset_checks(Pets(Pets.Config(root="tests/pets")))
    def test_the_contract(check):
        check()

What is given is the component, its class (networks, losses, encoders and metrics, with default settings), or a function
that makes it: of no argument for `dataset_checks`, `features_checks` and `importer_checks`, of attributes for
`encoder_checks`, of an encoder and an image size for `generator_checks`, `discriminator_checks` and `loss_checks`, of
attributes and the judge's features for `metric_checks`. `skip=["name_of_a_check"]` leaves some out. On the command line
it is `mdtranslate plugins check NAME`.

The fixtures `tiny_dataset`, `tiny_run`, `register` and `no_network` are there wherever mdtranslate is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdtranslate.testing.checks import BrokenContract, Result, Suite

if TYPE_CHECKING:
    import pytest

    from mdtranslate.api import Dataset, Discriminator, Features, Generator, Importer, LabelEncoder, Loss, Metric

__all__ = [
    "BrokenContract",
    "Result",
    "dataset_checks",
    "discriminator_checks",
    "encoder_checks",
    "features_checks",
    "generator_checks",
    "importer_checks",
    "loss_checks",
    "metric_checks",
    "suite",
]

SUITES = {
    "dataset": "datasets:DATASET",
    "encoder": "encoders:ENCODER",
    "generator": "networks:GENERATOR",
    "discriminator": "networks:DISCRIMINATOR",
    "loss": "losses:LOSS",
    "metric": "metrics:METRIC",
    "features": "features:FEATURES",
    "importer": "importers:IMPORTER",
}
"""Where the checks of each kind are; those of datasets need no torch."""


def suite(kind: str) -> Suite[Any]:
    """The checks of a kind of component, one of `SUITES`."""
    module, _, name = SUITES[kind].partition(":")
    found: Suite[Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def dataset_checks(given: Dataset | Callable[[], Dataset], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Cases for a dataset whose settings name data that is there: small, and of the real layout."""
    return suite("dataset").cases(given, skip)


def encoder_checks(
    given: type[LabelEncoder] | Callable[..., LabelEncoder], skip: Collection[str] = ()
) -> pytest.MarkDecorator:
    """Cases for a label encoder."""
    return suite("encoder").cases(given, skip)


def generator_checks(
    given: type[Generator] | Callable[..., Generator], skip: Collection[str] = (), size: int = 32
) -> pytest.MarkDecorator:
    """Cases for a generator of pictures of `size` pixels; make it small, for it is built some dozens of times."""
    return suite("generator").cases(given, skip, size=size)


def discriminator_checks(
    given: type[Discriminator] | Callable[..., Discriminator], skip: Collection[str] = (), size: int = 32
) -> pytest.MarkDecorator:
    """Cases for a discriminator of pictures of `size` pixels; make it small, for it is built some dozens of times."""
    return suite("discriminator").cases(given, skip, size=size)


def features_checks(given: type[Features] | Callable[[], Features], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Cases for a feature network."""
    return suite("features").cases(given, skip)


def importer_checks(given: type[Importer] | Callable[[], Importer], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Cases for an importer of published checkpoints."""
    return suite("importer").cases(given, skip)


def loss_checks(given: type[Loss] | Callable[..., Loss], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Cases for a loss."""
    return suite("loss").cases(given, skip)


def metric_checks(given: type[Metric] | Callable[..., Metric], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Cases for a metric."""
    return suite("metric").cases(given, skip)
