"""What a shared model is: the folder of a run with only what others need, and a list of its files with their hashes.

::

    README.md               the model card, for people; its owner may edit it
    mdtranslate.json        size and hash of every file below
    recipe.toml             the recipe, where it was trained here
    translator/             the trained model
    samples/STEP.png        the newest sample grid
    evaluation/report.json  what `mdtranslate evaluate` measured

There is no pickle among them, and nothing of it is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from mdtranslate._version import __version__
from mdtranslate.config.shared_models import MANIFEST
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, StorageError, first_line
from mdtranslate.inference import serialization
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.files import sha256

CARD: Final = "README.md"
TRANSLATOR: Final = "translator/translator.json"

ASIDE: Final = frozenset({".gitattributes", ".gitignore", "LICENSE", "LICENSE.md", "LICENSE.txt"})
"""What a repository may hold besides, and a pull leaves there."""

_PARTS: Final = re.compile(
    r"recipe\.toml|evaluation/report\.json|samples/\d{1,12}\.png|translator/(translator\.json|[\w-]{1,64}\.safetensors)",
    re.ASCII,
)
MOST: Final = 32 * 2**20
"""Bytes of a file that holds no weights."""
MOST_WEIGHTS: Final = 32 * 2**30


class _Part(BaseModel):
    size: Annotated[int, Field(ge=0)]
    sha256: str


class Manifest(BaseModel):
    """The content of `mdtranslate.json`."""

    mdtranslate: str
    """The version that wrote it."""
    files: dict[str, _Part]


def is_part(name: str) -> bool:
    """Whether a shared model may list a file of this name, with slashes whatever the system."""
    return _PARTS.fullmatch(name) is not None


def write_manifest(folder: Path) -> None:
    """Lists everything in `folder` but the card."""
    names = sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
        for name in names
        if name not in (CARD, MANIFEST)
    }
    tensor_dir.save_facts(folder, Path(MANIFEST).stem, {"mdtranslate": __version__, "files": files})


def check_names(sizes: Mapping[str, int], where: str) -> list[str]:
    """Of the files at `where`, by name with their sizes in bytes, those that make the model.

    Raises `CheckpointError` where there is no shared model, or anything that is no part of one: nothing is fetched
    that nobody knows.
    """
    if MANIFEST not in sizes:
        here = f"; {where} is read as it is" if {"recipe.toml", "translator.json"} & sizes.keys() else ""
        raise CheckpointError(f"{where}: holds no {MANIFEST}, so it is no model that `mdtranslate push` wrote{here}")
    found = []
    for name, size in sorted(sizes.items()):
        if name in ASIDE:
            continue
        if not is_part(name) and name not in (CARD, MANIFEST):
            raise CheckpointError(f"{where}: {name!r} is no part of a shared model, so nothing is taken from there")
        most = MOST_WEIGHTS if name.endswith(".safetensors") else MOST
        if size > most:
            raise CheckpointError(f"{where}: {name} has {size:,} bytes; {most:,} are allowed")
        found.append(name)
    return found


def verify(folder: Path, where: str) -> None:
    """Holds every file of a shared model that lies in `folder` against its hash, and loads its translator.

    Raises `CheckpointError` that names `where` and the file, or `PluginError` where a plugin is missing.
    """
    try:
        saved = tensor_dir.load_facts(folder, Path(MANIFEST).stem)
        try:
            manifest = Manifest.model_validate(saved)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise CheckpointError(f"{folder / MANIFEST}: is damaged: {key}: {first['msg']}") from None
        there = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if not each.is_dir()}
        for name in sorted(there.union(manifest.files) - {CARD, MANIFEST}):
            if name not in manifest.files:
                raise CheckpointError(f"{folder / name}: is not listed in {MANIFEST}")
            if not is_part(name):
                raise CheckpointError(f"{folder / MANIFEST}: {name!r} is no part of a shared model")
            if name not in there:
                raise CheckpointError(f"{folder / name}: is missing")
            part, file = manifest.files[name], folder / name
            if file.stat().st_size != part.size or sha256(file) != part.sha256:
                raise CheckpointError(f"{file}: is damaged: its content is not what was pushed")
        serialization.read(folder)
    except (CheckpointError, StorageError, PluginError) as error:
        # Where the files lie now is gone in a moment: the person knows the place that they come from.
        raise type(error)(str(error).replace(str(folder), where)) from None
    except MdtranslateError as error:  # A recipe's mistake, where nobody wrote a recipe.
        raise CheckpointError(f"{where}: {error}".replace(str(folder), where)) from None
    except Exception as error:  # Whatever sound hashes and a hostile content lead to, it is no model.
        raise CheckpointError(f"{where}: its translator cannot be made: {first_line(error)}") from None
