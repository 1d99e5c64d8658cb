"""What a dataset lists: keys, files and attributes."""

from __future__ import annotations

from pathlib import Path

from mdtranslate.api import Record, Split
from mdtranslate.testing.datasets.dataset_case import DATASET, Given


@DATASET.premise
def answers_for_every_split(given: Given) -> str | None:
    """`records` takes train, val and test; a split that is not there is empty.

    Training looks at val, evaluation at test, and each asks whether there is any.
    """
    for split in Split:
        next(iter(given.again().records(split)), None)  # A generator function runs nothing before.
    return None


@DATASET.premise
def lists_records(given: Given) -> str | None:
    """Every record is a `Record` with a key that is a text and not empty.

    The key names the picture in messages and in the cache.
    """
    for record in given.records:
        if not isinstance(record, Record):
            return repr(record)
        if not isinstance(record.key, str) or not record.key:
            return f"key {record.key!r}"
    return None


@DATASET.premise
def has_pictures_to_train_on(given: Given) -> str | None:
    """The train split has records.

    Without them there is nothing to learn from. For the check, settings must name data that is there.
    """
    return None if given.splits[Split.TRAIN] else "none"


@DATASET.check
def keys_are_unique(given: Given) -> str | None:
    """No two records of a split have the same key.

    The key names the picture for ever: two of one name cannot be told apart.
    """
    for split, own in given.splits.items():
        seen = set[str]()
        for record in own:
            if record.key in seen:
                return f"{record.key!r} twice in {split}"
            seen.add(record.key)
    return None


@DATASET.check
def splits_share_no_key(given: Given) -> str | None:
    """No key is in two splits.

    What is measured on pictures that were trained on is not a measure.
    """
    seen = dict[str, Split]()
    for split, own in given.splits.items():
        for record in own:
            if seen.setdefault(record.key, split) != split:
                return f"{record.key!r} in {seen[record.key]} and {split}"
    return None


@DATASET.check
def splits_share_no_file(given: Given) -> str | None:
    """No picture's file is in two splits, under whatever key.

    What is measured on pictures that were trained on is not a measure.
    """
    seen = dict[Path, Split]()
    for split, own in given.splits.items():
        for record in own:
            if record.image is not None and seen.setdefault(record.image.resolve(), split) != split:
                return f"{record.image} in {seen[record.image.resolve()]} and {split}"
    return None


@DATASET.check
def keys_name_no_place(given: Given) -> str | None:
    """Keys do not hold the folder of the dataset.

    On another machine, or moved, it is the same dataset, and keys must be the same.
    """
    roots = {str(path) for name in given.folders for path in _absolute(getattr(given.dataset.config, name))}
    found = [record.key for record in given.records for root in roots if len(root) > 1 and root in record.key]
    return f"{found[0]!r}" if found else None


def _absolute(path: Path) -> tuple[Path, Path]:
    """With links as they are, and followed. A relative one may be any word of a key."""
    return path.absolute(), path.resolve()


@DATASET.premise
def pictures_are_there(given: Given) -> str | None:
    """`image` is a `Path` of a file that is there, or None for a picture that is drawn.

    A missing file stops a run while it packs.
    """
    for record in given.records:
        if not isinstance(record.image, Path | None):
            return f"{record.image!r}, a {type(record.image).__name__}, of {record.key!r}"
        if record.image is not None and not record.image.is_file():
            return f"{record.image}, which is not there, of {record.key!r}"
    return None


@DATASET.premise
def says_only_what_it_declared(given: Given) -> str | None:
    """Records have no attribute that is not among `attributes`.

    Nobody would lay it out in a label.
    """
    for record in given.records:
        if strange := set(record.attributes) - set(given.attributes):
            return f"{sorted(strange)[0]!r} of {record.key!r}"
    return None


@DATASET.premise
def values_are_those_of_their_attributes(given: Given) -> str | None:
    """Each value is True or False, one of the attribute's values, or None where it is optional. Unknown is left out.

    1, "yes" or numpy's own True are none of them, and None is "none of these", which is not unknown.
    """
    for record in given.records:
        for name, value in record.attributes.items():
            attribute = given.attributes.get(name)
            if attribute and not (type(value) in (bool, str, type(None)) and value in attribute.allowed):
                return f"{name}={value!r} of {record.key!r}; it has {', '.join(map(repr, attribute.allowed))}"
    return None


@DATASET.check
def every_attribute_is_known_of_some_picture(given: Given) -> str | None:
    """Each attribute is known of at least one picture to train on.

    What no picture shows cannot be learned.
    """
    known = {name for record in given.splits[Split.TRAIN] for name in record.attributes}
    missing = [name for name in given.attributes if name not in known]
    return f"nothing is known of {', '.join(missing)}" if missing else None
