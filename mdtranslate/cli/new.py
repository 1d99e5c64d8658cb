"""`mdtranslate new`: creates a plugin package with a working component and tests."""

from __future__ import annotations

import builtins
import io
import keyword
import re
import shutil
import tempfile
import tokenize
from datetime import UTC, datetime
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

import click

from mdtranslate._version import __version__

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
KINDS: Final = {
    "dataset": ("dataset", "register_datasets", "mdtranslate run stargan 'datasets={$name={root=\"PATH\"}}'"),
    "loss": ("loss", "register_losses", "mdtranslate run stargan losses.$name.weight=0.5"),
    "backbone": ("generator", "register_backbones", "mdtranslate run stargan generator=$name"),
    "encoder": ("encoder", "register_label_encoders", "mdtranslate run stargan label_encoder=$name"),
    "metric": ("metric", "register_metrics", "mdtranslate evaluate RUN 'metrics.$name={}'"),
}
"""For each kind: name of the module, hook, and a command that uses the component."""

TEMPLATES: Final = {
    "package/pyproject.toml.txt": "pyproject.toml",
    "package/README.md": "README.md",
    "package/LICENSE": "LICENSE",
    "package/gitignore": ".gitignore",
    "package/workflow.yml": ".github/workflows/test.yml",
    "package/init.py.txt": "$package/__init__.py",
    "$kind/component.py.txt": "$package/$module.py",
    "$kind/test.py.txt": "tests/test_$package.py",
}
"""The file in the package for each template; names are templates, too."""


@click.command("new")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to create; default: mdtranslate-NAME.")
def command(kind: str, name: str, out: Path | None) -> None:
    """Create a plugin package with a new component of the given kind, called NAME.

    For instance, `mdtranslate new dataset pets` creates mdtranslate-pets with a working dataset and its tests, to be
    modified. Existing files are never overwritten.
    """
    from mdtranslate.api.hookspecs import API_VERSION
    from mdtranslate.config.registry import registry
    from mdtranslate.errors import RecipeError
    from mdtranslate.utils.files import storage_errors

    name = name.removeprefix("mdtranslate-")
    if not NAME_PATTERN.fullmatch(name):
        suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f", such as {suggestion!r}" if NAME_PATTERN.fullmatch(suggestion) else ""
        raise RecipeError(f"NAME: {name!r} is invalid; use lower-case letters, digits and hyphens{hint}")
    if name in registry().names(kind):
        raise RecipeError(f"NAME: {kind} {name!r} is taken by {registry().owner(kind, name)}; choose another name")
    package = f"mdtranslate_{name.replace('-', '_')}"
    # Plugins of the same name conflict, and installing the package would overwrite one of the same name.
    if conflicts := [plugin for plugin in registry().plugins if plugin.name == name]:
        raise RecipeError(f"NAME: {name!r} is the name of {conflicts[0]}; choose another name")
    if find_spec(package):
        raise RecipeError(f"NAME: {name!r}: a package {package} is installed already; choose another name")
    out = out or Path(f"mdtranslate-{name}")
    if out.exists() or out.is_symlink():
        raise RecipeError(f"{out}: exists already and is never overwritten; use --out FOLDER for another folder")
    module, hook, usage = KINDS[kind]
    values = {
        "kind": kind,
        "name": name,
        "module": module,
        "hook": hook,
        "package": package,
        "distribution": f"mdtranslate-{name}",
        "title": f"The {module} {name}",
        "use": Template(usage).substitute(name=name),
        "check": " root=PATH" if kind == "dataset" else "",
        "version": __version__,
        "api": str(API_VERSION),
        "year": str(datetime.now(UTC).year),
    }
    values["cls"] = _class_name(values)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            for template, file in TEMPLATES.items():
                path = temporary / _substitute(file, values)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(_fill_template(template, values), encoding="utf-8")
            temporary.chmod(0o755)
            temporary.rename(out)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    click.echo(f"{out}: created the package {values['distribution']}", err=True)
    click.echo(f"next: cd {out} && pip install -e '.[test]' && pytest", err=True)


def _fill_template(template: str, values: dict[str, str]) -> str:
    """Reads a template, whose file name is a template too, and substitutes the values."""
    file = files("mdtranslate").joinpath("templates", _substitute(template, values))
    return _substitute(file.read_text("utf-8"), values)


def _substitute(text: str, values: dict[str, str]) -> str:
    return Template(text).substitute(values)


def _class_name(values: dict[str, str]) -> str:
    """Chooses a class name that is not used by Python, by mdtranslate or in the templates."""
    import mdtranslate

    cls = "".join(part.capitalize() for part in values["name"].split("-"))
    used = {*keyword.kwlist, *dir(builtins), *mdtranslate.__all__}
    for template in ("$kind/component.py.txt", "$kind/test.py.txt"):
        source = io.StringIO(_fill_template(template, {**values, "cls": "_"}))
        used |= {token.string for token in tokenize.generate_tokens(source.readline) if token.type == tokenize.NAME}
    # pytest would collect a class that starts with Test.
    return f"My{cls}" if cls in used or cls.startswith("Test") else cls
