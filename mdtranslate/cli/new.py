"""`mdtranslate new`: a package of one's own, with a component that works and tests that pass."""

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

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
KINDS: Final = {
    "dataset": ("dataset", "register_datasets", "mdtranslate run stargan 'datasets={$name={root=\"PATH\"}}'"),
    "loss": ("loss", "register_losses", "mdtranslate run stargan losses.$name.weight=0.5"),
    "backbone": ("generator", "register_backbones", "mdtranslate run stargan generator=$name"),
    "encoder": ("encoder", "register_label_encoders", "mdtranslate run stargan encoder=$name"),
    "metric": ("metric", "register_metrics", "mdtranslate evaluate RUN 'metrics.$name={}'"),
}
"""For each kind: its module, its hook, and how it is used."""

PLACES: Final = {
    "package/pyproject.toml.txt": "pyproject.toml",
    "package/README.md": "README.md",
    "package/LICENSE": "LICENSE",
    "package/gitignore": ".gitignore",
    "package/workflow.yml": ".github/workflows/test.yml",
    "package/init.py.txt": "$package/__init__.py",
    "$kind/component.py.txt": "$package/$module.py",
    "$kind/test.py.txt": "tests/test_$package.py",
}
"""Where each template goes."""


@click.command("new")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make; mdtranslate-NAME if left out.")
def command(kind: str, name: str, out: Path | None) -> None:
    """Write a package with a new component: KIND dataset, loss, backbone, encoder or metric, called NAME.

    mdtranslate new dataset pets writes mdtranslate-pets/, whose own tests pass: change it from there. Nothing is
    written over.
    """
    from mdtranslate.api.hookspecs import API_VERSION
    from mdtranslate.config.registry import registry
    from mdtranslate.errors import RecipeError
    from mdtranslate.utils.files import disk

    name = name.removeprefix("mdtranslate-")
    if not NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f", such as {near!r}" if NAME.fullmatch(near) else ""
        raise RecipeError(f"{name!r} is no name: lower-case letters, digits and hyphens are right{hint}")
    if name in registry().names(kind):
        raise RecipeError(f"{kind} {name!r} is taken by {registry().owner(kind, name)}; choose another name")
    package = f"mdtranslate_{name.replace('-', '_')}"
    # Installing it would write over a package of the same name, and two plugins of one name cannot be told apart.
    if taken := [plugin for plugin in registry().plugins if plugin.name == name]:
        raise RecipeError(f"the name {name!r} is taken by {taken[0]}; choose another name")
    if find_spec(package):
        raise RecipeError(f"a package {package} is installed already; choose another name than {name!r}")
    out = out or Path(f"mdtranslate-{name}")
    if out.exists() or out.is_symlink():
        raise RecipeError(f"{out}: is there already, and nothing is written over; --out names another folder")
    module, hook, use = KINDS[kind]
    words = {
        "kind": kind,
        "name": name,
        "module": module,
        "hook": hook,
        "package": package,
        "distribution": f"mdtranslate-{name}",
        "title": f"The {module} {name}",
        "use": Template(use).substitute(name=name),
        "check": " root=PATH" if kind == "dataset" else "",
        "version": __version__,
        "api": str(API_VERSION),
        "year": str(datetime.now(UTC).year),
    }
    words["cls"] = _class(words)
    with disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            for template, place in PLACES.items():
                path = half / _filled(place, words)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(_template(template, words), encoding="utf-8")
            half.chmod(0o755)
            half.rename(out)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
    click.echo(f"{out}: the package {words['distribution']}", err=True)
    click.echo(f"next: cd {out} && pip install -e '.[test]' && pytest", err=True)


def _template(template: str, words: dict[str, str]) -> str:
    """The text of a template, filled in; its own name has words, too."""
    return _filled(files("mdtranslate").joinpath("templates", _filled(template, words)).read_text("utf-8"), words)


def _filled(text: str, words: dict[str, str]) -> str:
    return Template(text).substitute(words)


def _class(words: dict[str, str]) -> str:
    """The name of the class; none that Python or the contract has, or that the package's own files use for another."""
    import mdtranslate

    cls = "".join(part.capitalize() for part in words["name"].split("-"))
    used = {*keyword.kwlist, *dir(builtins), *mdtranslate.__all__}
    for template in ("$kind/component.py.txt", "$kind/test.py.txt"):
        source = io.StringIO(_template(template, {**words, "cls": "_"}))
        used |= {each.string for each in tokenize.generate_tokens(source.readline) if each.type == tokenize.NAME}
    # And pytest would take a class of that name, imported by the test, for tests.
    return f"My{cls}" if cls in used or cls.startswith("Test") else cls
