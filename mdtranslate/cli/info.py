"""`mdtranslate info`: describes the installation for bug reports."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Final

import click

from mdtranslate._version import __version__
from mdtranslate.api.hookspecs import API_VERSION
from mdtranslate.cli.json_output import print_json
from mdtranslate.errors import StorageError
from mdtranslate.utils.files import home_folder

DEVELOPMENT_EXTRAS: Final = ("test", "docs")
ENVIRONMENT_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "NO_COLOR",
)


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Print versions, devices, cache and plugins for bug reports.

    The path of your home folder is replaced by ~.
    """
    required, optional = _requirements()
    info = _hide_home(
        {
            "mdtranslate": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in [*required, *optional]},
            "settings": {name: os.environ[name] for name in ENVIRONMENT_VARIABLES if name in os.environ},
            "devices": _devices(),
            "cache": _cache(),
            "plugin_api": API_VERSION,
            "hooks": _hooks(),
            "plugins": _plugins(),
        }
    )
    if as_json:
        print_json(info)
        return
    for name in ("mdtranslate", "python", "platform", "plugin_api"):
        click.echo(f"{name.replace('_', ' '):<12} {info[name]}")
    installed = {name: number for name, number in info["packages"].items() if number is not None}
    missing = [name for name in required if name not in installed]
    click.echo(f"{'packages':<12} {', '.join(f'{name} {number}' for name, number in installed.items())}")
    if missing:
        click.secho(f"{'missing':<12} {', '.join(missing)}", fg="red")
    if info["settings"]:
        click.echo(f"{'settings':<12} {' '.join(f'{name}={value}' for name, value in info['settings'].items())}")
    for device in info["devices"]:
        gigabytes = f", {device['memory_bytes'] / 1e9:.1f} GB" if "memory_bytes" in device else ""
        cores = f", {device['cores']} cores, {device['threads']} threads" if "cores" in device else ""
        click.echo(f"{'device':<12} {device['name']}{cores}{gigabytes}")
    cache = info["cache"]
    click.echo(f"{'cache':<12} {cache['folder']}, {cache['bytes'] / 1e6:.1f} MB")
    click.echo(f"{'hooks':<12} {', '.join(info['hooks'])}")
    for plugin in info["plugins"]:
        click.echo(f"{'plugin':<12} {plugin['name']} ({plugin['distribution']}), registers {plugin['provides']}")
        for error in plugin["errors"]:
            click.secho(f"{'':<12} broken: {error}", fg="red")


def _requirements() -> tuple[list[str], list[str]]:
    """Required packages, and those of extras for users, from the metadata of mdtranslate."""
    required, optional = list[str](), list[str]()
    for requirement in requires("mdtranslate") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)", requirement)
        if extra is None:
            required.append(name)
        elif extra[1] not in DEVELOPMENT_EXTRAS and name not in optional:
            optional.append(name)
    return required, optional


def _version(name: str) -> str | None:
    """The version of a distribution, or None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    """CPU and GPUs; if torch cannot be imported, the error: it may be what the bug report is about."""
    try:
        import torch

        from mdtranslate.utils.device import hardware
        from mdtranslate.utils.process import available_cores

        cpu = hardware(torch.device("cpu"))
        name = f"cpu: {cpu['processor']}"
        devices: list[dict[str, Any]] = [{"name": name, "cores": available_cores(), "threads": cpu["threads"]}]
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            name = f"cuda:{index}: {properties.name}, CUDA {torch.version.cuda}"
            devices.append({"name": name, "memory_bytes": properties.total_memory})
        if torch.backends.mps.is_available():
            devices.append({"name": "mps"})
        return devices
    except Exception as error:
        from mdtranslate.errors import first_line

        return [{"name": f"torch is broken: {first_line(error)}"}]


def _cache() -> dict[str, Any]:
    from mdtranslate.data.cache.store import cache_root

    try:
        folder, size = cache_root().parent, 0
    except StorageError as error:
        return {"folder": str(error), "bytes": 0}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # Removed by another process.
            size += path.stat().st_size if path.is_file() else 0
    return {"folder": str(folder), "bytes": size}


def _hooks() -> list[str]:
    """The names of all hooks, which tell whether the plugin API is complete."""
    from mdtranslate.config.plugin_validation import KINDS, PATH_HOOKS

    return [*KINDS.values(), *PATH_HOOKS.values()]


def _plugins() -> list[dict[str, Any]]:
    from mdtranslate.config.registry import registry

    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "provides": len(plugin.provides),
            "errors": list(plugin.errors),
        }
        for plugin in registry().plugins
    ]


def _hide_home(value: Any) -> Any:
    """Replaces the path of the home folder, which contains the user's name, by ~ in all texts."""
    if isinstance(value, Mapping):
        return {key: _hide_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide_home(item) for item in value]
    home = home_folder()
    return value.replace(str(home), "~") if isinstance(value, str) and len(home.parts) > 1 else value
