"""Contract checks for authors of components, and pytest fixtures.

A test that takes `check` and calls it runs every check of a contract as a test of its own::

    from mdtranslate.testing import dataset_checks

    @dataset_checks(Pets(Pets.Config(root="tests/pets")))
    def test_contract(check):
        check()

Every decorator takes a component's class, which is then built with default settings, or a function that builds it
(datasets: an instance or a function). These are the arguments of that function:

- `dataset_checks`, `features_checks`, `importer_checks`: none;
- `encoder_checks`: the attributes of each dataset;
- `generator_checks`, `discriminator_checks`, `loss_checks`: a label encoder and an image size;
- `metric_checks`: attributes and the features of the attribute classifier.

`skip=["name_of_a_check"]` leaves checks out. `mdtranslate plugins check NAME` runs the same checks.

The pytest fixtures `tiny_dataset`, `tiny_run`, `register` and `no_network` are available wherever mdtranslate is
installed.
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

# Module and name of each suite. They are imported on first use: that of datasets needs no torch.
SUITES = {
    "dataset": "datasets:DATASET",
    "encoder": "encoders:ENCODER",
    "generator": "networks:GENERATOR",
    "discriminator": "networks:DISCRIMINATOR",
    "loss": "losses:LOSS",
    "metric": "metric_suite:METRIC",
    "features": "feature_suite:FEATURES",
    "importer": "importer_suite:IMPORTER",
}


def suite(kind: str) -> Suite[Any]:
    """Returns the checks of a kind of component.

    Args:
        kind: dataset, encoder, generator, discriminator, loss, metric, features or importer.
    """
    module, _, name = SUITES[kind].partition(":")
    checks: Suite[Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return checks


def dataset_checks(component: Dataset | Callable[[], Dataset], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a dataset.

    Args:
        component: The dataset, or a function that builds it. Its settings must name existing data, preferably few
            files in the real layout.
        skip: Names of checks to leave out.
    """
    return suite("dataset").cases(component, skip)


def encoder_checks(
    component: type[LabelEncoder] | Callable[..., LabelEncoder], skip: Collection[str] = ()
) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a label encoder.

    Args:
        component: The class, or a function that builds a label encoder for the attributes of each dataset.
        skip: Names of checks to leave out.
    """
    return suite("encoder").cases(component, skip)


def generator_checks(
    component: type[Generator] | Callable[..., Generator], skip: Collection[str] = (), size: int = 32
) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a generator.

    Args:
        component: The class, or a function that builds a generator for a label encoder and an image size. Keep it
            small, since it is built dozens of times.
        skip: Names of checks to leave out.
        size: Height and width of the images in pixels.
    """
    return suite("generator").cases(component, skip, size=size)


def discriminator_checks(
    component: type[Discriminator] | Callable[..., Discriminator], skip: Collection[str] = (), size: int = 32
) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a discriminator.

    Args:
        component: The class, or a function that builds a discriminator for a label encoder and an image size. Keep it
            small, since it is built dozens of times.
        skip: Names of checks to leave out.
        size: Height and width of the images in pixels.
    """
    return suite("discriminator").cases(component, skip, size=size)


def features_checks(
    component: type[Features] | Callable[[], Features], skip: Collection[str] = ()
) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a feature network.

    Args:
        component: The class, or a function that builds the network.
        skip: Names of checks to leave out.
    """
    return suite("features").cases(component, skip)


def importer_checks(
    component: type[Importer] | Callable[[], Importer], skip: Collection[str] = ()
) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of an importer of published checkpoints.

    Args:
        component: The class, or a function that builds the importer.
        skip: Names of checks to leave out.
    """
    return suite("importer").cases(component, skip)


def loss_checks(component: type[Loss] | Callable[..., Loss], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a loss.

    Args:
        component: The class, or a function that builds a loss for a label encoder and an image size.
        skip: Names of checks to leave out.
    """
    return suite("loss").cases(component, skip)


def metric_checks(component: type[Metric] | Callable[..., Metric], skip: Collection[str] = ()) -> pytest.MarkDecorator:
    """Parametrises a test by the checks of a metric.

    Args:
        component: The class, or a function that builds a metric for attributes and the features of the attribute
            classifier.
        skip: Names of checks to leave out.
    """
    return suite("metric").cases(component, skip)
