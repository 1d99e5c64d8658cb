"""Checks of a dataset's records: keys, files and attributes."""

from __future__ import annotations

from pathlib import Path

from mdtranslate.api import Record, Split
from mdtranslate.testing.datasets.dataset_case import DATASET, DatasetCase


@DATASET.prerequisite
def supports_every_split(case: DatasetCase) -> str | None:
    """`records` accepts train, val and test; a split that does not exist is empty.

    Training validates on val, evaluation uses test, and both ask whether there are any records.
    """
    for split in Split:
        next(iter(case.new_instance().records(split)), None)  # A generator function does not run before this.
    return None


@DATASET.prerequisite
def yields_records(case: DatasetCase) -> str | None:
    """Everything that `records` yields is a `Record` whose key is a string and not empty.

    Messages and the cache identify an image by its key.
    """
    for record in case.records:
        if not isinstance(record, Record):
            return repr(record)
        if not isinstance(record.key, str) or not record.key:
            return f"key {record.key!r}"
    return None


@DATASET.prerequisite
def has_training_records(case: DatasetCase) -> str | None:
    """The train split has records.

    Without them there is nothing to train on. For this check, the settings must name existing data.
    """
    return None if case.splits[Split.TRAIN] else "none"


@DATASET.check
def keys_are_unique(case: DatasetCase) -> str | None:
    """No two records of a split have the same key.

    A key identifies an image permanently: two images with the same key cannot be told apart.
    """
    for split, records in case.splits.items():
        keys = set[str]()
        for record in records:
            if record.key in keys:
                return f"{record.key!r} twice in {split}"
            keys.add(record.key)
    return None


@DATASET.check
def splits_share_no_keys(case: DatasetCase) -> str | None:
    """No key is in two splits.

    An evaluation on training images would be meaningless.
    """
    split_by_key = dict[str, Split]()
    for split, records in case.splits.items():
        for record in records:
            if split_by_key.setdefault(record.key, split) != split:
                return f"{record.key!r} in {split_by_key[record.key]} and {split}"
    return None


@DATASET.check
def splits_share_no_files(case: DatasetCase) -> str | None:
    """No image file is in two splits, not even under different keys.

    An evaluation on training images would be meaningless.
    """
    split_by_file = dict[Path, Split]()
    for split, records in case.splits.items():
        for record in records:
            if record.image is not None and split_by_file.setdefault(record.image.resolve(), split) != split:
                return f"{record.image} in {split_by_file[record.image.resolve()]} and {split}"
    return None


@DATASET.check
def keys_contain_no_folder(case: DatasetCase) -> str | None:
    """Keys do not contain the folder of the dataset.

    The keys must stay the same when the dataset is moved or used on another machine.
    """
    roots = {str(path) for name in case.path_settings for path in _absolute(getattr(case.dataset.config, name))}
    keys = [record.key for record in case.records for root in roots if len(root) > 1 and root in record.key]
    return f"{keys[0]!r}" if keys else None


def _absolute(path: Path) -> tuple[Path, Path]:
    """Returns a path as absolute paths, links kept and followed. A relative one may be part of any key."""
    return path.absolute(), path.resolve()


@DATASET.prerequisite
def image_files_exist(case: DatasetCase) -> str | None:
    """`image` is the `Path` of an existing file, or None for an image that the dataset generates.

    A missing file stops a run while it fills the cache.
    """
    for record in case.records:
        if not isinstance(record.image, Path | None):
            return f"{record.key!r} has {record.image!r}, a {type(record.image).__name__}"
        if record.image is not None and not record.image.is_file():
            return f"{record.key!r} has {record.image}, which does not exist"
    return None


@DATASET.prerequisite
def records_use_declared_attributes(case: DatasetCase) -> str | None:
    """Records have only attributes that `attributes` declares.

    Labels have no place for others.
    """
    for record in case.records:
        if undeclared := set(record.attributes) - set(case.attributes):
            return f"{record.key!r} has {sorted(undeclared)[0]!r}"
    return None


@DATASET.prerequisite
def values_are_valid(case: DatasetCase) -> str | None:
    """Each value is True or False, one of the attribute's values, or None if it is optional; unknown ones are missing.

    1, "yes" and NumPy's True are not valid, and None means "none of these", which is different from unknown.
    """
    for record in case.records:
        for name, value in record.attributes.items():
            attribute = case.attributes.get(name)
            if attribute and not (type(value) in (bool, str, type(None)) and value in attribute.allowed_values):
                allowed = ", ".join(map(repr, attribute.allowed_values))
                return f"{record.key!r} has {name}={value!r}; allowed are {allowed}"
    return None


@DATASET.check
def every_attribute_is_labelled(case: DatasetCase) -> str | None:
    """Each attribute is known for at least one training image.

    An attribute without any labels cannot be learned.
    """
    labelled = {name for record in case.splits[Split.TRAIN] for name in record.attributes}
    missing = [name for name in case.attributes if name not in labelled]
    return f"no image has a value of {', '.join(missing)}" if missing else None
