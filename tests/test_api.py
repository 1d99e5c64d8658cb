"""The plugin API: within a version, names and arguments are only added, with defaults."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mdtranslate import API_VERSION
from mdtranslate.api import hookspecs

PUBLIC_MODULES = ("mdtranslate", "mdtranslate.errors", "mdtranslate.testing")
NOT_INSTANTIATED_BY_PLUGINS = ("Choice", "Translation", "Translator")
SNAPSHOT = Path(__file__).with_name(f"api_{API_VERSION}.txt")
"""The public names when the version was released. Removing one requires a new API_VERSION, with a new file:

python tests/test_api.py > tests/api_N.txt
"""


def public_names() -> Iterator[str]:
    """Yields one line for each public name: `Loss.generator(self, t)`, with `=` after arguments with a default."""
    for name, value in vars(hookspecs).items():
        if hasattr(value, "mdtranslate_spec"):
            yield f"hook {name}{signature(value)}"
    for module_name in PUBLIC_MODULES:
        module = import_module(module_name)
        names = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module_name
        ]
        for name in sorted(names):
            value = getattr(module, name)
            yield f"{module_name}.{name}{signature(value) if inspect.isfunction(value) else ''}"
            if inspect.isclass(value):
                yield from members(value, name)


def members(cls: type, prefix: str) -> Iterator[str]:
    """Yields the settings of a class, or its attributes, methods and nested classes, including inherited ones."""
    if issubclass(cls, BaseModel):
        yield from (f"{prefix}.{name}" for name in cls.model_fields)
        return
    bases = [base for base in cls.__mro__ if base.__module__.startswith("mdtranslate")]
    names = {name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", ()))}
    constructor = set() if prefix in NOT_INSTANTIATED_BY_PLUGINS else {"__init__"}
    for name in sorted(name for name in names if not name.startswith("_") or name in constructor):
        value = inspect.getattr_static(cls, name, None)
        value = getattr(value, "__func__", value)  # The function of a class method.
        if inspect.isclass(value):
            yield from members(value, f"{prefix}.{name}")
        else:
            abstract = "abstract " if name in getattr(cls, "__abstractmethods__", ()) else ""
            yield f"{abstract}{prefix}.{name}{signature(value) if inspect.isfunction(value) else ''}"


def signature(function: Any) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    arguments = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(text.startswith("*") for text in arguments):
            arguments.append("*")
        default = "" if parameter.default is parameter.empty else "="
        arguments.append(stars.get(parameter.kind, "") + parameter.name + default)
    return f"({', '.join(arguments)})"


def incompatibilities(before: list[str], after: list[str]) -> list[str]:
    """Lists names that were removed or changed incompatibly, and abstract methods that were added."""
    current = dict(map(parse, after))
    previous = dict(map(parse, before))
    names = [name for name in current if name.startswith("abstract ") and name not in previous]
    for name, old in previous.items():
        new = current.get(name, current.get(name.removeprefix("abstract ")))
        if new is None or len(new) < len(old):
            names.append(name)
            continue
        is_kept = all(argument in (old_one, old_one + "=") for old_one, argument in zip(old, new, strict=False))
        if not is_kept or not all(argument.endswith("=") or argument.startswith("*") for argument in new[len(old) :]):
            names.append(name)
    return names


def parse(line: str) -> tuple[str, list[str]]:
    """Splits a line of `public_names` into the name and its arguments."""
    name, _, arguments = line.removesuffix(")").partition("(")
    return name, [argument for argument in arguments.split(", ") if argument]


def test_the_current_version_is_compatible_with_its_release() -> None:
    assert incompatibilities(SNAPSHOT.read_text().splitlines(), list(public_names())) == []


@pytest.mark.parametrize(
    ("before", "after", "is_incompatible"),
    [
        ("hook a()", "hook a(b=)", False),
        ("hook a()", "hook a(b)", True),
        ("hook a()", "hook b()", True),
        ("L.a(self, t)", "L.a(self, t, more=)", False),
        ("L.a(self, t)", "L.a(self, t, more)", True),
        ("L.a(self, t)", "L.a(self, u)", True),
        ("L.a(self, t)", "L.a(self)", True),
        ("L.a(self, t)", "L.a(self, t2=)", True),
        ("L.a(self, t)", "L.a(self, t=)", False),
        ("L.a(self, t=)", "L.a(self, t)", True),
        ("L.a(self)", "L.a", True),
        ("L.a", "L.b", True),
        ("abstract L.a(self)", "L.a(self)", False),
        ("L.a(self)", "abstract L.a(self)", True),
    ],
)
def test_incompatible_changes_are_reported(before: str, after: str, is_incompatible: bool) -> None:
    assert bool(incompatibilities([before], [after])) is is_incompatible


def test_new_abstract_methods_are_reported() -> None:
    assert incompatibilities(["L.a"], ["L.a", "L.b(self)"]) == []
    assert incompatibilities(["L.a"], ["L.a", "abstract L.b(self)"]) == ["abstract L.b"]


if __name__ == "__main__":
    print("\n".join(public_names()))
