"""A dataset that keeps the contract, and for each check one that does not."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, Field, field_serializer

from mdtranslate import Attribute, Crop, Dataset, Record, Settings, Split
from mdtranslate.data.images import decode
from mdtranslate.errors import DataError, PluginError


class Good(Dataset):
    """Pictures at `ROOT/SPLIT/SPECIES/*.png`; those of even numbers are striped."""

    name = "good"

    class Config(Dataset.Config):
        root: Path = Field(description="the folder")

    attributes = (Attribute("species", ("cat", "dog")), Attribute("Striped"))

    def records(self, split: Split) -> Iterable[Record]:
        if not self.config.root.is_dir():
            raise DataError(f"{self.config.root}: there is no such folder")
        for file in sorted((self.config.root / split).glob("*/*.png")):
            striped = int(file.stem) % 2 == 0
            yield Record(f"{split}/{file.name}", file, {"species": file.parent.name, "Striped": striped})


def variant(**changes):
    """Good, with class attributes of another value."""
    return type("Variant", (Good,), {"__doc__": Good.__doc__, **changes})


def listing(change):
    """Good, with the listing of each split changed: `change(self, split, records)`."""

    def records(self, split):
        return change(self, split, list(Good.records(self, split)))

    return variant(records=records)


def loading(change):
    """Good, with each loaded picture changed: `change(self, record, pixels)`."""

    def load(self, record):
        return change(self, record, Good.load(self, record))

    return variant(load=load)


def settings(base=Dataset.Config, **namespace):
    """Good, with other settings."""
    field = {"root": Field(description="the folder")} if "root" not in namespace else {}
    config = type("Config", (base,), {"__annotations__": {"root": Path}, "__module__": __name__, **field, **namespace})
    return variant(Config=config)


class _Lossy(Dataset.Config):
    root: Path = Field(description="the folder")

    @field_serializer("root")
    def _short(self, root):
        return root.name


class _Nothing(Dataset.Config):
    root: Path = Field(description="the folder")
    limit: int | None = Field(3, description="pictures at most")


class _Other(Settings):
    root: Path = Field(description="the folder")


class Unsteady(Good):
    """Its attributes are known only once it was listed."""

    _listed = False

    @property
    def attributes(self):
        return Good.attributes if self._listed else Good.attributes[:1]

    def records(self, split):
        self._listed = True
        return list(super().records(split))


class Cursor(Good):
    """One listing for all."""

    _at = None

    def records(self, split):
        self._at = self._at if self._at is not None and self._split == split else iter([*super().records(split)])
        self._split = split
        while (record := next(self._at, None)) is not None:
            yield record
        self._at = None


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


class HashOrder(Good):
    """The order of a set of texts."""

    def records(self, split):
        return sorted(super().records(split), key=lambda record: hash(record.key))


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


def _burn(records):
    for record in records:
        for _ in range(20_000):
            len(record.key)
        yield record


def _keep(self, records):
    self.kept = [bytearray(1_000_000) for _ in records]
    return records


def _twice(self, split, records):
    self.turn = getattr(self, "turn", 0) + 1
    return records[:: 1 if self.turn % 2 else -1]


TURN = [0]


def _new_each_time(self, split, records):
    if not hasattr(self, "mine"):
        TURN[0] += 1
        self.mine = TURN[0]
    return records[:: 1 if self.mine % 2 else -1]


def _shuffled(self, split, records):
    random.shuffle(records)
    return records


def _drawing(self, split, records):
    random.random()
    return records


def _reading(self, split, records):
    for record in records:
        decode(record.image)
    return records


def _changed(record, **changes):
    return Record(**{"key": record.key, "image": record.image, "attributes": record.attributes, **changes})


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


def _no_folder(self, split):
    return [] if not self.config.root.is_dir() else list(Good.records(self, split))


def _first_file(self, split):
    first = sorted(self.config.root.glob("*"))[0]
    return list(Good.records(self, split)) if first else []


BAD = {
    "has_a_name": variant(name="two words"),
    "has_a_docstring": variant(__doc__=None),
    "config_is_a_model_of_settings": variant(
        Config=_Other, __init__=lambda self, config: setattr(self, "config", config)
    ),
    "config_refuses_what_it_does_not_know": settings(model_config=ConfigDict(extra="allow", frozen=True)),
    "config_is_frozen": settings(model_config=ConfigDict(extra="forbid", frozen=False)),
    "config_describes_each_setting": settings(root=Field()),
    "config_round_trips": variant(Config=_Lossy),
    "config_can_be_a_recipe": variant(Config=_Nothing),
    "config_extends_that_of_datasets": variant(Config=_Other),
    "has_attributes": variant(attributes=()),
    "attributes_have_names_of_their_own": variant(attributes=(*Good.attributes, Attribute("Striped"))),
    "attributes_can_be_typed": variant(attributes=(Attribute("a=b"),)),
    "exclusive_attributes_have_a_choice": variant(attributes=(Attribute("species", ("cat",)),)),
    "no_value_is_called_yes_no_or_none": variant(attributes=(Attribute("species", ("cat", "None")),)),
    "attributes_stay_the_same": Unsteady,
    "version_is_a_text": variant(version=1),
    "crop_lies_in_the_picture": variant(crop=Crop(side=178)),
    "credit_is_one_line": variant(credit="pictures\nby nobody"),
    "takes_a_choice_of_attributes": listing(
        lambda self, split, records: records[:1] if self.config.attributes else records
    ),
    "has_pictures_to_train_on": listing(lambda self, split, records: [] if split == "train" else records),
    "answers_for_every_split": listing(lambda self, split, records: None if split == "val" else records),
    "lists_records": listing(lambda self, split, records: [_changed(each, key="") for each in records]),
    "keys_are_unique": listing(lambda self, split, records: records + records),
    "splits_share_no_key": listing(
        lambda self, s, records: [_changed(each, key=str(place)) for place, each in enumerate(records)]
    ),
    "splits_share_no_file": listing(
        lambda self, s, records: [_changed(each, image=self.config.root / "train/cat/0.png") for each in records]
    ),
    "keys_name_no_place": listing(lambda self, s, records: [_changed(each, key=str(each.image)) for each in records]),
    "pictures_are_there": listing(
        lambda self, s, records: [_changed(each, image=each.image.with_suffix(".jpg")) for each in records]
    ),
    "says_only_what_it_declared": listing(
        lambda self, s, records: [_changed(each, attributes={**each.attributes, "Old": True}) for each in records]
    ),
    "values_are_those_of_their_attributes": listing(
        lambda self, s, records: [_changed(each, attributes={**each.attributes, "Striped": 1}) for each in records]
    ),
    "every_attribute_is_known_of_some_picture": listing(
        lambda self, s, records: [_changed(each, attributes={"Striped": True}) for each in records]
    ),
    "lists_the_same_twice": listing(_twice),
    "lists_the_same_in_another_instance": listing(_new_each_time),
    "lists_the_same_in_another_process": HashOrder,
    "lists_the_same_whatever_is_random": listing(_shuffled),
    "listing_touches_no_random_state": listing(_drawing),
    "can_be_listed_in_part": Cursor,
    "two_listings_at_once_do_not_mix": Cursor,
    "listing_reads_no_picture": listing(_reading),
    "listing_is_cheap": listing(lambda self, split, records: _burn(records)),
    "listing_is_small": listing(lambda self, split, records: _keep(self, records)),
    "a_missing_folder_is_one_line": variant(records=_no_folder),
    "an_empty_folder_is_one_line": variant(records=_first_file),
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
        after=lambda self, record, attributes: _changed(record, attributes=attributes)
    ),
    "packs_the_same_with_any_workers": Counting,
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
