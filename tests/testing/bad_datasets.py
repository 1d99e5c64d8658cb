"""For each check of a dataset's declarations, records and listings, one that breaks it."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from pathlib import Path

from pydantic import ConfigDict, DirectoryPath, Field, field_serializer

from mdtranslate import Attribute, Crop, Dataset, Record, Settings, Split
from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import read_image


class Good(Dataset):
    """Images at `ROOT/SPLIT/SPECIES/*.png`; those with even numbers are striped."""

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
    """Returns a subclass of `Good` with other class attributes."""
    return type("Variant", (Good,), {"__doc__": Good.__doc__, **changes})


def with_listing(change):
    """Changes the records of each split: `change(self, split, records)`."""

    def records(self, split):
        return change(self, split, list(Good.records(self, split)))

    return variant(records=records)


def with_records(change):
    """Changes each record by the keyword arguments that `change(self, index, record)` returns."""
    return with_listing(
        lambda self, split, records: [
            replaced(record, **change(self, index, record)) for index, record in enumerate(records)
        ]
    )


def replaced(record, **changes):
    return Record(**{"key": record.key, "image": record.image, "attributes": record.attributes, **changes})


def with_settings(base=Dataset.Config, **namespace):
    """Changes the settings."""
    root = {"root": Field(description="the folder")} if "root" not in namespace else {}
    config = type("Config", (base,), {"__annotations__": {"root": Path}, "__module__": __name__, **root, **namespace})
    return variant(Config=config)


class LossyConfig(Dataset.Config):
    root: Path = Field(description="the folder")

    @field_serializer("root")
    def _shorten(self, root):
        return root.name


class OptionalConfig(Dataset.Config):
    root: Path = Field(description="the folder")
    limit: int | None = Field(3, description="maximum number of images")


class UnrelatedConfig(Settings):
    root: Path = Field(description="the folder")


class LateAttributes(Good):
    """Knows its second attribute only after a listing."""

    is_listed = False

    @property
    def attributes(self):
        return Good.attributes if self.is_listed else Good.attributes[:1]

    def records(self, split):
        self.is_listed = True
        return list(super().records(split))


class SharedIterator(Good):
    """All listings of a split share one iterator."""

    iterator = None

    def records(self, split):
        if self.iterator is None or self.split != split:
            self.iterator, self.split = iter([*super().records(split)]), split
        while (record := next(self.iterator, None)) is not None:
            yield record
        self.iterator = None


class HashOrder(Good):
    """Lists in the order of the keys' hashes, as a set would."""

    def records(self, split):
        return sorted(super().records(split), key=lambda record: hash(record.key))


class Seeding(Good):
    """Seeds the global generator, always alike."""

    def records(self, split):
        random.seed(0)
        return list(super().records(split))


class SlowConstructor(Good):
    """Does all its work, and uses all its memory, in the constructor."""

    def __init__(self, config):
        super().__init__(config)
        self.buffers = [bytearray(100 + len("")) for _ in range(40_000)]


@functools.cache
def _read_once(root):
    return [read_image(file) for file in sorted(root.rglob("*.png"))]


class ReadsOnce(Good):
    """Opens every image in the first listing of a process."""

    def records(self, split):
        _read_once(self.config.root)
        return super().records(split)


class ValidatedPath(Good):
    """Its settings refuse a folder that does not exist."""

    class Config(Dataset.Config):
        root: DirectoryPath = Field(description="the folder")


class PrefixedKeys(Good):
    """Keys begin with a word that can also be the name of the folder."""

    def records(self, split):
        return [replaced(record, key=f"pets/{record.key}") for record in super().records(split)]


def _call_often(records):
    for record in records:
        for _ in range(40_000):
            len(record.key)
        yield record


def _use_memory(self, records):
    self.buffers = [bytearray(1_000_000) for _ in records]
    return records


def _alternate_order(self, split, records):
    self.count = getattr(self, "count", 0) + 1
    return records[:: 1 if self.count % 2 else -1]


INSTANCE_COUNT = [0]


