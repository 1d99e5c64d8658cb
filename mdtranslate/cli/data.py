"""`mdtranslate data`: the cache of packed pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdtranslate.cli.json_output import print_json

if TYPE_CHECKING:
    from mdtranslate.data.cache.admin import PackedInfo


@click.group("data")
def command() -> None:
    """List, verify or clear the cache of packed pictures."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """What is cached, where, and how large it is."""
    from mdtranslate.data.cache.admin import list_packed
    from mdtranslate.data.cache.store import cache_root

    found = list_packed()
    if as_json:
        print_json([_row(each) for each in found])
        return
    for each in found:
        mb = each.bytes / 1e6
        click.echo(
            f"{each.path.name[:12]}  {each.instance:<14} {each.what:<16} {each.count:>8} pictures  {each.size:>4} px  "
            f"{mb:>9.1f} MB  used {each.used:%Y-%m-%d}{'' if each.finished else '  unfinished'}"
        )
    click.echo(f"{len(found)} entries, {sum(each.bytes for each in found) / 1e6:.1f} MB in {cache_root()}")
    if judges := _judges():
        mb = sum(file.stat().st_size for each in judges for file in each.iterdir()) / 1e6
        click.echo(f"{len(judges)} judges of evaluations, {mb:.1f} MB in {judges[0].parent}")


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_(as_json: bool) -> None:
    """Compare every cached picture, and the list of those left out, with the hash of when it was packed."""
    from mdtranslate.data.cache.admin import list_packed, verify
    from mdtranslate.errors import DataError

    found, damaged, rows = [each for each in list_packed() if each.finished], [], []
    for each in found:
        wrong = verify(each)
        if wrong:
            damaged.append(each.path.name[:12])
        whole = wrong != [-1]
        if as_json:
            rows.append({**_row(each), "sound": not wrong, "whole": whole, "damaged": wrong if whole else []})
            continue
        said = f"{len(wrong)} damaged" if wrong and whole else "not whole" if wrong else "sound"
        click.echo(f"{each.path.name[:12]}  {each.instance:<14} {each.what:<16} {each.count:>8} pictures  {said}")
    if as_json:
        print_json(rows)
    if damaged:
        rid = f"mdtranslate data clear {' '.join(damaged)}"
        raise DataError(f"{len(damaged)} of {len(found)} entries are damaged; {rid} removes them")


@command.command("clear")
@click.argument("keys", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove all of it, and the judges that evaluations trained.")
def clear_(keys: tuple[str, ...], everything: bool) -> None:
    """Remove entries by KEY (as `data list` shows them), or by a dataset's name; it is packed again when needed."""
    from mdtranslate.data.cache.admin import clear, list_packed
    from mdtranslate.errors import RecipeError
    from mdtranslate.utils.files import disk

    found = list_packed()
    if not keys and not everything:
        raise RecipeError("name the entries to remove, as `mdtranslate data list` shows them, or give --all")
    chosen = found if everything else []
    for key in keys:
        mine = [each for each in found if key in (each.instance, each.dataset)]
        mine = mine or [each for each in found if key and each.path.name.startswith(key)]
        if not mine:
            raise RecipeError(f"nothing in the cache is called {key!r}; `mdtranslate data list` shows what is there")
        chosen += [each for each in mine if each not in chosen]
    click.echo(f"removed {len(chosen)} entries, {clear(chosen) / 1e6:.1f} MB")
    for judge in _judges() if everything else []:
        with disk(judge):
            shutil.rmtree(judge)
        click.echo(f"removed judge {judge.name[:12]}")


def _row(entry: PackedInfo) -> dict[str, Any]:
    """An entry for programs."""
    fields = ("dataset", "instance", "what", "count", "size", "bytes", "finished")
    when = {name: getattr(entry, name).isoformat(timespec="seconds") for name in ("created", "used")}
    return {"key": entry.path.name, **{field: getattr(entry, field) for field in fields}, **when}


def _judges() -> list[Path]:
    """The folders of judges, which lie beside the packed pictures."""
    from mdtranslate.data.cache.store import cache_root

    folder = cache_root().parent / "judges"
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
