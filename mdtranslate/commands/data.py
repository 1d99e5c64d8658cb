"""`mdtranslate data`: the cache of packed pictures."""

from __future__ import annotations

import json

import click


@click.group("data")
def command() -> None:
    """List or clear the cache of packed pictures."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """What is cached, where, and how large it is."""
    from mdtranslate.data.pack import cache_root, list_packed

    found = list_packed()
    if as_json:
        fields = ("dataset", "instance", "what", "count", "size", "bytes")
        rows = [{"key": each.path.name, **{field: getattr(each, field) for field in fields}} for each in found]
        click.echo(json.dumps(rows, indent=2))
        return
    for each in found:
        mb = each.bytes / 1e6
        click.echo(
            f"{each.path.name[:12]}  {each.instance:<14} {each.what:<16} {each.count:>8} pictures  {each.size:>4} px  "
            f"{mb:>9.1f} MB  used {each.used:%Y-%m-%d}"
        )
    click.echo(f"{len(found)} entries, {sum(each.bytes for each in found) / 1e6:.1f} MB in {cache_root()}")


@command.command("clear")
@click.argument("keys", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove all of it.")
def clear_(keys: tuple[str, ...], everything: bool) -> None:
    """Remove entries by KEY (as `data list` shows them), or by a dataset's name; it is packed again when needed."""
    from mdtranslate.data.pack import clear, list_packed
    from mdtranslate.errors import RecipeError

    found = list_packed()
    if not keys and not everything:
        raise RecipeError("name the entries to remove, as `mdtranslate data list` shows them, or give --all")
    chosen = found if everything else []
    for key in keys:
        mine = [each for each in found if each.path.name.startswith(key) or key in (each.instance, each.dataset)]
        if not mine:
            raise RecipeError(f"nothing in the cache is called {key!r}; `mdtranslate data list` shows what is there")
        chosen += [each for each in mine if each not in chosen]
    click.echo(f"removed {len(chosen)} entries, {clear(chosen) / 1e6:.1f} MB")