def _alternate_instances(self, split, records):
    if not hasattr(self, "number"):
        INSTANCE_COUNT[0] += 1
        self.number = INSTANCE_COUNT[0]
    return records[:: 1 if self.number % 2 else -1]


def _shuffle(self, split, records):
    random.shuffle(records)
    return records


def _draw(self, split, records):
    random.random()
    return records


def _read_images(self, split, records):
    for record in records:
        read_image(record.image)
    return records


def _ignore_missing_folder(self, split):
    return [] if not self.config.root.is_dir() else list(Good.records(self, split))


def _require_first_file(self, split):
    first = sorted(self.config.root.glob("*"))[0]
    return list(Good.records(self, split)) if first else []


BAD = {
    "has_valid_name": variant(name="two words"),
    "has_docstring": variant(__doc__=None),
    "config_derives_from_settings": variant(
        Config=UnrelatedConfig, __init__=lambda self, config: setattr(self, "config", config)
    ),
    "config_rejects_unknown_keys": with_settings(model_config=ConfigDict(extra="allow", frozen=True)),
    "config_is_frozen": with_settings(model_config=ConfigDict(extra="forbid", frozen=False)),
    "config_describes_every_setting": with_settings(root=Field()),
    "config_survives_json": variant(Config=LossyConfig),
    "config_survives_toml": variant(Config=OptionalConfig),
    "config_derives_from_dataset_config": variant(Config=UnrelatedConfig),
    "has_attributes": variant(attributes=()),
    "attribute_names_are_unique": variant(attributes=(*Good.attributes, Attribute("Striped"))),
    "names_fit_the_command_line": variant(attributes=(Attribute("a=b"),)),
    "attributes_have_two_values": variant(attributes=(Attribute("species", ("cat",)),)),
    "values_avoid_reserved_words": variant(attributes=(Attribute("species", ("cat", "None")),)),
    "attributes_are_constant": LateAttributes,
    "version_is_a_string": variant(version=1),
    "crop_is_relative": variant(crop=Crop(side=178)),
    "credit_is_one_line": variant(credit="images\nby nobody"),
    "supports_attribute_selection": with_listing(
        lambda self, split, records: records[:1] if self.config.attributes else records
    ),
    "has_training_records": with_listing(lambda self, split, records: [] if split == "train" else records),
    "supports_every_split": with_listing(lambda self, split, records: None if split == "val" else records),
    "yields_records": with_records(lambda self, index, record: {"key": ""}),
    "keys_are_unique": with_listing(lambda self, split, records: records + records),
    "splits_share_no_keys": with_records(lambda self, index, record: {"key": str(index)}),
    "splits_share_no_files": with_records(lambda self, index, record: {"image": self.config.root / "train/cat/0.png"}),
    "keys_contain_no_folder": with_records(lambda self, index, record: {"key": str(record.image)}),
    "image_files_exist": with_records(lambda self, index, record: {"image": record.image.with_suffix(".jpg")}),
    "records_use_declared_attributes": with_records(
        lambda self, index, record: {"attributes": {**record.attributes, "Old": True}}
    ),
    "values_are_valid": with_records(lambda self, index, record: {"attributes": {**record.attributes, "Striped": 1}}),
    "every_attribute_is_labelled": with_records(lambda self, index, record: {"attributes": {"Striped": True}}),
    "listing_is_deterministic": with_listing(_alternate_order),
    "listing_is_equal_in_new_instance": with_listing(_alternate_instances),
    "listing_is_equal_in_new_process": HashOrder,
    "listing_ignores_random_state": with_listing(_shuffle),
    "listing_preserves_random_state": with_listing(_draw),
    "listing_can_be_interrupted": SharedIterator,
    "concurrent_listings_are_independent": SharedIterator,
    "listing_opens_no_images": with_listing(_read_images),
    "listing_is_fast": with_listing(lambda self, split, records: _call_often(records)),
    "listing_uses_little_memory": with_listing(lambda self, split, records: _use_memory(self, records)),
    "missing_folder_is_reported": variant(records=_ignore_missing_folder),
    "empty_folder_is_reported": variant(records=_require_first_file),
}
