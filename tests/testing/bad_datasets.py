"""A dataset that keeps the contract, and for each check of what it declares and lists one that does not."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from pathlib import Path

from pydantic import ConfigDict, DirectoryPath, Field, field_serializer

from mdtranslate import Attribute, Crop, Dataset, Record, Settings, Split
from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import decode


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


class HashOrder(Good):
    """The order of a set of texts."""

    def records(self, split):
        return sorted(super().records(split), key=lambda record: hash(record.key))


class Seeding(Good):
    """Seeds what others draw from, always alike."""

    def records(self, split):
        random.seed(0)
        return list(super().records(split))


class ReadsWhenMade(Good):
    """Everything is done, and kept, when it is made."""

    def __init__(self, config):
        super().__init__(config)
        self.kept = [bytearray(100 + len("")) for _ in range(40_000)]


@functools.cache
def _of_this_process(root):
    return [decode(file) for file in sorted(root.rglob("*.png"))]


class ReadsOnce(Good):
    """Opens every picture, the first time that it is listed in a process."""

    def records(self, split):
        _of_this_process(self.config.root)
        return super().records(split)


class Particular(Good):
    """Its settings themselves refuse a folder that is not there."""

    class Config(Dataset.Config):
        root: DirectoryPath = Field(description="the folder")


class Named(Good):
    """Keys begin with a word that a folder may be called by, too."""

    def records(self, split):
        return [changed(each, key=f"pets/{each.key}") for each in super().records(split)]


def _burn(records):
    for record in records:
        for _ in range(40_000):
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


def changed(record, **changes):
    return Record(**{"key": record.key, "image": record.image, "attributes": record.attributes, **changes})


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
    "lists_records": listing(lambda self, split, records: [changed(each, key="") for each in records]),
    "keys_are_unique": listing(lambda self, split, records: records + records),
    "splits_share_no_key": listing(
        lambda self, s, records: [changed(each, key=str(place)) for place, each in enumerate(records)]
    ),
    "splits_share_no_file": listing(
        lambda self, s, records: [changed(each, image=self.config.root / "train/cat/0.png") for each in records]
    ),
    "keys_name_no_place": listing(lambda self, s, records: [changed(each, key=str(each.image)) for each in records]),
    "pictures_are_there": listing(
        lambda self, s, records: [changed(each, image=each.image.with_suffix(".jpg")) for each in records]
    ),
    "says_only_what_it_declared": listing(
        lambda self, s, records: [changed(each, attributes={**each.attributes, "Old": True}) for each in records]
    ),
    "values_are_those_of_their_attributes": listing(
        lambda self, s, records: [changed(each, attributes={**each.attributes, "Striped": 1}) for each in records]
    ),
    "every_attribute_is_known_of_some_picture": listing(
        lambda self, s, records: [changed(each, attributes={"Striped": True}) for each in records]
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
}
