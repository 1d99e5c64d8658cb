"""`mdtranslate plugins check`: whether components keep the contract."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from mdtranslate.cli.json_output import print_json
from mdtranslate.config.plugin_validation import KINDS
from mdtranslate.errors import MdtranslateError, PluginError, RecipeError, nearest

if TYPE_CHECKING:
    from mdtranslate.testing import Result


class BrokenPlugin(MdtranslateError):
    """A component does not keep the contract; the report says how."""


class _Unbuilt(Exception):
    """A component that needs settings which only a user knows."""


def check(name: str, settings: tuple[str, ...], size: int, as_json: bool) -> None:
    """Checks a component by its name, or every component of a plugin; prints what became of each check.

    `size`: pixels of the pictures that networks are shown. Raises `BrokenPlugin` where a check failed or a component
    cannot be made, `RecipeError` for a name or setting that there is not, or that is missing.
    """
    wrong, reports = 0, []
    chosen, whole = _chosen(name, settings)
    for kind, component, owner in chosen:
        report: dict[str, Any] = {"kind": kind, "name": component, "plugin": owner, "checks": []}
        reports.append(report)
        if not as_json:
            click.secho(f"{kind} {component}", bold=True, nl=False)
            click.echo(f"  of {owner}")
        try:
            wrong += _checked(kind, component, settings, size, report, as_json)
        except _Unbuilt as needs:
            if not whole:
                raise RecipeError(f"{kind} {component!r} {needs}") from None
            report["left out"] = str(needs)
            if not as_json:
                click.echo(f"  not checked: {needs}")
    if as_json:
        print_json(reports)
    if wrong:
        raise BrokenPlugin(f"{wrong} check{'s' * (wrong > 1)} failed")


def _checked(kind: str, name: str, settings: tuple[str, ...], size: int, report: dict[str, Any], as_json: bool) -> int:
    """Adds the checks of one component to its report, and prints those that fail; how many do."""
    from mdtranslate.testing import suite

    more: dict[str, Any] = {"size": size} if kind in ("generator", "discriminator") else {}
    given = _given(kind, name, settings)
    results: list[Result] = []
    try:
        # Standard output is the report's, also of components that print.
        with redirect_stdout(sys.stderr), Console(stderr=True).status("") as status:
            begun = suite(kind).results(given, **more)
            for each in (chosen := suite(kind).chosen()):
                status.update(f"{len(results) + 1} of {len(chosen)}: {each.name}")
                results.append(next(begun))
    except MdtranslateError as error:  # Of `Choice.build`, which says so of whatever a component raises.
        report["cannot be made"] = str(error)
        if not as_json:
            click.secho(f"  cannot be made: {error}", fg="red")
        return 1
    report["checks"] = [asdict(each) for each in results]
    if not as_json:
        _print(results)
    return sum(each.state == "failed" for each in results)


def _print(results: Sequence[Result]) -> None:
    """What failed, each in full; how many did not; and what was not looked at, by the reason."""
    asides: dict[tuple[str, str], list[str]] = {}
    for each in results:
        if each.state == "failed":
            click.secho(f"  {each.name}", fg="red")
            for word, text in (("expected", each.expected), ("came", each.came), ("why", each.why)):
                click.echo(f"    {word:<9} {text}")
        elif each.state != "passed":
            asides.setdefault((each.state, each.came), []).append(each.name)
    states = [each.state for each in results]
    click.echo(f"  {states.count('passed')} of {states.count('passed') + states.count('failed')} passed")
    for (state, reason), names in asides.items():
        # What waits for one that is broken comes by itself afterwards, and is half of all.
        named = f": {', '.join(names)}" if state == "left out" else ""
        click.echo(f"  {len(names)} {state}, {reason}{named}")


def _chosen(name: str, settings: tuple[str, ...]) -> tuple[Iterator[tuple[str, str, str]], bool]:
    """Kind, name and plugin of what is checked; and whether that is a plugin with all that it has."""
    from mdtranslate.config.registry import registry

    plugins = {plugin.name: plugin for plugin in registry().plugins}
    found = [(kind, name) for kind in KINDS if name in registry().names(kind)]
    own = [each for each in plugins[name].provides if each[0] in KINDS] if name in plugins else []
    # A name can be both, as `stargan` is a plugin and one of its importers: settings are of a component.
    whole = not found or (len(own) > len(found) and not settings)
    if whole and name not in plugins:
        known = {*plugins, *(each for kind in KINDS for each in registry().names(kind))}
        near = nearest(name, known)
        hint = near if near.startswith("did") else "`mdtranslate plugins` lists what is installed"
        raise RecipeError(f"no component and no plugin is called {name!r}: {hint}{registry().broken}")
    if whole:
        if plugins[name].errors:
            raise PluginError(f"{plugins[name]}: {plugins[name].errors[0]}")
        if settings:
            raise RecipeError(f"{name!r} is a plugin, and settings are of a component: name one of its")
        found = own
    return ((_kind(*each), each[1], str(registry().owner(*each))) for each in found), whole


def _kind(kind: str, name: str) -> str:
    from mdtranslate.config.registry import registry

    if kind != "backbone":
        return kind
    from mdtranslate.api import Generator

    return "generator" if issubclass(registry().component(kind, name), Generator) else "discriminator"


def _given(kind: str, name: str, settings: tuple[str, ...]) -> Callable[..., Any]:
    """What the checks take: a function that builds the component with these settings."""
    from pydantic import TypeAdapter, ValidationError

    from mdtranslate.config.choice import Choice
    from mdtranslate.config.plugin_validation import kind_class
    from mdtranslate.config.recipes import override
    from mdtranslate.config.registry import registry

    group = "backbone" if kind in ("generator", "discriminator") else kind
    registry().component(group, name)
    table: dict[str, Any] = {"name": name}
    override(table, settings, {})
    try:
        kept: Any = Choice
        choice: Any = TypeAdapter(kept[kind_class(group)]).validate_python(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise _Unbuilt(f"needs {key}: mdtranslate plugins check {name} {key}=...") from None
        raise RecipeError(f"{kind} {name!r}: {key}: {first['msg']}") from None
    build: Callable[..., Any] = choice.build
    makers: dict[str, Callable[..., Any]] = {
        "encoder": lambda attributes: build(attributes=attributes),
        "generator": lambda encoder, size: build(encoder=encoder, image_size=size),
        "discriminator": lambda encoder, size: build(encoder=encoder, image_size=size),
        "loss": lambda encoder, size: build(encoder=encoder, image_size=size),
        "metric": lambda attributes, judge: build(attributes=attributes, judge=judge),
    }
    return makers.get(kind, build)
