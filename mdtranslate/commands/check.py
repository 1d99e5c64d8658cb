"""`mdtranslate plugins check`: whether components keep the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from mdtranslate.errors import MdtranslateError, PluginError, RecipeError, nearest

CHECKED = ("dataset", "encoder", "backbone", "loss", "metric")


class BrokenPlugin(MdtranslateError):
    """A component does not keep the contract; the report says how."""


def check(name: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Checks a component by its name, or every component of a plugin; prints what became of each check.

    Raises `BrokenPlugin` where one failed, `RecipeError` for a name or setting that there is not.
    """
    from mdtranslate.testing import suite

    failed, reports = 0, []
    for kind, component, owner, given in _chosen(name, settings):
        report: dict[str, Any] = {"kind": kind, "name": component, "plugin": owner, "checks": []}
        reports.append(report)
        if not as_json:
            click.secho(f"{kind} {component}", bold=True, nl=False)
            click.echo(f"  of {owner}")
        if isinstance(given, str):
            report["left out"] = given
            if not as_json:
                click.echo(f"  not checked: {given}")
            continue
        left_out = 0
        try:
            for each in suite(kind).results(given):
                report["checks"].append(asdict(each))
                failed += each.state == "failed"
                left_out += each.state == "left out"
                if each.state == "failed" and not as_json:
                    click.secho(f"  {each.name}", fg="red")
                    for word, text in (("expected", each.expected), ("came", each.came), ("why", each.why)):
                        click.echo(f"    {word:<9} {text}")
        except MdtranslateError:
            raise
        except Exception as error:
            raise PluginError(
                f"{kind} {component!r} of {owner} cannot be made: {type(error).__name__}: {error}"
            ) from error
        if not as_json:
            passed = sum(each["state"] == "passed" for each in report["checks"])
            click.echo(f"  {passed} of {len(report['checks']) - left_out} passed, {left_out} do not apply")
    if as_json:
        click.echo(json.dumps(reports, indent=2))
    if failed:
        raise BrokenPlugin(f"{failed} check{'s' * (failed > 1)} failed")


def _chosen(name: str, settings: tuple[str, ...]) -> Iterator[tuple[str, str, str, Any]]:
    """Kind, name, plugin, and what is checked: something for a `Suite`, or a line that says why it is not."""
    from mdtranslate.registry import registry

    plugins = {plugin.name: plugin for plugin in registry().plugins}
    found = [(kind, name) for kind in CHECKED if name in registry().names(kind)]
    if not found and name not in plugins:
        known = [*plugins, *(each for kind in CHECKED for each in registry().names(kind))]
        raise RecipeError(f"no component and no plugin is called {name!r}: {nearest(name, known)}")
    if not found:
        if settings:
            raise RecipeError(f"{name!r} is a plugin, and settings are of a component: name one of its")
        if plugins[name].errors:
            raise PluginError(f"{plugins[name]}: {plugins[name].errors[0]}")
        found = [each for each in plugins[name].provides if each[0] in CHECKED]
    for kind, component in found:
        yield (
            _kind(kind, component),
            component,
            str(registry().owner(kind, component)),
            _given(kind, component, settings),
        )


def _kind(kind: str, name: str) -> str:
    from mdtranslate.registry import registry

    if kind != "backbone":
        return kind
    from mdtranslate.interfaces import Generator

    return "generator" if issubclass(registry().component(kind, name), Generator) else "discriminator"


def _given(kind: str, name: str, settings: tuple[str, ...]) -> Any:
    """What the checks take: a function that builds the component with these settings."""
    from pydantic import TypeAdapter, ValidationError

    from mdtranslate.choice import Choice
    from mdtranslate.kinds import kind_class
    from mdtranslate.recipes import parse
    from mdtranslate.registry import registry

    registry().component(kind, name)
    table: dict[str, Any] = {"name": name}
    for key, value in map(parse, settings):
        inner = table
        for part in key.split(".")[:-1]:
            inner = inner.setdefault(part, {})
        inner[key.split(".")[-1]] = value
    try:
        kept: Any = Choice
        choice: Any = TypeAdapter(kept[kind_class(kind)]).validate_python(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing" and not settings:
            return f"it needs settings: mdtranslate plugins check {name} {key}=..."
        raise RecipeError(f"{kind} {name!r}: {key}: {first['msg']}") from None
    makers: dict[str, Callable[..., Any]] = {
        "dataset": lambda: choice.build(),
        "encoder": lambda attributes: choice.build(attributes=attributes),
        "backbone": lambda encoder, size: choice.build(encoder=encoder, image_size=size),
        "loss": lambda encoder, size: choice.build(encoder=encoder, image_size=size),
        "metric": lambda attributes, judge: choice.build(attributes=attributes, judge=judge),
    }
    return makers[kind]
