"""Checks of what a dataset declares: its settings, attributes, version, crop and credit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mdtranslate.api import Attribute, Crop, Dataset, Split
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.component_checks import add_common_checks
from mdtranslate.testing.datasets.dataset_case import DATASET, DatasetCase

add_common_checks(DATASET)


@DATASET.check
def config_derives_from_dataset_config(case: DatasetCase) -> str | None:
    """`Config` is a subclass of `Dataset.Config`.

    Every dataset has the setting `attributes`, by which a recipe selects the attributes to label.
    """
    config = type(case.dataset).Config
    return None if issubclass(config, Dataset.Config) else f"{config.__mro__[1].__name__}"


@DATASET.prerequisite
def has_attributes(case: DatasetCase) -> str | None:
    """`attributes` is a sequence of at least one `Attribute`.

    Without attributes there is nothing to translate.
    """
    attributes: Any = case.dataset.attributes
    if not isinstance(attributes, Sequence):
        return f"{attributes!r}; a tuple of one needs a comma: (Attribute(...),)"
    invalid = [attribute for attribute in attributes if not isinstance(attribute, Attribute)]
    return f"{invalid[0]!r} is among them" if invalid else None if len(attributes) else "none"


@DATASET.check
def attribute_names_are_unique(case: DatasetCase) -> str | None:
    """No two attributes have the same name.

    A label holds one value for each name.
    """
    names = [attribute.name for attribute in case.dataset.attributes]
    duplicates = [name for name in names if names.count(name) > 1]
    return f"{duplicates[0]!r} twice" if duplicates else None


@DATASET.check
def names_fit_the_command_line(case: DatasetCase) -> str | None:
    """Names of attributes and values neither start nor end with spaces and contain no `=`, `,` or `|`; names of
    attributes no `.` either.

    Users type them on the command line, as in `--set hair=Blond_Hair`; a dot separates dataset and attribute.
    """
    for attribute in case.dataset.attributes:
        if not attribute.name or attribute.name != attribute.name.strip() or set("=,|.") & set(attribute.name):
            return f"attribute {attribute.name!r}"
        for value in attribute.values:
            if not value or value != value.strip() or set("=,|") & set(value):
                return f"value {value!r} of {attribute.name}"
    return None


@DATASET.check
def attributes_have_two_values(case: DatasetCase) -> str | None:
    """An attribute with named values has at least two distinct ones, or one and `optional=True`.

    An attribute that has only one value cannot be edited.
    """
    for attribute in case.dataset.attributes:
        if len(set(attribute.values)) < len(attribute.values):
            return f"{attribute.name} has a value twice: {', '.join(attribute.values)}"
        if attribute.values and len(attribute.allowed_values) < 2:
            return f"{attribute.name} has only {attribute.values[0]!r}"
        if attribute.optional and not attribute.values:
            return f"{attribute.name} is a yes/no attribute and optional"
    return None


@DATASET.check
def values_avoid_reserved_words(case: DatasetCase) -> str | None:
    """No named value is spelt yes, no or none, in any case.

    On the command line these words mean True, False and "none of these".
    """
    for attribute in case.dataset.attributes:
        if reserved := {"yes", "no", "none"} & {value.lower() for value in attribute.values}:
            return f"{attribute.name} has {sorted(reserved)[0]!r}"
    return None


@DATASET.check
def attributes_are_constant(case: DatasetCase) -> str | None:
    """`attributes` is the same before and after records are listed, and in another instance.

    The layout of labels is derived from it before the first record is listed.
    """
    dataset = case.new_instance()
    before = list(dataset.attributes)
    for split in Split:
        list(dataset.records(split))
    after = list(dataset.attributes)
    return None if before == after == list(case.new_instance().attributes) else f"{before} and then {after}"


@DATASET.check
def version_is_a_string(case: DatasetCase) -> str | None:
    """`version` is a string and not empty.

    It is part of the cache key, and must change when the pixels of an image change.
    """
    version = case.dataset.version
    return None if isinstance(version, str) and version else repr(version)


@DATASET.check
def crop_is_relative(case: DatasetCase) -> str | None:
    """`crop` is a `Crop` whose side is above 0 and at most 1 and whose centre is between 0 and 1.

    These are fractions of the image size, not pixels: the crop is also applied to images of other sizes.
    """
    crop = case.dataset.crop
    is_valid = isinstance(crop, Crop) and 0 < crop.side <= 1 and 0 <= crop.x <= 1 and 0 <= crop.y <= 1
    return None if is_valid else repr(crop)


@DATASET.check
def credit_is_one_line(case: DatasetCase) -> str | None:
    """`credit` is None or one line of text.

    It is shown below every grid of images.
    """
    credit = case.dataset.credit
    return None if credit is None or (isinstance(credit, str) and credit and "\n" not in credit) else repr(credit)


@DATASET.check
def supports_attribute_selection(case: DatasetCase) -> str | None:
    """With the setting `attributes=[NAME]`, the same records have a value of that attribute as without it.

    A recipe selects the attributes to label this way; the setting must not select records or mean anything else.
    """
    if len(case.attributes) < 2:
        raise NotApplicable("it has one attribute")
    first = next(iter(case.attributes))
    config = case.dataset.config.model_copy(update={"attributes": (first,)})
    dataset = type(case.dataset)(config)
    if first not in {attribute.name for attribute in dataset.attributes}:
        return f"{first} is no longer among its attributes"
    labelled = [first in record.attributes for split in Split for record in dataset.records(split)]
    expected = [first in record.attributes for record in case.records]
    if labelled == expected:
        return None
    return f"{sum(labelled)} images have a value of {first} with the setting, {sum(expected)} without it"
