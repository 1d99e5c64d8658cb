"""What a dataset of a plugin declares and lists is looked at before anything is made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.data.sources import Source, build_sources
from mdtranslate.errors import DataError, PluginError
from mdtranslate.hookspecs import hookimpl
from mdtranslate.recipes import resolve
from mdtranslate.registry import Registry


class Pets(Dataset):
    """Two pictures."""

    name = "odd-pets"
    attributes = (Attribute("leaf"),)

    def records(self, split: Split) -> Any:
        return [Record("one", None, {"leaf": True}), Record("two", None, {"leaf": False})]


def sources(registry: Registry, **changes: Any) -> list[Source]:
    """Those of a recipe with this dataset, changed."""
    cls = type("Changed", (Pets,), {"__doc__": Pets.__doc__, **changes})
    registry.register(SimpleNamespace(__name__="odd", register_datasets=hookimpl(lambda: [cls])), "odd")
    return build_sources(resolve("stargan", ["datasets={odd-pets={}}"]).recipe)


@pytest.mark.parametrize("attributes", [Attribute("leaf"), ("leaf",), None], ids=str)
def test_attributes_that_are_none_name_the_plugins_dataset(attributes: Any, fresh_registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"^dataset 'odd-pets': attributes is .*, and no tuple of Attributes"):
        sources(fresh_registry, attributes=attributes)


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (("one", None, {"leaf": True}), r"dataset 'odd-pets' lists \('one', None, .*, which is no Record"),
        (
            Record("one", None, {"leaves": True}),
            "dataset 'odd-pets' lists pictures with 'leaves', which its attributes lack; did you mean 'leaf'?",
        ),
    ],
)
def test_records_that_are_none_or_say_too_much(listed: Any, said: str, fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [listed])
    with pytest.raises(PluginError, match=said.replace("?", r"\?")):
        source.listed(Split.TRAIN)


@pytest.mark.parametrize("wrong", [Record(1), Record("", "a.png"), Record("one", {"leaf": True})], ids=str)  # type: ignore[arg-type]
def test_fields_of_another_type_are_named(wrong: Record, fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [wrong])
    with pytest.raises(PluginError, match=r"lists Record.*: its key should be a text, and its image a pathlib.Path or"):
        source.listed(Split.TRAIN)


def test_a_key_of_two_pictures_is_refused(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [Record(each) for each in "abcba"])
    with pytest.raises(DataError, match=r"^dataset odd-pets: 'b' is there twice in its val split; a key names one"):
        source.listed(Split.VAL)


def fails(self: Dataset, split: Split) -> Any:
    raise {"value": ValueError("no\nnumber"), "key": KeyError("blue"), "file": OSError(2, "not there", "a.csv")}[split]


def test_what_fails_while_listing_names_the_plugin_and_the_place(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=fails)
    owner = r"^dataset odd-pets, of plugin odd \(in memory\), failed: "
    with pytest.raises(PluginError, match=owner + r"ValueError: no number"):
        source.listed("value")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match=owner + r"KeyError: 'blue'"):
        source.listed("key")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^dataset odd-pets: .*not there: 'a.csv'"):
        source.listed("file")  # type: ignore[arg-type]


def test_what_is_right_is_listed(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry)
    assert [record.key for record in source.listed(Split.TRAIN)] == ["one", "two"]
