"""`mdtranslate info`: what a bug report should say of the machine."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Final

import click

from mdtranslate._version import __version__
from mdtranslate.api.hookspecs import API_VERSION
from mdtranslate.cli.json_output import print_json

TOOLS: Final = ("test", "docs")
"""Extras of those who work on mdtranslate itself, which nothing that it does for others depends on."""
SETTINGS: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "NO_COLOR")


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Print versions, devices, the cache and plugins, for a bug report. No name of yours is in it: home is ~."""
    needed, optional = _requirements()
    found = _short(
        {
            "mdtranslate": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in [*needed, *optional]},
            "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
            "devices": _devices(),
            "cache": _cache(),
            "plugin_api": API_VERSION,
            "hooks": _hooks(),
            "plugins": _plugins(),
        }
    )
    if as_json:
        print_json(found)
        return
    for name in ("mdtranslate", "python", "platform", "plugin_api"):
        click.echo(f"{name.replace('_', ' '):<12} {found[name]}")
    there = {name: each for name, each in found["packages"].items() if each is not None}
    missing = [name for name in needed if name not in there]
    click.echo(f"{'packages':<12} {', '.join(f'{name} {each}' for name, each in there.items())}")
    if missing:
        click.secho(f"{'missing':<12} {', '.join(missing)}", fg="red")
    if found["settings"]:
        click.echo(f"{'settings':<12} {' '.join(f'{name}={each}' for name, each in found['settings'].items())}")
    for each in found["devices"]:
        gigabytes = f", {each['memory_bytes'] / 1e9:.1f} GB" if "memory_bytes" in each else ""
        cores = f", {each['cores']} cores, {each['threads']} threads" if "cores" in each else ""
        click.echo(f"{'device':<12} {each['name']}{cores}{gigabytes}")
    cache = found["cache"]
    click.echo(f"{'cache':<12} {cache['folder']}, {cache['bytes'] / 1e6:.1f} MB")
    click.echo(f"{'hooks':<12} {', '.join(found['hooks'])}")
    for plugin in found["plugins"]:
        click.echo(f"{'plugin':<12} {plugin['name']} ({plugin['distribution']}), registers {plugin['provides']}")
        for error in plugin["errors"]:
            click.secho(f"{'':<12} broken: {error}", fg="red")


def _requirements() -> tuple[list[str], list[str]]:
    """What it needs, and what its extras need, as its own metadata say."""
    needed, optional = list[str](), list[str]()
    for each in requires("mdtranslate") or ():
        name = re.split(r"[^\w.-]", each, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)", each)
        if extra is None:
            needed.append(name)
        elif extra[1] not in TOOLS and name not in optional:
            optional.append(name)
    return needed, optional


def _version(name: str) -> str | None:
    """Of a distribution; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    """The processor and the GPUs. Where torch cannot even be imported, which is what the report is of, its error."""
    try:
        import torch

        from mdtranslate.utils.device import hardware
        from mdtranslate.utils.process import available_cores

        known = hardware(torch.device("cpu"))
        name = f"cpu: {known['processor']}"
        found: list[dict[str, Any]] = [{"name": name, "cores": available_cores(), "threads": known["threads"]}]
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            name = f"cuda:{number}: {facts.name}, CUDA {torch.version.cuda}"
            found.append({"name": name, "memory_bytes": facts.total_memory})
        if torch.backends.mps.is_available():
            found.append({"name": "mps"})
        return found
    except Exception as error:
        from mdtranslate.errors import first_line

        return [{"name": f"torch is broken: {first_line(error)}"}]


def _cache() -> dict[str, Any]:
    from mdtranslate.data.cache.store import cache_root

    folder, size = cache_root().parent, 0
    for each in folder.rglob("*"):
        with suppress(FileNotFoundError):  # Another process removes it just now.
            size += each.stat().st_size if each.is_file() else 0
    return {"folder": str(folder), "bytes": size}


def _hooks() -> list[str]:
    """The interface that plugins are written against."""
    from mdtranslate.config.plugin_validation import KINDS, RECIPES

    return [*KINDS.values(), RECIPES]


def _plugins() -> list[dict[str, Any]]:
    from mdtranslate.config.registry import registry

    return [
        {
            "name": each.name,
            "distribution": each.distribution,
            "provides": len(each.provides),
            "errors": list(each.errors),
        }
        for each in registry().plugins
    ]


def _short(value: Any) -> Any:
    """The tree without the name of whose home it is."""
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    home = Path.home()
    return value.replace(str(home), "~") if isinstance(value, str) and len(home.parts) > 1 else value
