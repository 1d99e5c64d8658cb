"""For each check of feature networks and of importers, one that breaks it."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import torch
from bad_settings import COMMON, variants
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from mdtranslate import Features, Importer
from mdtranslate.errors import CheckpointError, DataError


class GoodFeatures(Features):
    """Means of parts of a picture, mixed by weights that are the same each time."""

    name = "good-features"
    label = "good"
    identity = "good 1"

    def __init__(self, config):
        super().__init__(config)
        self.mix = nn.Parameter(torch.linspace(-1, 1, 60).reshape(5, 12), requires_grad=False)

    def forward(self, image):
        return adaptive_avg_pool2d(image, 2).flatten(1) @ self.mix.T

    def maps(self, image):
        return [image, avg_pool2d(image, 2)]


variant = variants(GoodFeatures)


def forward(change):
    """Good, with its features changed."""
    return variant(forward=lambda self, image: change(self, image, GoodFeatures.forward(self, image)))


def _drawn(self, config):
    GoodFeatures.__init__(self, config)
    self.mix = nn.Parameter(torch.rand(5, 12), requires_grad=False)


def _learning(self, config):
    GoodFeatures.__init__(self, config)
    self.mix.requires_grad_()


def _drawing(self, image, found):
    torch.rand(())
    return found


def _shifted(self, image, found):
    image.mul_(0.5)
    return found


def all_of(good, make):
    return {name: SimpleNamespace(cls=cls, config=config) for name, (cls, config) in COMMON(good, make).items()}


FEATURES = {
    **all_of(GoodFeatures, variant),
    "gives_features": forward(lambda self, image, found: found[:, :, None]),
    "gives_maps": variant(maps=lambda self, image: [avg_pool2d(image, 2), image]),
    "takes_pictures_of_any_size": forward(lambda self, image, found: image.flatten(1)),
    "heeds_the_picture": forward(lambda self, image, found: found * 0),
    "is_never_trained": variant(__init__=_learning),
    "pictures_do_not_mix": forward(lambda self, image, found: found - found.mean(0)),
    "maps_teach_the_picture": variant(maps=lambda self, image: [image.detach()]),
    "identity_tells_networks_apart": variant(__init__=_drawn),
    "draws_nothing": forward(_drawing),
    "leaves_its_input": forward(_shifted),
}


class GoodImporter(Importer):
    """Knows nothing, and says so."""

    name = "good-importer"

    def read(self, states, attributes):
        raise CheckpointError(f"{next(iter(states))}: holds no generator")


importer = variants(GoodImporter)


def _asks(self, states, attributes):
    socket.getaddrinfo("127.0.0.1", 80)
    return GoodImporter.read(self, states, attributes)


def _wrong_error(self, states, attributes):
    raise DataError("there is no such weight")


IMPORTERS = {
    **all_of(GoodImporter, importer),
    "weights_of_something_else_are_refused": importer(read=_wrong_error),
    "a_file_without_weights_is_refused": importer(read=lambda self, states, attributes: None),
    "opens_no_file_itself": importer(read=_asks),
}
