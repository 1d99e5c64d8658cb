"""For each check of feature networks and of importers, one that breaks it."""

from __future__ import annotations

import socket

import torch
from bad_settings import break_common_checks, subclass_factory
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from mdtranslate import Features, Importer
from mdtranslate.errors import CheckpointError, DataError


class GoodFeatures(Features):
    """Average colours of the quarters of an image, mixed by constant weights."""

    name = "good-features"
    display_name = "good"
    fingerprint = "good 1"

    def __init__(self, config):
        super().__init__(config)
        self.mix = nn.Parameter(torch.linspace(-1, 1, 60).reshape(5, 12), requires_grad=False)

    def forward(self, image):
        return adaptive_avg_pool2d(image, 2).flatten(1) @ self.mix.T

    def feature_maps(self, image):
        return [image, avg_pool2d(image, 2)]


variant = subclass_factory(GoodFeatures)


def forward(change):
    """Changes the features."""
    return variant(forward=lambda self, image: change(self, image, GoodFeatures.forward(self, image)))


def _random_weights(self, config):
    GoodFeatures.__init__(self, config)
    self.mix = nn.Parameter(torch.rand(5, 12), requires_grad=False)


def _trainable_weights(self, config):
    GoodFeatures.__init__(self, config)
    self.mix.requires_grad_()


def _draw(self, image, features):
    torch.rand(())
    return features


def _modify_images(self, image, features):
    image.mul_(0.5)
    return features


FEATURES = {
    **break_common_checks(GoodFeatures, variant),
    "returns_features": forward(lambda self, image, features: features[:, :, None]),
    "returns_feature_maps": variant(feature_maps=lambda self, image: [avg_pool2d(image, 2), image]),
    "accepts_any_image_size": forward(lambda self, image, features: image.flatten(1)),
    "depends_on_the_image": forward(lambda self, image, features: features * 0),
    "is_frozen": variant(__init__=_trainable_weights),
    "samples_are_independent": forward(lambda self, image, features: features - features.mean(0)),
    "feature_maps_have_gradients": variant(feature_maps=lambda self, image: [image.detach()]),
    "fingerprint_identifies_the_network": variant(__init__=_random_weights),
    "draws_no_random_numbers": forward(_draw),
    "does_not_modify_its_input": forward(_modify_images),
}


class GoodImporter(Importer):
    """Accepts no file, with a proper message."""

    name = "good-importer"

    def read(self, states, attributes):
        raise CheckpointError(f"{next(iter(states))}: holds no generator")


importer = subclass_factory(GoodImporter)


def _use_network(self, states, attributes):
    socket.getaddrinfo("127.0.0.1", 80)
    return GoodImporter.read(self, states, attributes)


def _raise_wrong_error(self, states, attributes):
    raise DataError("there is no such weight")


IMPORTERS = {
    **break_common_checks(GoodImporter, importer),
    "rejects_unrelated_weights": importer(read=_raise_wrong_error),
    "rejects_empty_files": importer(read=lambda self, states, attributes: None),
    "opens_no_files": importer(read=_use_network),
}
