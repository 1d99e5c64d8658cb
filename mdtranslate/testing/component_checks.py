"""Checks of every kind of component: its name, its docstring and its settings."""

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


def as_builder(component: Any, *arguments: str) -> Callable[..., Any]:
    """Returns a function that builds a component.

    Args:
        component: Such a function, which is returned as it is, or the component's class, which is then built with
            default settings.
        arguments: Names of the class's keyword arguments, in the order in which the function takes their values.
    """
    cls: Any = component
    if isinstance(component, type):
        return lambda *values: cls(cls.Config(), **dict(zip(arguments, values, strict=True)))
    build: Callable[..., Any] = component
    return build


class ComponentCase(Protocol):
    """What the checks of this module test."""

    @property
    def component(self) -> type[Component]:
        """The class of the component."""

    @property
    def config(self) -> Any:
        """Its settings, an instance of its `Config`."""


def has_valid_name(case: ComponentCase) -> str | None:
    """`name` is one word of letters, digits, `-` and `_`.

    Recipes and the command line use it as a key, in which a dot or a space has another meaning.
    """
    name = getattr(case.component, "name", None)
    return None if isinstance(name, str) and WORD.fullmatch(name) else repr(name)


def has_docstring(case: ComponentCase) -> str | None:
    """The class has a docstring, which is not inherited.

    `mdtranslate plugins KIND NAME` and the reference show it: users read there what the component does.
    """
    text = case.component.__doc__
    inherited = (inspect.getdoc(case.component.__mro__[1]) or "").strip()
    return None if text and text.strip() != inherited else "none"


def config_derives_from_settings(case: ComponentCase) -> str | None:
    """`Config` is a subclass of `mdtranslate.Settings`, and the component's settings are an instance of it.

    Recipes are validated with it, so that mistakes are reported before anything is built.
    """
    cls = case.component.Config
    if not issubclass(cls, Settings):
        return f"{cls!r}"
    return None if isinstance(case.config, cls) else f"settings of type {type(case.config).__name__}"


def config_rejects_unknown_keys(case: ComponentCase) -> str | None:
    """`Config` rejects keys that it does not define.

    If a misspelt key is ignored, the default is used without any message.
    """
    config = case.config
    try:
        type(config).model_validate({**config.model_dump(), "no_such_setting": 1})
    except ValidationError:
        return None
    return "no_such_setting=1 was accepted"


def config_is_frozen(case: ComponentCase) -> str | None:
    """Settings cannot be changed after validation.

    A run writes its settings to disk once; later changes would not be recorded.
    """
    return None if type(case.config).model_config.get("frozen") else "settings can be assigned"


def config_describes_every_setting(case: ComponentCase) -> str | None:
    """Every setting has a description: `Field(description=...)`.

    The reference and `mdtranslate plugins KIND NAME` show it.
    """
    fields = type(case.config).model_fields
    undescribed = [name for name, field in fields.items() if not field.description]
    return f"no description of {', '.join(undescribed)}" if undescribed else None


def config_survives_json(case: ComponentCase) -> str | None:
    """Settings that are written as JSON and read again are equal.

    Runs, worker processes and translators store and send settings that way.
    """
    config = case.config
    restored = type(config).model_validate_json(config.model_dump_json())
    return None if restored == config else f"{restored!r}"


def config_survives_toml(case: ComponentCase) -> str | None:
    """Settings that are written as TOML and read again are equal.

    A run stores its recipe as TOML and is resumed from it.
    """
    from mdtranslate.config.toml_tree import without_none  # It imports torch, which dataset checks do not need.

    config = case.config
    document = tomli_w.dumps(without_none(config.model_dump(mode="json")))
    restored = type(config).model_validate(tomllib.loads(document))
    return None if restored == config else f"{restored!r}"


CHECKS = (
    has_valid_name,
    has_docstring,
    config_derives_from_settings,
    config_rejects_unknown_keys,
    config_is_frozen,
    config_describes_every_setting,
    config_survives_json,
    config_survives_toml,
)


def add_common_checks(suite: Suite[Any]) -> None:
    """Adds the checks of this module to a suite."""
    for check in CHECKS:
        suite.check(check)
