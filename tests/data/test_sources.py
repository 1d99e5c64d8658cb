"""What a dataset of a plugin declares and lists is looked at before anything is made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.api.hookspecs import hookimpl
from mdtranslate.config.recipes import resolve
from mdtranslate.config.registry import Registry
from mdtranslate.data.source import Source, build_sources
from mdtranslate.errors import DataError, PluginError


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


@pytest.mark.parametrize("fields", [(1,), ("", "a.png"), ("one", {"leaf": True})], ids=str)
def test_fields_of_another_type_are_named(fields: tuple[Any, ...], fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [Record(*fields)])
    with pytest.raises(PluginError, match=r"lists Record.*: its key should be a text, and its image a pathlib.Path or"):
        source.listed(Split.TRAIN)


def test_a_key_of_two_pictures_is_refused(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [Record(each) for each in "abcb"])
    with pytest.raises(DataError, match=r"^dataset odd-pets: 'b' is there twice in its val split; a key names one"):
        source.listed(Split.VAL)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ValueError("no\nnumber"), PluginError, r", of plugin odd \(in memory\), failed: ValueError: no number"),
        (KeyError("blue"), PluginError, r", of plugin odd \(in memory\), failed: KeyError: 'blue'"),
        (OSError("no room"), PluginError, r", of plugin odd \(in memory\), failed: OSError: no room"),
        (OSError(2, "not there", "a.csv"), DataError, r": .*not there: 'a.csv'"),
        (DataError("a.csv:3: is no row"), DataError, ""),
    ],
)
def test_what_fails_while_listing_names_the_plugin_or_the_file(
    error: Exception, kind: type[Exception], said: str, fresh_registry: Registry
) -> None:
    def fails(self: Dataset, split: Split) -> Any:
        raise error

    (source,) = sources(fresh_registry, records=fails)
    with pytest.raises(kind, match=f"^dataset odd-pets{said}" if said else "^a.csv:3: is no row$"):
        source.listed(Split.TRAIN)


def test_what_is_right_is_listed(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry)
    assert [record.key for record in source.listed(Split.TRAIN)] == ["one", "two"]
