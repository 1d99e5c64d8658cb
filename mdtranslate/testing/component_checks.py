"""What is asked of every kind of component: its name, its docstring and its settings."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable
from typing import Any, Protocol

import tomli_w
from pydantic import ValidationError

from mdtranslate.api import Component, Settings
from mdtranslate.testing.checks import Suite

WORD = re.compile(r"[A-Za-z0-9][\w-]*")


def maker(given: Any, *names: str) -> Callable[..., Any]:
    """A function that makes the component of what it is made of, in the order of `names`.

    `given` is such a function already, or the component's class, which is then made with its default settings.
    """
    cls: Any = given
    if isinstance(given, type):
        return lambda *values: cls(cls.Config(), **dict(zip(names, values, strict=True)))
    made: Callable[..., Any] = given
    return made


class Given(Protocol):
    """What the checks look at."""

    @property
    def component(self) -> type[Component]: ...

    @property
    def config(self) -> Any:
        """Its settings, an instance of its `Config`."""


def has_a_name(given: Given) -> str | None:
    """`name` is one word of letters, digits, `-` and `_`.

    Recipes and the command line write it as a key, where a dot or a blank means something else.
    """
    name = getattr(given.component, "name", None)
    return None if isinstance(name, str) and WORD.fullmatch(name) else repr(name)


def has_a_docstring(given: Given) -> str | None:
    """The class has a docstring of its own.

    `mdtranslate plugins KIND NAME` shows it, and the reference: it is where a user reads what it does.
    """
    text = given.component.__doc__
    parents = (inspect.getdoc(given.component.__mro__[1]) or "").strip()
    return None if text and text.strip() != parents else "none"


def config_is_a_model_of_settings(given: Given) -> str | None:
    """`Config` is a subclass of `mdtranslate.Settings`, and the settings are of it.

    Recipes are validated by it, so that a mistake is named before anything is made.
    """
    cls = given.component.Config
    if not issubclass(cls, Settings):
        return f"{cls!r}"
    return None if isinstance(given.config, cls) else f"settings of {type(given.config).__name__}"


def config_refuses_what_it_does_not_know(given: Given) -> str | None:
    """`Config` refuses a setting that it does not have.

    A misspelt setting that is passed over leaves the user with the default, and nobody says so.
    """
    config = given.config
    try:
        type(config).model_validate({**config.model_dump(), "no_such_setting": 1})
    except ValidationError:
        return None
    return "it took no_such_setting=1"


def config_is_frozen(given: Given) -> str | None:
    """Settings cannot be changed after validation.

    A run writes its settings down once; what changes later is not what was written.
    """
    return None if type(given.config).model_config.get("frozen") else "they can be assigned"


def config_describes_each_setting(given: Given) -> str | None:
    """Each setting has a description: `Field(description=...)`.

    The reference and `mdtranslate plugins KIND NAME` are made of them.
    """
    fields = type(given.config).model_fields
    bare = [name for name, each in fields.items() if not each.description]
    return f"{', '.join(bare)} without one" if bare else None


def config_round_trips(given: Given) -> str | None:
    """Settings that are written as JSON and read again are equal.

    Runs, worker processes and translators get their settings that way.
    """
    config = given.config
    back = type(config).model_validate_json(config.model_dump_json())
    return None if back == config else f"{back!r}"


def config_can_be_a_recipe(given: Given) -> str | None:
    """Settings can be written as TOML and read again.

    A run keeps its recipe as TOML, and goes on from it.
    """
    from mdtranslate.config.recipes import without_none  # It imports torch, which checks of a dataset do without.

    config = given.config
    written = tomli_w.dumps(without_none(config.model_dump(mode="json")))
    back = type(config).model_validate(tomllib.loads(written))
    return None if back == config else f"{back!r}"


CHECKS = (
    has_a_name,
    has_a_docstring,
    config_is_a_model_of_settings,
    config_refuses_what_it_does_not_know,
    config_is_frozen,
    config_describes_each_setting,
    config_round_trips,
    config_can_be_a_recipe,
)


def common(suite: Suite[Any]) -> None:
    """Adds these checks to those of a kind."""
    for each in CHECKS:
        suite.check(each)
