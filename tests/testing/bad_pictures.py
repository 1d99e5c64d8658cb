"""For each check of loading, and of how a dataset behaves, one that breaks it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import socket
import time

import numpy as np
from bad_datasets import Good, changed, variant

from mdtranslate import Crop, Record
from mdtranslate.errors import DataError, PluginError
from mdtranslate.utils.image_io import decode


def loading(change):
    """Good, with each loaded picture changed: `change(self, record, pixels)`."""

    def load(self, record):
        return change(self, record, Good.load(self, record))

    return variant(load=load)


class CropOfTheFirst(Good):
    """Its crop is that of the first picture that was loaded."""

    def load(self, record):
        self.first = super().load(record)
        return self.first

    @property
    def crop(self):
        return Crop(side=self.first.shape[0] / self.first.shape[0])


class Buffered(Good):
    """Every picture lies in one buffer for a while."""

    def load(self, record):
        self.buffer = super().load(record)
        time.sleep(0.01)
        return self.buffer


class InTheParentAlone(Good):
    """Pictures are others in a process that was started by one."""

    def load(self, record):
        return 255 - super().load(record) if multiprocessing.parent_process() else super().load(record)


HOME = os.getpid()


class WhereItWasImported(Good):
    """Pictures are others in a process that did not import it."""

    def load(self, record):
        return super().load(record) if os.getpid() == HOME else 255 - super().load(record)


class StuckInOthers(Good):
    """A process that was forked off waits for ever, as for a lock that nobody there can release."""

    def load(self, record):
        while os.getpid() != HOME:
            time.sleep(1)
        return super().load(record)


class Hides(Good):
    """What cannot be read is grey."""

    def load(self, record):
        try:
            return super().load(record)
        except DataError:
            return np.full((8, 8, 3), 128, np.uint8)


class GivesUp(Good):
    """What cannot be read is somebody else's fault."""

    def load(self, record):
        try:
            return super().load(record)
        except DataError as error:
            raise PluginError("the decoder is broken") from error


class SecondBest(Good):
    """The first picture is never loaded."""

    asked = 0

    def load(self, record):
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("not yet")
        return super().load(record)


class Counting(Good):
    """Each loading makes another picture, in all instances."""

    loaded = 0

    def load(self, record):
        pixels = super().load(record)
        type(self).loaded += 1
        return pixels ^ np.uint8(type(self).loaded % 256)


class Truths(Good):
    """Knows the picture of the other species: the negative."""

    def load(self, record):
        return 255 - decode(record.image) if record.key.endswith("other") else super().load(record)

    def counterfactual(self, record, attributes):
        if record.attributes.get("species") == attributes.get("species", record.attributes["species"]):
            return None
        return self.after(record, {**record.attributes, **attributes})

    def after(self, record, attributes):
        return Record(f"{record.key}-other", record.image, attributes)


def truths(**changes):
    return type("Variant", (Truths,), {"__doc__": Truths.__doc__, **changes})


def _keep_pictures(self, record):
    kept = self.__dict__.setdefault("kept", {})
    if record.key not in kept:
        kept[record.key] = Good.load(self, record)
    return kept[record.key]


def _only_after_listing(self, record, pixels):
    if not hasattr(self, "listed"):
        raise KeyError(record.key)
    return pixels


def _after_listing_records(self, split):
    self.listed = True
    return list(Good.records(self, split))


def _the_last_one(self, record, pixels):
    before, self.last = getattr(self, "last", None), record.key
    return pixels if before in (None, record.key) else 255 - pixels


def _noise(self, record, pixels):
    return pixels ^ np.uint8(random.randrange(256))


def _writes(self, record, pixels):
    (self.config.root / "index.txt").write_text(record.key)
    return pixels


def _asks(self, record, pixels):
    socket.getaddrinfo("127.0.0.1", 80)
    return pixels


def _leaks(self, record, pixels):
    self.__dict__.setdefault("open", []).append(record.image.open("rb"))
    return pixels


def _prints(self, record, pixels):
    print(record.key)
    return pixels


def _environment(self, record, pixels):
    os.environ["CHECKED"] = hashlib.md5(record.key.encode()).hexdigest()
    return pixels


def _marks(self, record, pixels):
    record.attributes["seen"] = True
    return pixels


def _draws(self, record, pixels):
    np.random.rand()
    return pixels


BAD = {
    "loads_pictures": loading(lambda self, record, pixels: pixels[:, :, 0]),
    "loads_the_same_twice": Counting,
    "loads_the_same_in_another_instance": variant(
        records=_after_listing_records,
        load=lambda self, record: _only_after_listing(self, record, decode(record.image)),
    ),
    "loads_in_any_order": loading(_the_last_one),
    "loads_whatever_is_random": loading(_noise),
    "pictures_are_the_callers_own": variant(load=_keep_pictures),
    "loading_changes_no_record": loading(_marks),
    "loads_in_threads": Buffered,
    "pictures_can_be_prepared": loading(lambda self, record, pixels: np.dstack([pixels, pixels[:, :, :1]])),
    "counterfactuals_are_records": truths(
        after=lambda self, record, attributes: Truths.after(self, record, record.attributes)
    ),
    "counterfactuals_keep_the_rest": truths(
        after=lambda self, record, attributes: Truths.after(
            self, record, {**attributes, "Striped": not attributes["Striped"]}
        )
    ),
    "counterfactuals_can_be_loaded": truths(
        load=lambda self, record: Truths.load(self, record)[: 4 if record.key.endswith("other") else None]
    ),
    "counterfactuals_have_keys_of_their_own": truths(
        after=lambda self, record, attributes: changed(record, attributes=attributes)
    ),
    "loads_in_spawned_processes": InTheParentAlone,
    "loads_in_a_forked_process": WhereItWasImported,
    "nothing_can_be_packed": CropOfTheFirst,
    "one_record_can_be_packed": SecondBest,
    "a_damaged_picture_is_named": Hides,
    "a_picture_cut_short_is_named": Hides,
    "an_empty_picture_is_named": Hides,
    "a_missing_picture_is_named": Hides,
    "damaged_pictures_stop_where_that_is_asked": Hides,
    "damaged_pictures_are_left_out_where_that_is_asked": GivesUp,
    "loading_touches_no_random_state": loading(_draws),
    "asks_no_network": loading(_asks),
    "writes_no_file": loading(_writes),
    "keeps_no_file_open": loading(_leaks),
    "prints_nothing": loading(_prints),
    "leaves_the_process_as_it_is": loading(_environment),
}
