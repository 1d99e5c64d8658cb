"""`mdtranslate plugins`: lists plugins, and describes the settings of components."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from mdtranslate.cli.json_output import print_json

BOUND_SYMBOLS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "multiple of"}


@click.command("plugins")
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--size",
    type=click.IntRange(8),
    default=32,
    show_default=True,
    help="For check: height and width of the images for networks; deep ones may need more.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str | None, name: str | None, settings: tuple[str, ...], size: int, as_json: bool) -> None:
    """List plugins with their components, or print the settings of a component: `mdtranslate plugins loss wgan-gp`.

    KIND is dataset, encoder, backbone, loss, metric, importer, features, recipe or model.

    mdtranslate plugins check NAME [KEY=VALUE]... runs the contract checks on a component, or on all components of a
    plugin. KEY=VALUE sets a component's settings.
    """
    from mdtranslate.config.plugin_validation import KINDS, PATH_HOOKS
    from mdtranslate.config.registry import registry
    from mdtranslate.errors import RecipeError, nearest

    kinds = [*KINDS, *PATH_HOOKS]
    if kind == "check":
        from mdtranslate.cli.plugins_check import check

        if name is None:
            raise RecipeError("plugins check: NAME is missing; `mdtranslate plugins` lists components and plugins")
        check(name, settings, size, as_json)
        return
    if settings:
        raise RecipeError(f"unexpected argument {settings[0]!r}: only `mdtranslate plugins check NAME` takes settings")
    if kind in ("generator", "discriminator"):  # The tables in recipes for the two kinds of backbones.
        kind = "backbone"
    if kind is not None and kind not in kinds:
        raise RecipeError(f"KIND: {kind!r} is not a kind of component; {nearest(kind, kinds)}")
    if kind is None or name is None:
        _list(kinds if kind is None else [kind], as_json)
    elif kind == "model":
        from mdtranslate.cli.models import show_model

        show_model(name, as_json)
    elif kind == "recipe" and as_json:
        from mdtranslate.config.toml_tree import read_toml

        print_json(read_toml(registry().recipe(name)))
    elif kind == "recipe":
        click.echo(registry().recipe(name).read_text("utf-8"), nl=False)
    else:
        _describe(kind, name, as_json)


def _list(kinds: list[str], as_json: bool) -> None:
    from mdtranslate.config.registry import registry

    plugins = registry().plugins
    if as_json:
        rows = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "provides": [{"kind": kind, "name": name} for kind, name in plugin.provides if kind in kinds],
                "errors": plugin.errors,
            }
            for plugin in plugins
        ]
        print_json(rows)
        return
    for plugin in plugins:
        click.secho(plugin.name, bold=True, nl=False)
        click.echo(f"  ({plugin.distribution})")
        for kind in kinds:
            if names := [name for plugin_kind, name in plugin.provides if plugin_kind == kind]:
                click.echo(f"  {kind:<9} {', '.join(names)}")
        for error in plugin.errors:
            click.secho(f"  broken    {error}", fg="red")


def _describe(kind: str, name: str, as_json: bool) -> None:
    from mdtranslate.config.registry import registry

    component, owner = registry().component(kind, name), registry().owner(kind, name)
    settings = list(describe_settings(component.Config))
    if as_json:
        print_json({"kind": kind, "name": name, "plugin": owner.name, "settings": settings})
        return
    click.secho(f"{kind} {name}", bold=True, nl=False)
    click.echo(f"  of {owner}")
    click.echo(f"\n{_description(component)}\n")
    if not settings:
        click.echo("It has no settings.")
    for setting in settings:
        default = "required" if setting["required"] else f"default {json.dumps(setting['default'])}"
        bounds = f", {setting['bounds']}" if setting["bounds"] else ""
        click.secho(f"  {setting['key']}", bold=True, nl=False)
        click.echo(f"  {setting['type']}, {default}{bounds}\n      {setting['description']}")


def describe_settings(config: Any) -> Iterator[dict[str, Any]]:
    """Describes the fields of a pydantic model.

    Args:
        config: The model's class.

    Yields:
        Key, type, default, bounds and description of each field, and whether it is required.
    """
    from pydantic_core import to_jsonable_python

    for key, field in config.model_fields.items():
        bounds = " and ".join(
            f"{symbol} {getattr(constraint, attribute)}"
            for constraint in field.metadata
            for attribute, symbol in BOUND_SYMBOLS.items()
            if getattr(constraint, attribute, None) is not None
        )
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield {
            "key": key,
            "type": _format_type(field.annotation),
            "required": field.is_required(),
            "default": to_jsonable_python(default, fallback=str),
            "bounds": bounds,
            "description": field.description or "",
        }


def _format_type(annotation: Any) -> str:
    """Formats a type annotation without pydantic's metadata."""
    from types import NoneType, UnionType
    from typing import Annotated, Literal, Union, get_args, get_origin

    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _format_type(args[0])
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (Union, UnionType):
        return " | ".join(map(_format_type, args))
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if arg is ... else _format_type(arg) for arg in args)}]"
    return "none" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def _description(component: type) -> str:
    import inspect

    # Not `getdoc`, which returns the docstring of the base class if there is none.
    return inspect.cleandoc(component.__doc__ or "It has no description.")
