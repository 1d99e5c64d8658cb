"""`mdtranslate data`: lists, verifies and clears the image cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdtranslate.cli.json_output import print_json

if TYPE_CHECKING:
    from mdtranslate.data.cache.admin import CacheEntryInfo


@click.group("data")
def command() -> None:
    """List, verify or clear the image cache."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the entries of the cache with their sizes."""
    from mdtranslate.data.cache.admin import list_cache_entries
    from mdtranslate.data.cache.store import cache_root

    entries = list_cache_entries()
    if as_json:
        print_json([_to_json(entry) for entry in entries])
        return
    for entry in entries:
        click.echo(
            f"{_summary(entry)}  {entry.size:>4} px  {entry.bytes / 1e6:>9.1f} MB  used {entry.used:%Y-%m-%d}"
            f"{'' if entry.finished else '  unfinished'}"
        )
    click.echo(f"{len(entries)} entries, {sum(entry.bytes for entry in entries) / 1e6:.1f} MB in {cache_root()}")
    if classifiers := _classifier_folders():
        mb = sum(file.stat().st_size for folder in classifiers for file in folder.iterdir()) / 1e6
        click.echo(f"{len(classifiers)} attribute classifiers, {mb:.1f} MB in {classifiers[0].parent}")


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_(as_json: bool) -> None:
    """Compare all cached images and their metadata with the hashes from when they were cached."""
    from mdtranslate.data.cache.admin import list_cache_entries, verify
    from mdtranslate.errors import DataError

    entries = [entry for entry in list_cache_entries() if entry.finished]
    damaged_entries, rows = [], []
    for entry in entries:
        damaged_images = verify(entry)
        if damaged_images:
            damaged_entries.append(entry.path.name[:12])
        complete = damaged_images != [-1]
        if as_json:
            intact = not damaged_images
            damaged = damaged_images if complete else []
            rows.append({**_to_json(entry), "intact": intact, "complete": complete, "damaged": damaged})
            continue
        state = "intact" if not damaged_images else f"{len(damaged_images)} damaged" if complete else "incomplete"
        click.echo(f"{_summary(entry)}  {state}")
    if as_json:
        print_json(rows)
    if damaged_entries:
        remedy = f"remove them with mdtranslate data clear {' '.join(damaged_entries)}"
        raise DataError(f"{len(damaged_entries)} of {len(entries)} entries are damaged; {remedy}")


@command.command("clear")
@click.argument("keys", nargs=-1, metavar="[KEY|DATASET]...")
@click.option("--all", "clear_all", is_flag=True, help="Remove everything, also attribute classifiers.")
def clear_(keys: tuple[str, ...], clear_all: bool) -> None:
    """Remove entries from the cache.

    Entries are named by KEY, as `mdtranslate data list` prints it, or by the name of their DATASET. Images are cached
    again when they are needed.
    """
    from mdtranslate.data.cache.admin import clear, list_cache_entries
    from mdtranslate.errors import RecipeError
    from mdtranslate.utils.files import storage_errors

    entries = list_cache_entries()
    if not keys and not clear_all:
        raise RecipeError("name the entries to remove, as `mdtranslate data list` prints them, or use --all")
    selected = entries if clear_all else []
    for key in keys:
        matches = [entry for entry in entries if key in (entry.instance, entry.dataset)]
        matches = matches or [entry for entry in entries if key and entry.path.name.startswith(key)]
        if not matches:
            raise RecipeError(f"no entry of the cache matches {key!r}; `mdtranslate data list` prints all entries")
        selected += [entry for entry in matches if entry not in selected]
    click.echo(f"removed {len(selected)} entries, {clear(selected) / 1e6:.1f} MB")
    for folder in _classifier_folders() if clear_all else []:
        with storage_errors(folder):
            shutil.rmtree(folder)
        click.echo(f"removed attribute classifier {folder.name[:12]}")


def _summary(entry: CacheEntryInfo) -> str:
    """Formats key, dataset, purpose and number of images in columns."""
    return f"{entry.path.name[:12]}  {entry.instance:<14} {entry.purpose:<16} {entry.count:>8} images"


def _to_json(entry: CacheEntryInfo) -> dict[str, Any]:
    fields = ("dataset", "instance", "purpose", "count", "size", "bytes", "finished")
    times = {name: getattr(entry, name).isoformat(timespec="seconds") for name in ("created", "used")}
    return {"key": entry.path.name, **{field: getattr(entry, field) for field in fields}, **times}


def _classifier_folders() -> list[Path]:
    """The cached attribute classifiers, beside the image cache; `classifier_cache`, which writes them, needs torch."""
    from mdtranslate.data.cache.store import cache_root

    folder = cache_root().parent / "classifiers"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
