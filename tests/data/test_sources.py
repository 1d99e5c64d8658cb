"""What a plugin's dataset declares and lists is validated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.api.hookspecs import hookimpl
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.registry import Registry
from mdtranslate.data.recipe_datasets import RecipeDataset, build_datasets
from mdtranslate.errors import DataError, PluginError


class Pets(Dataset):
    """Two images."""

    name = "odd-pets"
    attributes = (Attribute("leaf"),)

    def records(self, split: Split) -> Any:
        return [Record("one", None, {"leaf": True}), Record("two", None, {"leaf": False})]


def sources(registry: Registry, **changes: Any) -> list[RecipeDataset]:
    """Those of a recipe with this dataset, changed."""
    cls = type("Changed", (Pets,), {"__doc__": Pets.__doc__, **changes})
    registry.register(SimpleNamespace(__name__="odd", register_datasets=hookimpl(lambda: [cls])), "odd")
    return build_datasets(resolve("stargan", ["datasets={odd-pets={}}"]).recipe)


@pytest.mark.parametrize("attributes", [Attribute("leaf"), ("leaf",), None], ids=str)
def test_invalid_attributes_are_refused_with_the_dataset(attributes: Any, fresh_registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"^dataset 'odd-pets': attributes is .*"):
        sources(fresh_registry, attributes=attributes)


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (("one", None, {"leaf": True}), r"dataset 'odd-pets' lists \('one', None, .*Record"),
        (
            Record("one", None, {"leaves": True}),
            "dataset 'odd-pets' .*'leaves'.* did you mean 'leaf'?",
        ),
    ],
)
def test_invalid_records_are_refused(listed: Any, said: str, fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [listed])
    with pytest.raises(PluginError, match=said.replace("?", r"\?")):
        source.records_or_empty(Split.TRAIN)


@pytest.mark.parametrize("fields", [(1,), ("", "a.png"), ("one", {"leaf": True})], ids=str)
def test_record_fields_of_wrong_type_are_refused(fields: tuple[Any, ...], fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [Record(*fields)])
    with pytest.raises(PluginError, match=r"lists Record.*: its key .*, and its image "):
        source.records_or_empty(Split.TRAIN)


def test_duplicate_key_is_refused(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry, records=lambda self, split: [Record(each) for each in "abcb"])
    with pytest.raises(DataError, match=r"^dataset odd-pets: .*'b' .*val"):
        source.records_or_empty(Split.VAL)


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
def test_error_while_listing_names_the_plugin_or_file(
    error: Exception, kind: type[Exception], said: str, fresh_registry: Registry
) -> None:
    def fails(self: Dataset, split: Split) -> Any:
        raise error

    (source,) = sources(fresh_registry, records=fails)
    with pytest.raises(kind, match=f"^dataset odd-pets{said}" if said else "^a.csv:3: is no row$"):
        source.records_or_empty(Split.TRAIN)


def test_valid_records_are_listed(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry)
    assert [record.key for record in source.records_or_empty(Split.TRAIN)] == ["one", "two"]
