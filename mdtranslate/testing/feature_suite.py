"""Checks of the contract of feature networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mdtranslate.api import Features
from mdtranslate.testing.checks import Suite
from mdtranslate.testing.component_checks import add_common_checks, as_builder
from mdtranslate.testing.sample_components import random_images
from mdtranslate.testing.side_effects import random_state
from mdtranslate.utils.device import isolated_rng

FeaturesBuilder = Callable[[], Features]
TOLERANCE = 1e-4
"""Relative difference of features that rounding may cause."""


class FeaturesCase:
    """A feature network with images.

    Attributes:
        build: Builds the network.
        network: The network.
        component: Its class.
        config: Its settings.
        real: Four images of 64 x 64 pixels.
    """

    def __init__(self, component: type[Features] | FeaturesBuilder) -> None:
        """Initialises the case.

        Args:
            component: The class, built with default settings, or a function that builds the network.
        """
        self.build: FeaturesBuilder = as_builder(component)
        self.network = self.new_instance()
        self.component, self.config = type(self.network), self.network.config
        self.real = random_images(4, 64)

    def new_instance(self, seed: int = 0) -> Features:
        """Builds another network with torch's generator seeded by `seed`."""
        with isolated_rng(seed):
            return self.build()


FEATURES: Suite[FeaturesCase] = Suite(FeaturesCase)
add_common_checks(FEATURES)


@FEATURES.prerequisite
def returns_features(case: FeaturesCase) -> str | None:
    """For images (B, 3, H, W) in [-1, 1], `forward` returns features (B, F), finite and of a floating-point dtype.

    Metrics compare distributions of features.
    """
    features = case.network(case.real)
    has_format = features.dim() == 2 and len(features) == len(case.real) and features.is_floating_point()
    return None if has_format and features.isfinite().all() else f"{features.dtype} {list(features.shape)}"


@FEATURES.prerequisite
def returns_feature_maps(case: FeaturesCase) -> str | None:
    """`feature_maps` returns at least one map (B, C, h, w), finite, from early to late layers: sizes never increase.

    Perceptual losses and distances select maps by their position.
    """
    maps = _feature_maps(case.network, case.real)
    if not maps:
        return "none"
    for feature_map in maps:
        if feature_map.dim() != 4 or len(feature_map) != len(case.real) or not feature_map.isfinite().all():
            return f"{list(feature_map.shape)}"
    sizes = [feature_map.shape[2] * feature_map.shape[3] for feature_map in maps]
    return None if sizes == sorted(sizes, reverse=True) else f"maps of {sizes} pixels"


@FEATURES.check
def accepts_any_image_size(case: FeaturesCase) -> str | None:
    """Images of 16 x 16, 100 x 100 and 48 x 80 pixels have features of the same length.

    The network resizes images to the size that it expects.
    """
    for height, width in ((16, 16), (100, 100), (48, 80)):
        real = torch.nn.functional.interpolate(case.real, (height, width))
        shape = case.network(real).shape
        if shape != case.network(case.real).shape:
            return f"{list(shape)} for {height} x {width} pixels"
    return None


@FEATURES.check
def depends_on_the_image(case: FeaturesCase) -> str | None:
    """Different images have different features.

    Otherwise images cannot be compared.
    """
    features = case.network(case.real)
    is_equal = any(torch.equal(features[0], other) for other in features[1:])
    return "two images have the same features" if is_equal else None


@FEATURES.check
def is_frozen(case: FeaturesCase) -> str | None:
    """No parameter requires a gradient, and `train()` does not change the features.

    Measurements must not change during training, and losses are set to training mode with all their modules.
    """
    network = case.new_instance()
    if trainable := [name for name, param in network.named_parameters() if param.requires_grad]:
        return f"{trainable[0]} requires a gradient"
    features = network(case.real)
    difference = float((network.train()(case.real) - features).abs().max())
    return f"features differ by {difference:.3g} in training mode" if difference > 0 else None


@FEATURES.check
def samples_are_independent(case: FeaturesCase) -> str | None:
    """The features of an image are the same alone and in a batch.

    Measurements must not depend on how images are batched.
    """
    features = case.network(case.real)
    one_by_one = torch.cat([case.network(image[None]) for image in case.real])
    difference = float((features - one_by_one).abs().max())
    is_close = difference <= TOLERANCE * max(1.0, float(features.abs().max()))
    return None if is_close else f"features differ by {difference:.3g}"


@FEATURES.check
def feature_maps_have_gradients(case: FeaturesCase) -> str | None:
    """Feature maps have a gradient with respect to the image, finite and not 0.

    Perceptual losses need it.
    """
    real = case.real.clone().requires_grad_()
    maps = _feature_maps(case.network, real)
    total = torch.stack([feature_map.square().mean() for feature_map in maps]).sum()
    if not total.requires_grad:
        return "none"
    (gradient,) = torch.autograd.grad(total, real)
    return None if gradient.isfinite().all() and gradient.any() else "0, or not finite"


@FEATURES.check
def fingerprint_identifies_the_network(case: FeaturesCase) -> str | None:
    """`fingerprint` and `display_name` are single lines, and networks of equal fingerprints give the same features.

    Figures are only compared if fingerprints are equal. Random weights must be the same every time, or be part of the
    fingerprint.
    """
    first, second = case.new_instance(0), case.new_instance(1)
    for text in (first.fingerprint, first.display_name):
        if not isinstance(text, str) or not re.fullmatch(r"\S.*", text):
            return repr(text)
    if first.fingerprint == second.fingerprint and not torch.equal(first(case.real), second(case.real)):
        return f"other features of {first.fingerprint!r} with another seed"
    return None


@FEATURES.check
def draws_no_random_numbers(case: FeaturesCase) -> str | None:
    """It does not change the state of the global random generators.

    Measurements during a run must not change the run.
    """
    before = random_state()
    case.network(case.real)
    _feature_maps(case.network, case.real)
    return None if random_state() == before else "the state of random, numpy.random or torch changed"


@FEATURES.check
def does_not_modify_its_input(case: FeaturesCase) -> str | None:
    """It does not modify images.

    Other code uses them afterwards.
    """
    real = case.real.clone()
    case.network(real)
    _feature_maps(case.network, real)
    return None if torch.equal(real, case.real) else "they were modified"


def _feature_maps(network: Features, real: Tensor) -> Sequence[Tensor]:
    maps: Sequence[Tensor] = network.feature_maps(real)
    return maps
