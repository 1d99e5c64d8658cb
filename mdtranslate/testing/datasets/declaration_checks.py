"""What a dataset says of itself: its name, settings and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mdtranslate.api import Attribute, Crop, Dataset, Split
from mdtranslate.testing.checks import DoesNotApply
from mdtranslate.testing.component_checks import common
from mdtranslate.testing.datasets.dataset_case import DATASET, Given

common(DATASET)


@DATASET.check
def config_extends_that_of_datasets(given: Given) -> str | None:
    """`Config` is a subclass of `Dataset.Config`.

    Every dataset takes `attributes`, by which a recipe picks what is labelled.
    """
    config = type(given.dataset).Config
    return None if issubclass(config, Dataset.Config) else f"{config.__mro__[1].__name__}"


@DATASET.premise
def has_attributes(given: Given) -> str | None:
    """`attributes` is a sequence of `Attribute`, at least one.

    Without attributes there is nothing to translate.
    """
    found: Any = given.dataset.attributes
    if not isinstance(found, Sequence):
        return f"{found!r}; a tuple of one has a comma: (Attribute(...),)"
    wrong = [each for each in found if not isinstance(each, Attribute)]
    return f"{wrong[0]!r} among them" if wrong else None if len(found) else "none"


@DATASET.check
def attributes_have_names_of_their_own(given: Given) -> str | None:
    """No two attributes have the same name.

    A label holds one value a name.
    """
    names = [each.name for each in given.dataset.attributes]
    twice = [name for name in names if names.count(name) > 1]
    return f"{twice[0]!r} twice" if twice else None


@DATASET.check
def attributes_can_be_typed(given: Given) -> str | None:
    """Names of attributes and values have no blanks at their ends, and none of `=`, `,`, `|` and `.` in names.

    People type them on the command line: `--set hair=Blond_Hair`; a dot parts the dataset from the attribute.
    """
    for each in given.dataset.attributes:
        if not each.name or each.name != each.name.strip() or set("=,|.") & set(each.name):
            return f"attribute {each.name!r}"
        for value in each.values:
            if not value or value != value.strip() or set("=,|") & set(value):
                return f"value {value!r} of {each.name}"
    return None


@DATASET.check
def exclusive_attributes_have_a_choice(given: Given) -> str | None:
    """An exclusive attribute has two values or more, or one and "none of these", and each once.

    What has one value cannot be changed.
    """
    for each in given.dataset.attributes:
        if len(set(each.values)) < len(each.values):
            return f"{each.name} has a value twice: {', '.join(each.values)}"
        if each.values and len(each.allowed) < 2:
            return f"{each.name} has only {each.values[0]!r}"
        if each.optional and not each.values:
            return f"{each.name} is yes or no, and optional"
    return None


@DATASET.check
def no_value_is_called_yes_no_or_none(given: Given) -> str | None:
    """No value of an exclusive attribute is spelt yes, no or none.

    On the command line those mean True, False and "none of these".
    """
    for each in given.dataset.attributes:
        if found := {"yes", "no", "none"} & {value.lower() for value in each.values}:
            return f"{each.name} has {sorted(found)[0]!r}"
    return None


@DATASET.check
def attributes_stay_the_same(given: Given) -> str | None:
    """`attributes` is the same before and after records are listed, and in another instance.

    Labels are laid out by them before the first record is listed.
    """
    dataset = given.again()
    before = list(dataset.attributes)
    for split in Split:
        list(dataset.records(split))
    after = list(dataset.attributes)
    return None if before == after == list(given.again().attributes) else f"{before} and then {after}"


@DATASET.check
def version_is_a_text(given: Given) -> str | None:
    """`version` is a text that is not empty.

    It is in the key of the packed cache: it changes when pixels of a picture do.
    """
    version = given.dataset.version
    return None if isinstance(version, str) and version else repr(version)


@DATASET.check
def crop_lies_in_the_picture(given: Given) -> str | None:
    """`crop` is a `Crop`; its side is above 0 and at most 1, its centre between 0 and 1.

    They are shares of the picture, not pixels: pictures of any size are cut by it later.
    """
    crop = given.dataset.crop
    fits = isinstance(crop, Crop) and 0 < crop.side <= 1 and 0 <= crop.x <= 1 and 0 <= crop.y <= 1
    return None if fits else repr(crop)


@DATASET.check
def credit_is_one_line(given: Given) -> str | None:
    """`credit` is None, or one line.

    It stands below each grid of pictures.
    """
    credit = given.dataset.credit
    return None if credit is None or (isinstance(credit, str) and credit and "\n" not in credit) else repr(credit)


@DATASET.check
def takes_a_choice_of_attributes(given: Given) -> str | None:
    """With `attributes=[...]` of one name, records still say all that is known of a picture, or at least that one.

    A recipe labels some of what a dataset knows; a dataset that takes the setting for something else breaks that.
    """
    if len(given.attributes) < 2:
        raise DoesNotApply("it has one attribute")
    first = next(iter(given.attributes))
    config = given.dataset.config.model_copy(update={"attributes": (first,)})
    dataset = type(given.dataset)(config)
    if first not in {each.name for each in dataset.attributes}:
        return f"{first} is no longer among its attributes"
    labelled = [first in record.attributes for split in Split for record in dataset.records(split)]
    expected = [first in record.attributes for record in given.records]
    return None if labelled == expected else f"{sum(labelled)} pictures with {first}, and {sum(expected)} without it"
