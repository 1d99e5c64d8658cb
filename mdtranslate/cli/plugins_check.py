"""`mdtranslate plugins check`: runs the contract checks on components."""

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


class FailedChecksError(MdtranslateError):
    """A component does not fulfil the contract; the report has the details."""


class _MissingSettingError(Exception):
    """A component has a required setting without a value."""


def check(name: str, settings: tuple[str, ...], size: int, as_json: bool) -> None:
    """Checks a component, or all components of a plugin, and prints the results.

    Args:
        name: Name of a component or a plugin.
        settings: `key=value` texts for a component.
        size: Height and width of the images for networks in pixels.
        as_json: Whether to print JSON.

    Raises:
        FailedChecksError: A check failed, or a component cannot be built.
        RecipeError: The name is unknown, or a setting is missing, unknown or invalid.
        PluginError: The plugin is broken.
    """
    num_failed, reports = 0, []
    components, is_plugin = _select_components(name, settings)
    for kind, component, owner in components:
        report: dict[str, Any] = {"kind": kind, "name": component, "plugin": owner, "checks": []}
        reports.append(report)
        if not as_json:
            click.secho(f"{kind} {component}", bold=True, nl=False)
            click.echo(f"  of {owner}")
        try:
            num_failed += _check_component(kind, component, settings, size, report, as_json)
        except _MissingSettingError as error:
            if not is_plugin:
                raise RecipeError(f"{kind} {component!r} {error}") from None
            report["not_checked"] = str(error)
            if not as_json:
                click.echo(f"  not checked: {error}")
    if as_json:
        print_json(reports)
    if num_failed:
        raise FailedChecksError(f"{num_failed} check{'s' * (num_failed > 1)} failed")


def _check_component(
    kind: str, name: str, settings: tuple[str, ...], size: int, report: dict[str, Any], as_json: bool
) -> int:
    """Checks one component, adds the results to its report and prints failures; returns their number."""
    from mdtranslate.testing import suite

    options: dict[str, Any] = {"size": size} if kind in ("generator", "discriminator") else {}
    build = _builder(kind, name, settings)
    results: list[Result] = []
    try:
        # Components may print too, but standard output is for the report only.
        with redirect_stdout(sys.stderr), Console(stderr=True).status("") as status:
            remaining = suite(kind).results(build, **options)
            selected = suite(kind).select()
            for contract_check in selected:
                status.update(f"{len(results) + 1} of {len(selected)}: {contract_check.name}")
                results.append(next(remaining))
    except MdtranslateError as error:  # `Choice.build` wraps all errors of a component.
        report["error"] = str(error)
        if not as_json:
            click.secho(f"  cannot be built: {error}", fg="red")
        return 1
    report["checks"] = [asdict(result) for result in results]
    if not as_json:
        _print_results(results)
    return sum(result.state == "failed" for result in results)


def _print_results(results: Sequence[Result]) -> None:
    """Prints failures in full, the number of passed checks, and the other checks by reason."""
    others: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.state == "failed":
            click.secho(f"  {result.name}", fg="red")
            for title, text in (("expected", result.expected), ("actual", result.actual), ("why", result.why)):
                click.echo(f"    {title:<9} {text}")
        elif result.state != "passed":
            others.setdefault((result.state, result.actual), []).append(result.name)
    states = [result.state for result in results]
    click.echo(f"  {states.count('passed')} of {states.count('passed') + states.count('failed')} passed")
    for (state, reason), names in others.items():
        # Checks whose prerequisite failed are many, so they are only counted.
        suffix = f": {', '.join(names)}" if state == "not applicable" else ""
        click.echo(f"  {len(names)} {state}, {reason}{suffix}")


def _select_components(name: str, settings: tuple[str, ...]) -> tuple[Iterator[tuple[str, str, str]], bool]:
    """Finds the components that a name means.

    Returns:
        Kind, name and plugin of each component; whether the name is a plugin's.
    """
    from mdtranslate.config.registry import registry

    plugins = {plugin.name: plugin for plugin in registry().plugins}
    components = [(kind, name) for kind in KINDS if name in registry().names(kind)]
    of_plugin = [pair for pair in plugins[name].provides if pair[0] in KINDS] if name in plugins else []
    # A name may be both a plugin's and a component's, such as `stargan`; with settings, it means the component.
    is_plugin = not components or (len(of_plugin) > len(components) and not settings)
    if is_plugin and name not in plugins:
        known = {*plugins, *(component for kind in KINDS for component in registry().names(kind))}
        suggestion = nearest(name, known)
        hint = suggestion if suggestion.startswith("did") else "`mdtranslate plugins` lists what is installed"
        raise RecipeError(f"no component and no plugin is called {name!r}: {hint}{registry().broken_plugins_hint}")
    if is_plugin:
        if plugins[name].errors:
            raise PluginError(f"{plugins[name]}: {plugins[name].errors[0]}")
        if settings:
            raise RecipeError(f"{name!r} is a plugin, and only components have settings; name one of its components")
        components = of_plugin
    return ((_suite_name(*pair), pair[1], str(registry().owner(*pair))) for pair in components), is_plugin


def _suite_name(kind: str, name: str) -> str:
    """The suite of checks for a component: its kind, or for backbones `generator` or `discriminator`."""
    from mdtranslate.config.registry import registry

    if kind != "backbone":
        return kind
    from mdtranslate.api import Generator

    return "generator" if issubclass(registry().component(kind, name), Generator) else "discriminator"


def _builder(kind: str, name: str, settings: tuple[str, ...]) -> Callable[..., Any]:
    """Returns a function for the checks that builds the component with these settings."""
    from pydantic import TypeAdapter, ValidationError

    from mdtranslate.config.choice import Choice
    from mdtranslate.config.plugin_validation import kind_class
    from mdtranslate.config.recipe_overrides import apply_overrides
    from mdtranslate.config.registry import registry

    registered_kind = "backbone" if kind in ("generator", "discriminator") else kind
    registry().component(registered_kind, name)
    table: dict[str, Any] = {"name": name}
    apply_overrides(table, settings, {})
    try:
        generic_choice: Any = Choice
        choice: Any = TypeAdapter(generic_choice[kind_class(registered_kind)]).validate_python(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise _MissingSettingError(f"needs {key}: mdtranslate plugins check {name} {key}=...") from None
        raise RecipeError(f"{kind} {name!r}: {key}: {first['msg']}") from None
    build: Callable[..., Any] = choice.build
    builders: dict[str, Callable[..., Any]] = {
        "encoder": lambda attributes: build(attributes=attributes),
        "generator": lambda label_encoder, size: build(label_encoder=label_encoder, image_size=size),
        "discriminator": lambda label_encoder, size: build(label_encoder=label_encoder, image_size=size),
        "loss": lambda label_encoder, size: build(label_encoder=label_encoder, image_size=size),
        "metric": lambda attributes, classifier_features: build(
            attributes=attributes, classifier_features=classifier_features
        ),
    }
    return builders.get(kind, build)
