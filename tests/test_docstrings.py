"""Docstrings of the public API: Google style, every parameter and attribute described."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

MODULES = ("mdtranslate", "mdtranslate.errors", "mdtranslate.testing")


def public() -> Iterator[tuple[str, Any]]:
    """Yields the public classes, functions and methods of ours by name."""
    for place in MODULES:
        module = import_module(place)
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            value = getattr(module, name)
            if not getattr(value, "__module__", "").startswith("mdtranslate"):
                continue
            if inspect.isclass(value):
                yield name, value
                yield from members(name, value)
            elif inspect.isfunction(value):
                yield name, value


def members(prefix: str, cls: type) -> Iterator[tuple[str, Any]]:
    """Yields the public methods and properties that a class defines itself."""
    for name, value in vars(cls).items():
        function = getattr(value, "__func__", value)
        if isinstance(value, property):
            yield f"{prefix}.{name}", value
        elif inspect.isfunction(function) and (not name.startswith("_") or name == "__call__"):
            yield f"{prefix}.{name}", function


PUBLIC = dict(public())


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize("name", PUBLIC)
def test_it_is_documented(name: str) -> None:
    value = PUBLIC[name]
    text = inspect.getdoc(value) or ""
    summary = text.partition("\n")[0]
    assert summary.endswith((".", "::")) and len(summary) > 10, "a summary line that ends with a period"
    assert not re.search(r"^\s*(Parameters|Returns|Raises)\s*\n\s*-+", text, re.M), "Google style, not numpy's"
    if inspect.isfunction(value) and len(parameters(value)) > 1:
        section = text.partition("Args:\n")[2]
        described = [name for name in parameters(value) if re.search(rf"^ +\**{name}\b.*:", section, re.M)]
        named = [name for name in parameters(value) if f"`{name}`" in text]
        assert {*parameters(value)} == {*described, *named}, "parameters are described in `Args:`, or named in the text"
    if inspect.isclass(value) and value.__module__ != "mdtranslate.errors":
        fields = [name for name in vars(value).get("__annotations__", {}) if not name.startswith("_")]
        settings = getattr(value, "model_fields", {})
        section = text.partition("Attributes:\n")[2]
        missing = [name for name in fields if name not in settings and not re.search(rf"^ +{name}: ", section, re.M)]
        assert not missing, "described in `Attributes:`"


def test_there_is_something_to_check() -> None:
    assert {"Translator.__call__", "Loss.generator", "read_image", "dataset_checks"} <= PUBLIC.keys()
