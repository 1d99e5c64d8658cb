"""`mdtranslate plugins`: what is installed, and what each component can be told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from mdtranslate.cli.json_output import print_json

BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "multiple of"}


@click.command("plugins")
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--size",
    type=click.IntRange(8),
    default=32,
    show_default=True,
    help="Pixels of the pictures that check shows networks; banks and deep networks want more, or settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str | None, name: str | None, settings: tuple[str, ...], size: int, as_json: bool) -> None:
    """List plugins and their components, or print the settings of one: `mdtranslate plugins loss wgan-gp`.

    KIND is dataset, encoder, backbone, loss, metric, importer, features or recipe; or check:

    mdtranslate plugins check NAME [KEY=VALUE]... checks a component, or all of a plugin, against the contract.
    """
    from mdtranslate.config.plugin_validation import KINDS
    from mdtranslate.config.registry import registry
    from mdtranslate.errors import RecipeError, nearest

    kinds = [*KINDS, "recipe"]
    if kind == "check":
        from mdtranslate.cli.plugins_check import check

        if name is None:
            raise RecipeError("plugins check: name a component or a plugin; `mdtranslate plugins` lists them")
        check(name, settings, size, as_json)
        return
    if settings:
        raise RecipeError(f"{settings[0]!r} is one word too many: settings are for `mdtranslate plugins check NAME`")
    if kind in ("generator", "discriminator"):  # What recipes call the two kinds of backbones.
        kind = "backbone"
    if kind is not None and kind not in kinds:
        raise RecipeError(f"there is no kind of component called {kind!r}: {nearest(kind, kinds)}")
    if kind is None or name is None:
        shown = kinds if kind is None else [kind]
        _list(shown, as_json)
    elif kind == "recipe" and as_json:
        from mdtranslate.config.recipes import read_toml  # It imports torch, and listing does not.

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
            if names := [name for each, name in plugin.provides if each == kind]:
                click.echo(f"  {kind:<9} {', '.join(names)}")
        for error in plugin.errors:
            click.secho(f"  broken    {error}", fg="red")


def _describe(kind: str, name: str, as_json: bool) -> None:
    from mdtranslate.config.registry import registry

    component, owner = registry().component(kind, name), registry().owner(kind, name)
    settings = list(settings_of(component.Config))
    if as_json:
        print_json({"kind": kind, "name": name, "plugin": owner.name, "settings": settings})
        return
    click.secho(f"{kind} {name}", bold=True, nl=False)
    click.echo(f"  of {owner}")
    click.echo(f"\n{_text(component)}\n")
    if not settings:
        click.echo("It has no settings.")
    for each in settings:
        default = "required" if each["required"] else f"default {json.dumps(each['default'])}"
        bounds = f", {each['bounds']}" if each["bounds"] else ""
        click.secho(f"  {each['key']}", bold=True, nl=False)
        click.echo(f"  {each['type']}, {default}{bounds}\n      {each['description']}")


def settings_of(config: Any) -> Iterator[dict[str, Any]]:
    """The fields of a component's pydantic model, in words."""
    from pydantic_core import to_jsonable_python

    for key, field in config.model_fields.items():
        bounds = " and ".join(
            f"{sign} {getattr(each, attribute)}"
            for each in field.metadata
            for attribute, sign in BOUNDS.items()
            if getattr(each, attribute, None) is not None
        )
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield {
            "key": key,
            "type": _type(field.annotation),
            "required": field.is_required(),
            "default": to_jsonable_python(default, fallback=str),
            "bounds": bounds,
            "description": field.description or "",
        }


def _type(annotation: Any) -> str:
    """A setting's type in words, without what only pydantic wants to know."""
    from types import NoneType, UnionType
    from typing import Annotated, Literal, Union, get_args, get_origin

    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " | ".join(map(repr, inner))
    if origin in (Union, UnionType):
        return " | ".join(map(_type, inner))
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if each is ... else _type(each) for each in inner)}]"
    return "none" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def _text(component: type) -> str:
    import inspect

    # Not `getdoc`, which says of a class without a docstring what its base is for.
    return inspect.cleandoc(component.__doc__ or "It has no description.")
