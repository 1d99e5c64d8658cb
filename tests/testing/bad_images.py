"""For each check of a dataset's images and side effects, one that breaks it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import socket
import time

import numpy as np
from bad_datasets import Good, replaced, variant

from mdtranslate import Crop, Record
from mdtranslate.errors import DataError, PluginError
from mdtranslate.utils.image_io import read_image


def with_images(change):
    """Changes each loaded image: `change(self, record, image)`."""

    def load(self, record):
        return change(self, record, Good.load(self, record))

    return variant(load=load)


class CropFromImage(Good):
    """Its crop depends on the last image that was loaded."""

    def load(self, record):
        self.image = super().load(record)
        return self.image

    @property
    def crop(self):
        return Crop(side=self.image.shape[0] / self.image.shape[0])


class SharedBuffer(Good):
    """All threads share one buffer."""

    def load(self, record):
        self.buffer = super().load(record)
        time.sleep(0.01)
        return self.buffer


class InvertsInWorkers(Good):
    """Inverts images in processes that another process started."""

    def load(self, record):
        return 255 - super().load(record) if multiprocessing.parent_process() else super().load(record)


PROCESS_ID = os.getpid()


class InvertsInForks(Good):
    """Inverts images in processes other than the one that imported it."""

    def load(self, record):
        return super().load(record) if os.getpid() == PROCESS_ID else 255 - super().load(record)


class HangsInForks(Good):
    """Never returns in a forked process, as if it waited for a lock that nobody there can release."""

    def load(self, record):
        while os.getpid() != PROCESS_ID:
            time.sleep(1)
        return super().load(record)


class HidesErrors(Good):
    """Returns a grey image for an unreadable file."""

    def load(self, record):
        try:
            return super().load(record)
        except DataError:
            return np.full((8, 8, 3), 128, np.uint8)


class WrongError(Good):
    """Raises `PluginError` for an unreadable file."""

    def load(self, record):
        try:
            return super().load(record)
        except DataError as error:
            raise PluginError("the decoder is broken") from error


class FailsOnce(Good):
    """Fails to load the first image."""

    calls = 0

    def load(self, record):
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("not yet")
        return super().load(record)


class CountsLoads(Good):
    """Returns another image every time, in all instances."""

    loads = 0

    def load(self, record):
        image = super().load(record)
        type(self).loads += 1
        return image ^ np.uint8(type(self).loads % 256)


class Counterfactuals(Good):
    """The image of the other species is the negative."""

    def load(self, record):
        return 255 - read_image(record.image) if record.key.endswith("other") else super().load(record)

    def counterfactual(self, record, attributes):
        if record.attributes.get("species") == attributes.get("species", record.attributes["species"]):
            return None
        return self.edited(record, {**record.attributes, **attributes})

    def edited(self, record, attributes):
        return Record(f"{record.key}-other", record.image, attributes)


def counterfactuals(**changes):
    return type("Variant", (Counterfactuals,), {"__doc__": Counterfactuals.__doc__, **changes})


def _keep_images(self, record):
    images = self.__dict__.setdefault("images", {})
    if record.key not in images:
        images[record.key] = Good.load(self, record)
    return images[record.key]


def _load_after_listing(self, record):
    if not hasattr(self, "is_listed"):
        raise KeyError(record.key)
    return read_image(record.image)


def _mark_listed(self, split):
    self.is_listed = True
    return list(Good.records(self, split))


def _invert_after_others(self, record, image):
    previous, self.previous = getattr(self, "previous", None), record.key
    return image if previous in (None, record.key) else 255 - image


def _add_noise(self, record, image):
    return image ^ np.uint8(random.randrange(256))


def _write_file(self, record, image):
    (self.config.root / "index.txt").write_text(record.key)
    return image


def _use_network(self, record, image):
    socket.getaddrinfo("127.0.0.1", 80)
    return image


def _leave_open(self, record, image):
    self.__dict__.setdefault("files", []).append(record.image.open("rb"))
    return image


def _print(self, record, image):
    print(record.key)
    return image


def _set_environment(self, record, image):
    os.environ["CHECKED"] = hashlib.md5(record.key.encode()).hexdigest()
    return image


def _modify_attributes(self, record, image):
    record.attributes["seen"] = True
    return image


def _draw(self, record, image):
    np.random.rand()
    return image


BAD = {
    "loads_rgb_images": with_images(lambda self, record, image: image[:, :, 0]),
    "loading_is_deterministic": CountsLoads,
    "loading_is_equal_in_new_instance": variant(records=_mark_listed, load=_load_after_listing),
    "loading_ignores_order": with_images(_invert_after_others),
    "loading_ignores_random_state": with_images(_add_noise),
    "images_are_not_shared": variant(load=_keep_images),
    "loading_does_not_modify_records": with_images(_modify_attributes),
    "loading_is_thread_safe": SharedBuffer,
    "images_can_be_resized": with_images(lambda self, record, image: np.dstack([image, image[:, :, :1]])),
    "counterfactuals_are_records": counterfactuals(
        edited=lambda self, record, attributes: Counterfactuals.edited(self, record, record.attributes)
    ),
    "counterfactuals_keep_other_attributes": counterfactuals(
        edited=lambda self, record, attributes: Counterfactuals.edited(
            self, record, {**attributes, "Striped": not attributes["Striped"]}
        )
    ),
    "counterfactuals_can_be_loaded": counterfactuals(
        load=lambda self, record: Counterfactuals.load(self, record)[: 4 if record.key.endswith("other") else None]
    ),
    "counterfactuals_have_distinct_keys": counterfactuals(
        edited=lambda self, record, attributes: replaced(record, attributes=attributes)
    ),
    "loads_in_spawned_processes": InvertsInWorkers,
    "loads_in_forked_process": InvertsInForks,
    "empty_list_can_be_cached": CropFromImage,
    "single_record_can_be_cached": FailsOnce,
    "corrupt_image_is_reported": HidesErrors,
    "truncated_image_is_reported": HidesErrors,
    "empty_image_is_reported": HidesErrors,
    "missing_image_is_reported": HidesErrors,
    "unreadable_image_stops_caching": HidesErrors,
    "unreadable_image_can_be_skipped": WrongError,
    "loading_preserves_random_state": with_images(_draw),
    "makes_no_network_requests": with_images(_use_network),
    "writes_no_files": with_images(_write_file),
    "closes_its_files": with_images(_leave_open),
    "prints_nothing": with_images(_print),
    "preserves_process_state": with_images(_set_environment),
}
