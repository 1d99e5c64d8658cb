"""What a dataset of a plugin declares and lists is looked at before anything is made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.data.sources import Source, build_sources
from mdtranslate.errors import PluginError
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


def test_what_is_right_is_listed(fresh_registry: Registry) -> None:
    (source,) = sources(fresh_registry)
    assert [record.key for record in source.listed(Split.TRAIN)] == ["one", "two"]
