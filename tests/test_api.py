"""What plugins are promised: within a version of the contract names and arguments are only added, with defaults."""

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

PROMISED = ("mdtranslate", "mdtranslate.errors", "mdtranslate.testing")
MADE_BY_US = ("Choice", "Translation", "Translator")
"""Classes that no plugin makes an object of by calling them."""
FROZEN = Path(__file__).with_name(f"api_{API_VERSION}.txt")
"""What the version had when it came out. What is not in it any more means a new API_VERSION, with a file of its own:

python tests/test_api.py > tests/api_N.txt
"""


def promised() -> Iterator[str]:
    """All that plugins see, a line each: `Loss.generator(self, t)`, with `=` behind an argument that has a default."""
    for name, value in vars(hookspecs).items():
        if hasattr(value, "mdtranslate_spec"):
            yield f"hook {name}{arguments(value)}"
    for place in PROMISED:
        module = import_module(place)
        names = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == place
        ]
        for name in sorted(names):
            value = getattr(module, name)
            yield f"{place}.{name}{arguments(value) if inspect.isfunction(value) else ''}"
            if inspect.isclass(value):
                yield from members(value, name)


def members(cls: type, prefix: str) -> Iterator[str]:
    """Of a class: its settings; or its attributes, methods and the classes in it, also those of bases that are ours."""
    if issubclass(cls, BaseModel):
        yield from (f"{prefix}.{name}" for name in cls.model_fields)
        return
    ours = [base for base in cls.__mro__ if base.__module__.startswith("mdtranslate")]
    names = {name for base in ours for name in (*vars(base), *vars(base).get("__annotations__", ()))}
    made = set() if prefix in MADE_BY_US else {"__init__"}
    for name in sorted(each for each in names if not each.startswith("_") or each in made):
        value = inspect.getattr_static(cls, name, None)
        value = getattr(value, "__func__", value)  # Of a class method.
        if inspect.isclass(value):
            yield from members(value, f"{prefix}.{name}")
        else:
            must = "abstract " if name in getattr(cls, "__abstractmethods__", ()) else ""
            yield f"{must}{prefix}.{name}{arguments(value) if inspect.isfunction(value) else ''}"


def arguments(function: Any) -> str:
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    words = []
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.KEYWORD_ONLY and not any(word.startswith("*") for word in words):
            words.append("*")
        words.append(star.get(each.kind, "") + each.name + ("" if each.default is each.empty else "="))
    return f"({', '.join(words)})"


def broken(before: list[str], now: list[str]) -> list[str]:
    """Lines of `before` to which `now` does not hold, and what every plugin would have to add."""
    found = dict(map(parted, now))
    known = dict(map(parted, before))
    wrong = [name for name in found if name.startswith("abstract ") and name not in known]
    for name, old in known.items():
        new = found.get(name, found.get(name.removeprefix("abstract ")))
        if new is None or len(new) < len(old):
            wrong.append(name)
            continue
        kept = all(mine in (each, each + "=") for each, mine in zip(old, new, strict=False))
        if not kept or not all(each.endswith("=") or each.startswith("*") for each in new[len(old) :]):
            wrong.append(name)
    return wrong


def parted(line: str) -> tuple[str, list[str]]:
    name, _, rest = line.removesuffix(")").partition("(")
    return name, [each for each in rest.split(", ") if each]


def test_nothing_is_taken_away() -> None:
    assert broken(FROZEN.read_text().splitlines(), list(promised())) == []


@pytest.mark.parametrize(
    ("before", "now", "wrong"),
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
def test_what_is_taken_away_is_told(before: str, now: str, wrong: bool) -> None:
    assert bool(broken([before], [now])) is wrong


def test_what_every_plugin_would_have_to_add_is_told() -> None:
    assert broken(["L.a"], ["L.a", "L.b(self)"]) == []
    assert broken(["L.a"], ["L.a", "abstract L.b(self)"]) == ["abstract L.b"]


if __name__ == "__main__":
    print("\n".join(promised()))
